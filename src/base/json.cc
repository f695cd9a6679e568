#include "base/json.h"

#include <set>
#include <string>
#include <vector>

#include "base/status.h"

namespace brisk {
namespace {

// Watches the parser's events and remembers the first rule that the text broke.
template <class AnyJson>
class Rules {
 public:
  Rules(int depth_max, size_t keys_max) : depth_max_(depth_max), keys_max_(keys_max) {}

  bool operator()(int depth, typename AnyJson::parse_event_t event, AnyJson& value) {
    using Event = typename AnyJson::parse_event_t;
    if (!broken_.empty()) return false;
    if (event == Event::object_start || event == Event::array_start) {
      if (depth >= depth_max_) return fail(fmt::format("nested deeper than {}", depth_max_));
    }
    if (event == Event::object_start) keys_.emplace_back();
    if (event == Event::object_end) keys_.pop_back();
    if (event == Event::key) {
      const auto& key = value.template get_ref<const std::string&>();
      if (!keys_.back().insert(key).second) {
        return fail(fmt::format("the key \"{}\" appears twice", key));
      }
      if (keys_.back().size() > keys_max_) {
        return fail(fmt::format("an object has more than {} keys", keys_max_));
      }
    }
    return true;
  }

  const std::string& broken() const { return broken_; }

 private:
  // Aborts the parse: going on would only build a value that is thrown away.
  bool fail(std::string what) {
    broken_ = std::move(what);
    throw std::invalid_argument(broken_);
  }

  const int depth_max_;
  const size_t keys_max_;
  std::vector<std::set<std::string>> keys_;
  std::string broken_;
};

template <class AnyJson>
absl::StatusOr<AnyJson> parse(std::string_view text, JsonLimits limits, size_t keys_max) {
  if (text.size() > limits.bytes_max) {
    return invalid_input("JSON of {} bytes is over the limit of {}", text.size(), limits.bytes_max);
  }
  try {
    Rules<AnyJson> rules(limits.depth_max, keys_max);
    return AnyJson::parse(text.begin(), text.end(), std::ref(rules));
  } catch (const typename AnyJson::parse_error& error) {
    return invalid_input("not valid JSON at byte {}", error.byte);
  } catch (const std::exception& error) {
    return invalid_input("unacceptable JSON: {}", error.what());
  }
}

}  // namespace

absl::StatusOr<Json> parse_json(std::string_view text, JsonLimits limits) {
  return parse<Json>(text, limits, SIZE_MAX);
}

absl::StatusOr<OrderedJson> parse_ordered_json(std::string_view text, JsonLimits limits) {
  return parse<OrderedJson>(text, limits, kOrderedKeysMax);
}

std::string to_text(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace brisk
