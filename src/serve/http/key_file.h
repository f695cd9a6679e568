// The file of API keys: one a line, and what it may use.
//
//   sha256:HEX name=alice weight=3 requests-per-minute=60 tokens-per-minute=20000 concurrent=4
//   KEY 3
//
// A key stands there as its SHA-256, or in plain text; the number behind a plain one is its weight.
// Empty lines and those that begin with '#' mean nothing.
#pragma once

#include <absl/status/statusor.h>

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "serve/http/key_ring.h"

namespace brisk::http {

inline constexpr std::string_view kDigestPrefix = "sha256:";

// `path` is for messages. Errors: InvalidArgument with the line and what may stand there. A message
// never quotes a key.
absl::StatusOr<std::vector<ApiKey>> parse_api_keys(std::string_view text, const std::string& path);

// One line of a key by its SHA-256, without the line's end.
std::string format_api_key(const ApiKey& key);

// Letters, digits, '-', '_' and '.', 64 at most.
bool is_key_name(std::string_view name);

// 256 random bits as text, "brisk-...": what `brisk key add` gives out.
std::string make_random_key();

// What keys have used, for the next start: "HEX TOKENS" lines. What cannot be read is passed over.
std::string format_tokens_used(const std::map<Sha256, int64_t>& used);
std::map<Sha256, int64_t> parse_tokens_used(std::string_view text);

}  // namespace brisk::http
