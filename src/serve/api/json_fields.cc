#include "serve/api/json_fields.h"

#include <cmath>
#include <limits>

#include "serve/api/errors.h"

namespace brisk::api {
namespace {

constexpr size_t kNameShownMax = 100;  // a client may name a field anything

std::string_view type_name(const Json& json) {
  switch (json.type()) {
    case Json::value_t::null:
      return "null";
    case Json::value_t::object:
      return "an object";
    case Json::value_t::array:
      return "an array";
    case Json::value_t::string:
      return "a string";
    case Json::value_t::boolean:
      return "a boolean";
    case Json::value_t::number_integer:
    case Json::value_t::number_unsigned:
      return "an integer";
    case Json::value_t::number_float:
      return "a number";
    case Json::value_t::binary:
    case Json::value_t::discarded:
      return "nothing";
  }
  return "nothing";
}

bool says_nothing(const Json& json) {
  if (json.is_boolean()) return !json.get<bool>();
  if (json.is_string()) return json.get_ref<const std::string&>().empty();
  return json.is_null() || ((json.is_array() || json.is_object()) && json.empty());
}

}  // namespace

bool read_integer(const Json& json, int64_t& value) {
  if (json.is_number_unsigned()) {
    const auto wide = json.get<uint64_t>();
    if (wide > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) return false;
    value = static_cast<int64_t>(wide);
    return true;
  }
  if (json.is_number_integer()) {
    value = json.get<int64_t>();
    return true;
  }
  if (!json.is_number_float()) return false;
  const double number = json.get<double>();
  constexpr double kExactMax = 9007199254740992.0;  // 2^53
  if (!(std::abs(number) <= kExactMax) || number != std::floor(number)) return false;
  value = static_cast<int64_t>(number);
  return true;
}

Fields::Fields(const Json& object, std::string prefix)
    : object_(object), prefix_(std::move(prefix)) {}

const Json* Fields::find(const char* name) {
  known_.insert(name);
  const auto it = object_.find(name);
  return it == object_.end() || it->is_null() ? nullptr : &*it;
}

bool Fields::boolean(const char* name, bool fallback) {
  const Json* json = find(name);
  if (json == nullptr) return fallback;
  if (json->is_boolean()) return json->get<bool>();
  fail(name, fmt::format("must be true or false, not {}", type_name(*json)));
  return fallback;
}

double Fields::number(const char* name, double fallback, NumberRange range) {
  const Json* json = find(name);
  if (json == nullptr) return fallback;
  if (!json->is_number()) {
    fail(name, fmt::format("must be a number, not {}", type_name(*json)));
    return fallback;
  }
  const double value = json->get<double>();
  if (value >= range.min && value <= range.max) return value;
  fail(name, fmt::format("must be between {} and {}, not {}", range.min, range.max, value));
  return fallback;
}

int64_t Fields::integer(const char* name, int64_t fallback, IntegerRange range) {
  const Json* json = find(name);
  if (json == nullptr) return fallback;
  int64_t value = 0;
  if (!read_integer(*json, value)) {
    fail(name, fmt::format("must be an integer, not {}", type_name(*json)));
    return fallback;
  }
  if (value >= range.min && value <= range.max) return value;
  fail(name, fmt::format("must be between {} and {}, not {}", range.min, range.max, value));
  return fallback;
}

std::string Fields::string(const char* name, std::string fallback) {
  const Json* json = find(name);
  if (json == nullptr) return fallback;
  if (json->is_string()) return json->get<std::string>();
  fail(name, fmt::format("must be a string, not {}", type_name(*json)));
  return fallback;
}

std::vector<std::string> Fields::strings(const char* name) {
  const Json* json = find(name);
  if (json == nullptr) return {};
  if (json->is_string()) return {json->get<std::string>()};
  std::vector<std::string> all;
  bool right = json->is_array();
  for (size_t i = 0; right && i < json->size(); ++i) {
    right = (*json)[i].is_string();
    if (right) all.push_back((*json)[i].get<std::string>());
  }
  if (right) return all;
  fail(name, "must be a string or an array of strings");
  return {};
}

std::vector<int64_t> Fields::integers(const char* name, IntegerRange range) {
  const Json* json = find(name);
  if (json == nullptr) return {};
  std::vector<int64_t> all;
  bool right = json->is_array();
  for (size_t i = 0; right && i < json->size(); ++i) {
    int64_t value = 0;
    right = read_integer((*json)[i], value) && value >= range.min && value <= range.max;
    if (right) all.push_back(value);
  }
  if (right) return all;
  fail(name, fmt::format("must be an array of integers between {} and {}", range.min, range.max));
  return {};
}

void Fields::ignore(const char* name) { known_.insert(name); }

void Fields::refuse(const char* name, std::string_view why, const Json& harmless) {
  const Json* json = find(name);
  if (json == nullptr || says_nothing(*json) || *json == harmless) return;
  fail(name, why);
}

void Fields::fail(std::string_view name, std::string_view what) {
  if (!status_.ok()) return;
  name = name.substr(0, kNameShownMax);
  status_ =
      bad_param(fmt::format("{}{}", prefix_, name), fmt::format("{}{} {}", prefix_, name, what));
}

void Fields::take(const absl::Status& status) {
  if (status_.ok()) status_ = status;
}

absl::Status Fields::finish() {
  for (auto it = object_.begin(); status_.ok() && it != object_.end(); ++it) {
    if (known_.contains(it.key())) continue;
    fail(it.key(), "is not a parameter of this endpoint");
    status_ = with_code(status_, "unknown_parameter");
  }
  return status_;
}

}  // namespace brisk::api
