#include "serve/batch/batch_input.h"

#include <absl/container/flat_hash_set.h>

#include <algorithm>

#include "base/json.h"
#include "base/status.h"
#include "serve/api/errors.h"

namespace brisk::batch {
namespace {

using api::bad_param;

constexpr size_t kFaultsMax = 20;
constexpr size_t kCustomIdMax = 512;

// A string of the line; empty where it is missing or something else.
std::string string_of(const OrderedJson& json, const char* name) {
  const auto found = json.find(name);
  return found != json.end() && found->is_string() ? found->get<std::string>() : "";
}

bool is_blank(std::string_view line) {
  return line.find_first_not_of(" \t\r") == std::string_view::npos;
}

}  // namespace

absl::StatusOr<InputLine> parse_input_line(std::string_view text, const InputLimits& limits) {
  if (text.size() > limits.line_bytes_max) {
    return invalid_input("the line has {} bytes; at most {} are allowed", text.size(),
                         limits.line_bytes_max);
  }
  BRISK_ASSIGN_OR_RETURN(const OrderedJson json, parse_ordered_json(text));
  if (!json.is_object()) return invalid_input("the line must be a JSON object");
  for (const auto& [name, value] : json.items()) {
    if (name != "custom_id" && name != "method" && name != "url" && name != "body") {
      return bad_param(name.substr(0, 100),
                       fmt::format("{} is not a field of a batch's request", name.substr(0, 100)));
    }
  }
  InputLine line{.custom_id = string_of(json, "custom_id"), .url = string_of(json, "url")};
  if (line.custom_id.empty() || line.custom_id.size() > kCustomIdMax) {
    return bad_param("custom_id",
                     fmt::format("custom_id must be a string of 1 to {} bytes", kCustomIdMax));
  }
  if (string_of(json, "method") != "POST") return bad_param("method", "method must be POST");
  if (line.url.empty()) return bad_param("url", "url must be a string");
  const auto body = json.find("body");
  if (body == json.end() || !body->is_object()) return bad_param("body", "body must be an object");
  line.body = body->dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
  return line;
}

absl::StatusOr<BatchInput> BatchInput::open(const std::string& path, std::string_view endpoint,
                                            const std::vector<std::string>& endpoints,
                                            const InputLimits& limits) {
  absl::StatusOr<MappedFile> file = MappedFile::open(path);
  if (!file.ok()) return file.status();
  BatchInput input(std::move(*file), limits);
  absl::flat_hash_set<std::string> ids;
  const auto fault = [&input](int64_t line, const absl::Status& status) {
    const api::ApiError error = api::to_api_error(status);
    input.faults_.push_back({.line = line, .message = error.message, .param = error.param});
  };
  std::string_view rest = input.file_.text();
  for (int64_t number = 1; !rest.empty() && input.faults_.size() < kFaultsMax; ++number) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view text = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (is_blank(text)) continue;
    if (input.size() == limits.lines_max) {
      fault(0, invalid_input("the file has more than {} requests; split it", limits.lines_max));
      break;
    }
    const absl::StatusOr<InputLine> line = parse_input_line(text, limits);
    if (!line.ok()) {
      fault(number, line.status());
    } else if (!endpoint.empty() && line->url != endpoint) {
      fault(number,
            bad_param("url", fmt::format("url must be the batch's endpoint, {}", endpoint)));
    } else if (std::ranges::find(endpoints, line->url) == endpoints.end()) {
      fault(number,
            bad_param("url", fmt::format("url must be one of {}", fmt::join(endpoints, ", "))));
    } else if (!ids.insert(line->custom_id).second) {
      fault(number, bad_param("custom_id", "custom_id is that of another line; it must be unique"));
    }
    input.lines_.push_back(text);
  }
  if (input.lines_.empty()) fault(0, invalid_input("the file has no requests"));
  return input;
}

absl::StatusOr<InputLine> BatchInput::line(int64_t index) const {
  return parse_input_line(lines_[static_cast<size_t>(index)], limits_);
}

}  // namespace brisk::batch
