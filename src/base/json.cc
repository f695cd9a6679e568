#include "base/json.h"

#include <set>
#include <string>
#include <vector>

#include "base/status.h"

namespace brisk {
namespace {

// Watches the parser's events and remembers the first rule that the text broke.
class Rules {
 public:
  explicit Rules(int depth_max) : depth_max_(depth_max) {}

  bool operator()(int depth, Json::parse_event_t event, Json& value) {
    using Event = Json::parse_event_t;
    if (!broken_.empty()) return false;
    if (event == Event::object_start || event == Event::array_start) {
      if (depth >= depth_max_) return fail(fmt::format("nested deeper than {}", depth_max_));
    }
    if (event == Event::object_start) keys_.emplace_back();
    if (event == Event::object_end) keys_.pop_back();
    if (event == Event::key && !keys_.back().insert(value.get<std::string>()).second) {
      return fail(fmt::format("the key \"{}\" appears twice", value.get<std::string>()));
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
  std::vector<std::set<std::string>> keys_;
  std::string broken_;
};

}  // namespace

absl::StatusOr<Json> parse_json(std::string_view text, JsonLimits limits) {
  if (text.size() > limits.bytes_max) {
    return invalid_input("JSON of {} bytes is over the limit of {}", text.size(), limits.bytes_max);
  }
  try {
    Rules rules(limits.depth_max);
    return Json::parse(text.begin(), text.end(), std::ref(rules));
  } catch (const Json::parse_error& error) {
    return invalid_input("not valid JSON at byte {}", error.byte);
  } catch (const std::exception& error) {
    return invalid_input("unacceptable JSON: {}", error.what());
  }
}

std::string to_text(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace brisk
