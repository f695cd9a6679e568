#include "apps/serve_access.h"

#include <pthread.h>

#include <algorithm>
#include <csignal>
#include <ctime>
#include <filesystem>
#include <initializer_list>
#include <vector>

#include "base/log.h"
#include "base/status.h"
#include "compute/sys/mapped_file.h"
#include "serve/http/key_file.h"

namespace brisk {
namespace {

constexpr size_t kKeysBytesMax = 1 << 20;

std::string usage_path(const AccessOptions& options) { return options.api_keys_file + ".usage"; }

absl::StatusOr<std::vector<http::ApiKey>> read_keys(const AccessOptions& options) {
  std::vector<http::ApiKey> keys;
  const std::string& path = options.api_keys_file;
  if (!path.empty()) {
    BRISK_ASSIGN_OR_RETURN(const std::string text, read_file(path, kKeysBytesMax));
    BRISK_ASSIGN_OR_RETURN(keys, http::parse_api_keys(text, path));
    const auto plain =
        std::ranges::count_if(keys, [](const auto& key) { return !key.key.empty(); });
    if (plain > 0) {
      spdlog::warn("{} holds {} keys in plain text: `brisk key hash {}` makes SHA-256 of them",
                   path, plain, path);
    }
  }
  if (!options.api_key.empty()) keys.push_back({.key = options.api_key});
  return keys;
}

}  // namespace

void add_access_options(CLI::App& app, AccessOptions& options, http::ServerOptions& http) {
  app.add_option("--api-key", options.api_key, "key that requests must carry")
      ->envname("BRISK_API_KEY");
  app.add_option(
      "--api-keys", options.api_keys_file,
      "file of keys and what each may use, made by `brisk key add`; read again on SIGHUP");
  app.add_flag("--allow-no-key", options.allow_no_key, "listen beyond loopback without a key");
  app.add_option("--tls-cert", http.tls_certificate,
                 "PEM file with the certificate, and those it hangs on, for HTTPS; read again on "
                 "SIGHUP");
  app.add_option("--tls-key", http.tls_key, "PEM file with the certificate's private key");
  app.add_option(
         "--cors-origin", http.origins.allowed,
         "origin whose web pages may use the server, or * for all (may be repeated); without "
         "it: only the server's own")
      ->type_name("ORIGIN")
      ->allow_extra_args(false);  // what follows may be the model
  app.add_option("--request-timeout", http.limits.request_seconds_max,
                 "seconds until a request is given up with a timeout error; 0: never")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
}

absl::Status check_access(const AccessOptions& options, http::ServerOptions& http) {
  const bool open = options.api_key.empty() && options.api_keys_file.empty();
  const bool local = http::is_loopback(http.host);
  if (open && !options.allow_no_key && !local) {
    return invalid_input(
        "{} can be reached from other machines: set a key with --api-key or BRISK_API_KEY, or "
        "several with --api-keys, or allow everyone in with --allow-no-key",
        http.host);
  }
  http.origins.local_hosts_only = open && !options.allow_no_key && local;
  if (http.tls_certificate.empty() != http.tls_key.empty()) {
    return invalid_input("--tls-cert and --tls-key go together");
  }
  for (const std::string& origin : http.origins.allowed) {
    BRISK_RETURN_IF_ERROR(http::check_origin_option(origin));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<KeyKeeper>> KeyKeeper::open(const AccessOptions& options) {
  std::unique_ptr<KeyKeeper> keeper(new KeyKeeper(options));
  BRISK_ASSIGN_OR_RETURN(const std::vector<http::ApiKey> keys, read_keys(options));
  keeper->ring_ = std::make_shared<http::KeyRing>(keys);
  std::error_code error;
  if (!options.api_keys_file.empty() && std::filesystem::exists(usage_path(options), error)) {
    BRISK_ASSIGN_OR_RETURN(keeper->saved_, read_file(usage_path(options), kKeysBytesMax));
    keeper->ring_->set_tokens_used(http::parse_tokens_used(keeper->saved_));
  }
  return keeper;
}

absl::Status KeyKeeper::reload() {
  BRISK_ASSIGN_OR_RETURN(const std::vector<http::ApiKey> keys, read_keys(options_));
  ring_->replace(keys);
  return absl::OkStatus();
}

absl::Status KeyKeeper::save() {
  if (options_.api_keys_file.empty()) return absl::OkStatus();
  std::string text = http::format_tokens_used(ring_->tokens_used());
  if (text == saved_ || text.empty()) return absl::OkStatus();
  BRISK_RETURN_IF_ERROR(write_file_atomically(usage_path(options_), text));
  saved_ = std::move(text);
  return absl::OkStatus();
}

namespace {

sigset_t set_of(std::initializer_list<int> signals) {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : signals) sigaddset(&set, signal);
  return set;
}

}  // namespace

void hold_signals() {
  const sigset_t all = set_of({SIGINT, SIGTERM, SIGHUP});
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
}

void let_stops_end_the_process() {
  const sigset_t stops = set_of({SIGINT, SIGTERM});
  pthread_sigmask(SIG_UNBLOCK, &stops, nullptr);
}

void wait_for_stop(const std::function<void()>& on_hangup, const std::function<void()>& on_tick) {
  constexpr timespec kTick = {.tv_sec = 5, .tv_nsec = 0};
  const sigset_t signals = set_of({SIGINT, SIGTERM, SIGHUP});
  while (true) {
    const int signal = sigtimedwait(&signals, nullptr, &kTick);
    if (signal == SIGINT || signal == SIGTERM) break;
    if (signal == SIGHUP) on_hangup();
    on_tick();
  }
  let_stops_end_the_process();
}

}  // namespace brisk
