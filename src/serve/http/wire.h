// The bytes of HTTP/1.1 that brisk writes, and the parts of a request that it reads itself.
#pragma once

#include <absl/status/statusor.h>

#include <string>
#include <string_view>

#include "serve/http/message.h"

namespace brisk::http {

std::string_view reason_phrase(int status);

// How the end of a body is told.
enum class Framing : uint8_t { kLength, kChunked, kUntilClose };

struct HeadOptions {
  Framing framing = Framing::kLength;
  size_t length = 0;  // kLength
  bool keep_alive = true;
  std::string_view request_id = {};
};

// Status line and headers, up to and with the empty line. Line breaks in header values become
// spaces.
std::string format_head(const Response& response, const HeadOptions& options);

// `data` as one chunk. REQUIRES: not empty, for an empty chunk ends the body.
void append_chunk(std::string& out, std::string_view data);
inline constexpr std::string_view kLastChunk = "0\r\n\r\n";

// Splits a request's target ("/v1/models?x=1", "http://host/v1/models") into path and query and
// decodes the path. Errors: InvalidArgument for anything else, bad escapes and NUL.
absl::Status read_target(std::string_view target, Request& request);

// A client's request id when it is short and plain, else a fresh one.
std::string request_id_or_new(std::string_view given);

// `length` random characters 0-9a-f, for ids.
std::string random_hex(int length);

}  // namespace brisk::http
