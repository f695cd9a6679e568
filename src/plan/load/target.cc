#include "plan/load/target.h"

#include <absl/strings/match.h>

#include <algorithm>
#include <charconv>

#include "base/status.h"

namespace brisk {
namespace {

// Nothing that would end a line or a word of a request's head.
bool is_visible(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 0x7f; });
}

absl::Status bad_url(const std::string& url) {
  return invalid_input("'{}' is not the address of a server; write http://127.0.0.1:8000", url);
}

// Splits "host:port", "[::1]:port" or "host".
absl::Status read_authority(std::string_view authority, LoadTarget& target) {
  const size_t bracket = authority.find(']');
  const bool v6 = authority.starts_with('[') && bracket != std::string_view::npos;
  const size_t host_end = v6 ? bracket + 1 : std::min(authority.find(':'), authority.size());
  target.host = v6 ? authority.substr(1, bracket - 1) : authority.substr(0, host_end);
  std::string_view port = authority.substr(host_end);
  if (target.host.empty()) return invalid_input("no host");
  if (port.empty()) return absl::OkStatus();
  port.remove_prefix(1);
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), target.port);
  if (authority[host_end] != ':' || error != std::errc() || end != port.data() + port.size() ||
      target.port == 0) {
    return invalid_input("no port");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<LoadTarget> parse_target(const std::string& url, const std::string& api_key) {
  constexpr std::string_view kScheme = "http://";
  std::string_view rest = url;
  if (rest.starts_with("https://")) {
    return unsupported(
        "brisk asks servers over http:// only, not https://; run it beside the server, or through "
        "a local proxy that adds TLS");
  }
  const bool plain = is_visible(rest) && rest.find_first_of("?#@") == std::string_view::npos;
  if (!rest.starts_with(kScheme) || !plain) return bad_url(url);
  rest.remove_prefix(kScheme.size());
  const size_t slash = std::min(rest.find('/'), rest.size());
  std::string_view path = rest.substr(slash);
  LoadTarget target;
  if (!read_authority(rest.substr(0, slash), target).ok()) return bad_url(url);
  while (path.ends_with('/')) path.remove_suffix(1);
  if (path.ends_with("/v1")) path.remove_suffix(3);
  target.prefix = path;
  if (!is_visible(api_key)) return invalid_input("the API key has blanks or control characters");
  target.api_key = api_key;
  return target;
}

std::string to_url(const LoadTarget& target) {
  const bool v6 = absl::StrContains(target.host, ':');
  return fmt::format("http://{}{}{}:{}{}", v6 ? "[" : "", target.host, v6 ? "]" : "", target.port,
                     target.prefix);
}

std::string format_request(const LoadTarget& target, std::string_view path, std::string_view body) {
  const bool v6 = absl::StrContains(target.host, ':');
  std::string text =
      fmt::format("{} {}{} HTTP/1.1\r\nhost: {}{}{}:{}\r\nuser-agent: brisk-load\r\n",
                  body.empty() ? "GET" : "POST", target.prefix, path, v6 ? "[" : "", target.host,
                  v6 ? "]" : "", target.port);
  if (!target.api_key.empty()) text += "authorization: Bearer " + target.api_key + "\r\n";
  if (!body.empty()) {
    text += fmt::format("content-type: application/json\r\ncontent-length: {}\r\n", body.size());
  }
  text += "\r\n";
  text += body;
  return text;
}

}  // namespace brisk
