#include "tasks/read_samples.h"

#include "base/json.h"
#include "base/lines.h"
#include "base/status.h"

namespace brisk::tasks {
namespace {

constexpr JsonLimits kLineLimits = {.depth_max = 16, .bytes_max = size_t{1} << 20};
constexpr size_t kMessagesMax = 1024;
constexpr size_t kNameBytesMax = 64;

// Null when there is no such member or it is no string.
const std::string* text_of(const Json& object, const char* key) {
  const auto it = object.find(key);
  return it == object.end() ? nullptr : it->get_ptr<const std::string*>();
}

absl::StatusOr<Message> parse_message(const Json& json) {
  const std::string* role = json.is_object() ? text_of(json, "role") : nullptr;
  const std::string* content = json.is_object() ? text_of(json, "content") : nullptr;
  if (role == nullptr || content == nullptr) {
    return invalid_input("a message is not an object with the strings \"role\" and \"content\"");
  }
  const auto known = find_role(*role);
  if (!known.has_value()) {
    return invalid_input("the role '{}' is not system, user or assistant", *role);
  }
  return Message{*known, *content};
}

absl::Status parse_messages(const Json& json, std::vector<Message>* messages) {
  if (!json.is_array() || json.empty()) return invalid_input("\"messages\" is not a list of some");
  if (json.size() > kMessagesMax)
    return invalid_input("there are more than {} messages", kMessagesMax);
  for (const Json& item : json) {
    BRISK_ASSIGN_OR_RETURN(Message message, parse_message(item));
    messages->push_back(std::move(message));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Sample> parse_sample(std::string_view line) {
  BRISK_ASSIGN_OR_RETURN(const Json json, parse_json(line, kLineLimits));
  if (!json.is_object()) return invalid_input("expected an object");
  Sample sample;
  sample.task = "unnamed";
  if (const std::string* task = text_of(json, "task")) sample.task = *task;
  if (sample.task.empty() || sample.task.size() > kNameBytesMax) {
    return invalid_input("\"task\" is empty or longer than {} bytes", kNameBytesMax);
  }
  if (const std::string* name = text_of(json, "level")) {
    const auto level = find_level(*name);
    if (!level.has_value()) {
      return invalid_input("the level '{}' is not easy, middle or hard", *name);
    }
    sample.level = *level;
  }
  if (const auto messages = json.find("messages"); messages != json.end()) {
    BRISK_RETURN_IF_ERROR(parse_messages(*messages, &sample.messages));
  } else if (const std::string* text = text_of(json, "text")) {
    sample.text = *text;
    return sample;
  } else {
    return invalid_input("expected \"messages\", or a string \"text\"");
  }
  const auto answer = json.find("answer");
  if (answer == json.end()) return sample;
  if (!answer->is_string()) return invalid_input("\"answer\" is not a string");
  sample.answer = answer->get<std::string>();
  if (sample.answer->empty() || sample.answer->find('\n') != std::string::npos) {
    return invalid_input("\"answer\" is not one line");
  }
  if (sample.messages.back().role != Role::kAssistant) {
    sample.messages.push_back({Role::kAssistant, *sample.answer});
  }
  if (sample.messages.size() < 2) return invalid_input("nothing comes before the answer");
  return sample;
}

absl::StatusOr<std::vector<Sample>> parse_graded_samples(std::string_view text, size_t limit) {
  std::vector<Sample> samples;
  BRISK_RETURN_IF_ERROR(for_each_line(text, [&](std::string_view line) -> absl::Status {
    if (limit > 0 && samples.size() == limit) return absl::OkStatus();
    BRISK_ASSIGN_OR_RETURN(Sample sample, parse_sample(line));
    if (sample.answer.has_value()) samples.push_back(std::move(sample));
    return absl::OkStatus();
  }));
  if (samples.empty()) {
    return invalid_input("no line has an \"answer\", so that nothing can be scored");
  }
  return samples;
}

}  // namespace brisk::tasks
