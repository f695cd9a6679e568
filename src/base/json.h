// JSON from untrusted text: bounded depth, no duplicate keys, errors that say where.
#pragma once

#include <absl/status/statusor.h>

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace brisk {

using Json = nlohmann::json;
using OrderedJson = nlohmann::ordered_json;  // objects keep the order of their text

struct JsonLimits {
  int depth_max = 64;
  size_t bytes_max = size_t{64} << 20;
};

// Errors: InvalidArgument with the byte offset and what was expected there.
absl::StatusOr<Json> parse_json(std::string_view text, JsonLimits limits = {});

// The same, for where the order of keys shows (chat templates). A key is found by walking the
// object, so an object has at most kOrderedKeysMax of them.
inline constexpr size_t kOrderedKeysMax = 1024;
absl::StatusOr<OrderedJson> parse_ordered_json(std::string_view text, JsonLimits limits = {});

// Compact text; bytes that are not UTF-8 become U+FFFD, so it never throws.
std::string to_text(const Json& json);

}  // namespace brisk
