#include "serve/http/wire.h"

#include <absl/strings/ascii.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <ctime>
#include <random>

#include "base/rng.h"
#include "base/status.h"

namespace brisk::http {
namespace {

struct Reason {
  int status;
  std::string_view phrase;
};

constexpr Reason kReasons[] = {
    {200, "OK"},
    {204, "No Content"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {408, "Request Timeout"},
    {413, "Payload Too Large"},
    {417, "Expectation Failed"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {499, "Client Closed Request"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
};

// RFC 9110, 5.6.7: "Sun, 06 Nov 1994 08:49:37 GMT".
std::string http_date(std::time_t now) {
  std::tm utc{};
  gmtime_r(&now, &utc);
  std::array<char, 40> text{};
  const size_t size = std::strftime(text.data(), text.size(), "%a, %d %b %Y %H:%M:%S GMT", &utc);
  return std::string(text.data(), size);
}

void append_header(std::string& out, std::string_view name, std::string_view value) {
  out += name;
  out += ": ";
  for (const char c : value) out += (c == '\r' || c == '\n' || c == '\0') ? ' ' : c;
  out += "\r\n";
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

std::string_view reason_phrase(int status) {
  for (const Reason& reason : kReasons) {
    if (reason.status == status) return reason.phrase;
  }
  return "Unknown";
}

std::string format_head(const Response& response, const HeadOptions& options) {
  std::string head;
  head.reserve(512);
  fmt::format_to(std::back_inserter(head), "HTTP/1.1 {} {}\r\n", response.status,
                 reason_phrase(response.status));
  append_header(head, "date", http_date(std::time(nullptr)));
  append_header(head, "server", "brisk");
  if (!options.request_id.empty()) append_header(head, "x-request-id", options.request_id);
  if (response.status != 204) append_header(head, "content-type", response.content_type);
  for (const auto& [name, value] : response.headers) append_header(head, name, value);
  if (options.framing == Framing::kLength && response.status != 204) {
    append_header(head, "content-length", std::to_string(options.length));
  }
  if (options.framing == Framing::kChunked) append_header(head, "transfer-encoding", "chunked");
  append_header(head, "connection", options.keep_alive ? "keep-alive" : "close");
  head += "\r\n";
  return head;
}

void append_chunk(std::string& out, std::string_view data) {
  fmt::format_to(std::back_inserter(out), "{:x}\r\n{}\r\n", data.size(), data);
}

absl::Status read_target(std::string_view target, Request& request) {
  constexpr std::string_view kScheme = "http://";
  if (target.starts_with(kScheme)) {  // absolute form, as sent to proxies
    const size_t slash = target.find('/', kScheme.size());
    target = slash == std::string_view::npos ? "/" : target.substr(slash);
  }
  if (target.empty() || target[0] != '/') return invalid_input("the request target is not a path");
  const size_t question = target.find('?');
  request.query =
      question == std::string_view::npos ? "" : std::string(target.substr(question + 1));
  const std::string_view path = target.substr(0, question);
  request.path.clear();
  for (size_t i = 0; i < path.size(); ++i) {
    if (path[i] != '%') {
      request.path += path[i];
      continue;
    }
    const int high = i + 2 < path.size() ? hex_digit(path[i + 1]) : -1;
    const int low = i + 2 < path.size() ? hex_digit(path[i + 2]) : -1;
    if (high < 0 || low < 0 || (high == 0 && low == 0)) {
      return invalid_input("the request target has a bad escape at byte {}", i);
    }
    request.path += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return absl::OkStatus();
}

std::string request_id_or_new(std::string_view given) {
  constexpr size_t kLengthMax = 128;
  const bool plain = std::all_of(given.begin(), given.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_' || c == '.';
  });
  if (!given.empty() && given.size() <= kLengthMax && plain) return std::string(given);
  return "req-" + random_hex(24);
}

std::string random_hex(int length) {
  thread_local Rng rng(std::random_device{}() | (uint64_t{std::random_device{}()} << 32));
  std::string text;
  uint64_t word = 0;
  for (int i = 0; i < length; ++i) {
    if (i % 16 == 0) word = rng.next_u64();
    text += "0123456789abcdef"[word & 15];
    word >>= 4;
  }
  return text;
}

}  // namespace brisk::http
