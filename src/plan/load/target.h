// The server under load: where it is, and the bytes of requests to it.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace brisk {

struct LoadTarget {
  std::string host;  // a name or an address, without brackets
  uint16_t port = 80;
  std::string prefix;   // of paths: "" or "/llm"; the API's own "/v1" is not part of it
  std::string api_key;  // empty: none is sent
};

// "http://host:port", perhaps with a path and "/v1". Errors: InvalidArgument, Unimplemented
// (https).
absl::StatusOr<LoadTarget> parse_target(const std::string& url, const std::string& api_key);

// "http://host:port/prefix"
std::string to_url(const LoadTarget& target);

// A request from its first to its last byte; without `body` it is a GET.
std::string format_request(const LoadTarget& target, std::string_view path, std::string_view body);

}  // namespace brisk
