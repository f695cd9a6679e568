#include "hub/fetch.h"

#include <curl/curl.h>
#include <fmt/format.h>

#include <charconv>
#include <cstring>
#include <memory>
#include <string_view>

#include "base/status.h"

namespace brisk {
namespace {

constexpr long kRedirectsMax = 5;

struct Transfer {
  CURL* curl = nullptr;
  const FetchSink* sink = nullptr;
  FetchHead head;
  absl::Status status;  // the sink's
};

size_t on_body(char* data, size_t, size_t bytes, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  long code = 0;
  curl_easy_getinfo(transfer.curl, CURLINFO_RESPONSE_CODE, &code);
  transfer.head.status = static_cast<int>(code);
  if (code != 200 && code != 206) return bytes;  // an error's text, or a redirect's
  try {
    transfer.status = (*transfer.sink)(transfer.head, {data, bytes});
  } catch (const std::exception& error) {
    transfer.status = exhausted("{}", error.what());
  }
  return transfer.status.ok() ? bytes : CURL_WRITEFUNC_ERROR;
}

bool has_prefix(std::string_view text, std::string_view prefix) {
  return text.size() >= prefix.size() &&
         strncasecmp(text.data(), prefix.data(), prefix.size()) == 0;
}

size_t on_header(char* data, size_t, size_t bytes, void* user) {
  FetchHead& head = static_cast<Transfer*>(user)->head;
  const std::string_view line(data, bytes);
  constexpr std::string_view kRange = "content-range: bytes ", kRetry = "retry-after: ";
  if (has_prefix(line, "HTTP/")) head = {};  // a new answer: the last one was a redirect
  if (has_prefix(line, kRange)) {
    std::from_chars(line.data() + kRange.size(), line.data() + line.size(), head.range_first);
  } else if (has_prefix(line, kRetry)) {
    std::from_chars(line.data() + kRetry.size(), line.data() + line.size(), head.retry_after);
  }
  return bytes;
}

struct CurlCloser {
  void operator()(CURL* curl) const { curl_easy_cleanup(curl); }
};

bool global_init() {
  static const bool done = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
  return done;
}

void set_options(CURL* curl, const std::string& url, const FetchOptions& options,
                 Transfer* transfer) {
  const bool secure = has_prefix(url, "https://");
  curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_USERAGENT, "brisk");
  curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
  curl_easy_setopt(curl, CURLOPT_MAXREDIRS, kRedirectsMax);
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, secure ? "https" : "http,https");
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS,
                   static_cast<long>(options.connect_seconds_max * 1000));
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, static_cast<long>(options.silence_seconds_max));
  if (!options.token.empty()) {
    // Unlike a header of our own, libcurl gives this to the first host and port only.
    curl_easy_setopt(curl, CURLOPT_HTTPAUTH, CURLAUTH_BEARER);
    curl_easy_setopt(curl, CURLOPT_XOAUTH2_BEARER, options.token.c_str());
    curl_easy_setopt(curl, CURLOPT_UNRESTRICTED_AUTH, 0L);
  }
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, transfer);
  curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
  curl_easy_setopt(curl, CURLOPT_HEADERDATA, transfer);
}

absl::Status status_of(const FetchHead& head, bool has_token) {
  switch (head.status) {
    case 200:
    case 206:
      return absl::OkStatus();
    case 401:
    case 403:
      return absl::PermissionDeniedError(
          fmt::format("the hub answers {}: {}", head.status,
                      has_token ? "the token in HF_TOKEN may not read this (has its licence been "
                                  "accepted on the hub?)"
                                : "it does not exist, or needs a token; set HF_TOKEN"));
    case 404:
      return not_found("the hub answers 404: there is no such model, revision or file");
    case 416:
      return absl::OutOfRangeError("the hub has no such range");
    case 429:
      return with_retry_after(exhausted("the hub answers 429: too many requests"),
                              head.retry_after);
    default:
      if (head.status >= 500) return system_error("the hub answers {}", head.status);
      return invalid_input("the hub answers {}", head.status);
  }
}

}  // namespace

absl::Status fetch_range(const std::string& url, const FetchOptions& options, int64_t first,
                         const FetchSink& sink) {
  if (!global_init()) return system_error("libcurl does not start");
  const std::unique_ptr<CURL, CurlCloser> curl(curl_easy_init());
  if (curl == nullptr) return exhausted("no memory for a transfer");
  Transfer transfer = {.curl = curl.get(), .sink = &sink, .head = {}, .status = {}};
  set_options(curl.get(), url, options, &transfer);
  if (first > 0) curl_easy_setopt(curl.get(), CURLOPT_RANGE, fmt::format("{}-", first).c_str());
  const CURLcode code = curl_easy_perform(curl.get());
  if (!transfer.status.ok()) return transfer.status;
  long status = 0;
  curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &status);
  transfer.head.status = static_cast<int>(status);
  if (code != CURLE_OK) return system_error("{}", curl_easy_strerror(code));
  return status_of(transfer.head, !options.token.empty());
}

absl::StatusOr<std::string> fetch_text(const std::string& url, const FetchOptions& options,
                                       size_t bytes_max) {
  std::string text;
  const FetchSink sink = [&](const FetchHead&, std::span<const char> bytes) -> absl::Status {
    if (text.size() + bytes.size() > bytes_max) {
      return exhausted("the hub's answer has more than {} bytes", bytes_max);
    }
    text.append(bytes.data(), bytes.size());
    return absl::OkStatus();
  };
  BRISK_RETURN_IF_ERROR(fetch_range(url, options, 0, sink));
  return text;
}

std::string url_path(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '.' || c == '_' || c == '~' || c == '/';
    out += plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return out;
}

}  // namespace brisk
