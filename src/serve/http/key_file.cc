#include "serve/http/key_file.h"

#include <absl/strings/ascii.h>
#include <absl/strings/numbers.h>
#include <openssl/rand.h>

#include <algorithm>
#include <limits>
#include <set>
#include <sstream>

#include "base/check.h"
#include "base/status.h"
#include "engine/sched/tenant.h"

namespace brisk::http {
namespace {

constexpr std::string_view kSettings =
    "name, weight, requests-per-minute, tokens-per-minute, concurrent, tokens-total";

bool read_positive(std::string_view text, int64_t most, int64_t* value) {
  return absl::SimpleAtoi(absl::string_view(text.data(), text.size()), value) && *value >= 1 &&
         *value <= most;
}

// A number alone is a weight.
std::string setting_name(const std::string& word) {
  const size_t equals = word.find('=');
  return equals == std::string::npos ? "weight" : word.substr(0, equals);
}

// One word behind a key. False: it means nothing.
bool read_setting(const std::string& word, ApiKey* key) {
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max() / 4;
  const std::string name = setting_name(word);
  const size_t equals = word.find('=');
  const std::string value = equals == std::string::npos ? word : word.substr(equals + 1);
  if (name == "name") {
    key->name = std::string(value);
    return is_key_name(value);
  }
  if (name == "weight") {
    int64_t weight = 0;
    const bool right = read_positive(value, kTenantWeightMax, &weight);
    key->weight = static_cast<int>(weight);
    return right;
  }
  int64_t* limit = nullptr;
  if (name == "requests-per-minute") limit = &key->limits.requests_per_minute;
  if (name == "tokens-per-minute") limit = &key->limits.tokens_per_minute;
  if (name == "concurrent") limit = &key->limits.concurrent;
  if (name == "tokens-total") limit = &key->limits.tokens_total;
  return limit != nullptr && read_positive(value, kMost, limit);
}

void append_setting(std::string* line, std::string_view name, int64_t value) {
  if (value > 0) *line += fmt::format(" {}={}", name, value);
}

}  // namespace

absl::StatusOr<std::vector<ApiKey>> parse_api_keys(std::string_view text, const std::string& path) {
  std::vector<ApiKey> keys;
  std::istringstream lines{std::string(text)};
  std::string line;
  for (int number = 1; std::getline(lines, line); ++number) {
    std::istringstream words(line);
    std::string word;
    if (!(words >> word) || word.starts_with('#')) continue;
    ApiKey key;
    if (word.starts_with(kDigestPrefix)) {
      const auto digest = sha256_from_hex(std::string_view(word).substr(kDigestPrefix.size()));
      if (!digest.has_value()) {
        return invalid_input("{}:{}: behind sha256: come 64 digits 0-9a-f", path, number);
      }
      key.digest = *digest;
    } else {
      key.digest = sha256(word);
      key.key = std::move(word);
    }
    std::set<std::string> seen;
    while (words >> word) {
      if (!read_setting(word, &key) || !seen.insert(setting_name(word)).second) {
        return invalid_input(
            "{}:{}: behind a key may stand its weight, 1 to {}, or SETTING=VALUE, once each, where "
            "SETTING is one of {} and numbers are at least 1",
            path, number, kTenantWeightMax, kSettings);
      }
    }
    if (std::ranges::find(keys, key.digest, &ApiKey::digest) != keys.end()) {
      return invalid_input("{}:{}: this key is there twice", path, number);
    }
    keys.push_back(std::move(key));
  }
  if (keys.empty()) {
    return invalid_input("{} has no keys: make one with `brisk key add {}`", path, path);
  }
  return keys;
}

std::string format_api_key(const ApiKey& key) {
  std::string line =
      std::string(kDigestPrefix) + to_hex(key.key.empty() ? key.digest : sha256(key.key));
  if (!key.name.empty()) line += " name=" + key.name;
  append_setting(&line, "weight", key.weight == 1 ? 0 : key.weight);
  append_setting(&line, "requests-per-minute", key.limits.requests_per_minute);
  append_setting(&line, "tokens-per-minute", key.limits.tokens_per_minute);
  append_setting(&line, "concurrent", key.limits.concurrent);
  append_setting(&line, "tokens-total", key.limits.tokens_total);
  return line;
}

bool is_key_name(std::string_view name) {
  constexpr size_t kNameMax = 64;
  return !name.empty() && name.size() <= kNameMax && std::ranges::all_of(name, [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_' || c == '.';
  });
}

std::string make_random_key() {
  Sha256 bits{};
  BRISK_CHECK(RAND_bytes(bits.data(), static_cast<int>(bits.size())) == 1);
  return "brisk-" + to_hex(bits);
}

std::string format_tokens_used(const std::map<Sha256, int64_t>& used) {
  std::string text;
  for (const auto& [digest, tokens] : used) text += fmt::format("{} {}\n", to_hex(digest), tokens);
  return text;
}

std::map<Sha256, int64_t> parse_tokens_used(std::string_view text) {
  std::map<Sha256, int64_t> used;
  std::istringstream lines{std::string(text)};
  std::string hex;
  for (int64_t tokens = 0; lines >> hex >> tokens;) {
    const auto digest = sha256_from_hex(hex);
    if (digest.has_value() && tokens >= 0) used[*digest] = tokens;
  }
  return used;
}

}  // namespace brisk::http
