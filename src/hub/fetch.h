// HTTP as a client of a hub needs it, over libcurl.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <functional>
#include <span>
#include <string>

namespace brisk {

struct FetchOptions {
  std::string token = {};  // sent to the first host only, never along a redirect to another
  double connect_seconds_max = 15;
  double silence_seconds_max = 30;  // without a byte
};

// What an answer said before its body.
struct FetchHead {
  int status = 0;
  int64_t range_first = -1;  // of Content-Range; -1: none
  double retry_after = 0;    // seconds; 0: not said
};

// The whole body of a GET. Errors: NotFound (404), PermissionDenied (401, 403), ResourceExhausted
// (429, or more than `bytes_max`), Unavailable (network, 5xx), InvalidArgument (anything else).
absl::StatusOr<std::string> fetch_text(const std::string& url, const FetchOptions& options,
                                       size_t bytes_max);

// Takes the bytes of a body; not OK ends the transfer with that.
using FetchSink = std::function<absl::Status(const FetchHead&, std::span<const char>)>;

// GET from byte `first` on; the sink is called for 200 and 206 only. Errors as above; Unavailable
// also when the connection ends early.
absl::Status fetch_range(const std::string& url, const FetchOptions& options, int64_t first,
                         const FetchSink& sink);

// `text` with all but unreserved characters and '/' as %XX.
std::string url_path(std::string_view text);

}  // namespace brisk
