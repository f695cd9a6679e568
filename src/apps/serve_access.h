// Who may use `brisk serve`, and how: keys, TLS, origins, and what is read again on SIGHUP.
#pragma once

#include <absl/status/statusor.h>

#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <string>

#include "serve/http/key_ring.h"
#include "serve/http/server.h"

namespace brisk {

struct AccessOptions {
  std::string api_key;
  std::string api_keys_file;
  bool allow_no_key = false;
};

void add_access_options(CLI::App& app, AccessOptions& options, http::ServerOptions& http);

// What cannot be meant: an open server beyond loopback, half of TLS, an origin that is none. Fills
// in what `http` gets from the rest.
absl::Status check_access(const AccessOptions& options, http::ServerOptions& http);

// The keys of a running server and what they have used. Used by one thread.
class KeyKeeper {
 public:
  // Errors: InvalidArgument, NotFound (the file of keys).
  static absl::StatusOr<std::unique_ptr<KeyKeeper>> open(const AccessOptions& options);

  std::shared_ptr<http::KeyRing> ring() const { return ring_; }
  // Reads the file again. An error leaves the keys as they are.
  absl::Status reload();
  // Writes what keys with a total have used beside their file, if it has changed.
  absl::Status save();

 private:
  explicit KeyKeeper(const AccessOptions& options) : options_(options) {}

  const AccessOptions options_;
  std::shared_ptr<http::KeyRing> ring_;
  std::string saved_;
};

// From here on SIGINT, SIGTERM and SIGHUP are only taken by `wait_for_stop`. Threads made later
// inherit it.
void hold_signals();
// While this thread does what may take long and loses nothing, SIGINT and SIGTERM end the process.
// SIGHUP stays held: it never ends a server.
void let_stops_end_the_process();

// Returns at SIGINT or SIGTERM. Afterwards a second one ends the process at once, as if it had
// never been held. Meanwhile `on_hangup` runs at every SIGHUP, and `on_tick` every few seconds.
void wait_for_stop(const std::function<void()>& on_hangup, const std::function<void()>& on_tick);

}  // namespace brisk
