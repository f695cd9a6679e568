#include "serve/api/anthropic_messages.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>

#include "base/status.h"
#include "serve/api/errors.h"
#include "serve/api/tool_request.h"

namespace brisk::api {
namespace {

constexpr size_t kMessagesMax = 4096;

absl::Status blame(const std::string& param, std::string_view what) {
  return bad_param(param, fmt::format("{} {}", param, what));
}

const OrderedJson* find(const OrderedJson& object, const char* key) {
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

// The string at `key`; null when there is none.
const std::string* find_string(const OrderedJson& object, const char* key) {
  const OrderedJson* value = find(object, key);
  return value != nullptr && value->is_string() ? &value->get_ref<const std::string&>() : nullptr;
}

void append_line(std::string& text, const std::string& more) {
  if (!text.empty()) text += '\n';
  text += more;
}

// A string, or an array of text blocks.
absl::StatusOr<std::string> read_text(const OrderedJson& content, const std::string& where) {
  if (content.is_string()) return content.get<std::string>();
  if (!content.is_array()) return blame(where, "must be a string or an array of content blocks");
  std::string text;
  for (size_t i = 0; i < content.size(); ++i) {
    const std::string here = fmt::format("{}.{}", where, i);
    const std::string* type = content[i].is_object() ? find_string(content[i], "type") : nullptr;
    if (type == nullptr || *type != "text") {
      return blame(here, "must be a block of type text: this model reads nothing else");
    }
    const std::string* part = find_string(content[i], "text");
    if (part == nullptr) return blame(here + ".text", "must be a string");
    append_line(text, *part);
  }
  return text;
}

class MessageReader {
 public:
  absl::StatusOr<OrderedJson> run(const OrderedJson& body) {
    if (const OrderedJson* system = find(body, "system")) {
      BRISK_ASSIGN_OR_RETURN(std::string text, read_text(*system, "system"));
      if (!text.empty()) chat_.push_back({{"role", "system"}, {"content", std::move(text)}});
    }
    const OrderedJson* messages = find(body, "messages");
    if (messages == nullptr || !messages->is_array() || messages->empty() ||
        messages->size() > kMessagesMax) {
      return blame("messages", fmt::format("must be an array of 1 to {} messages", kMessagesMax));
    }
    for (size_t i = 0; i < messages->size(); ++i) {
      BRISK_RETURN_IF_ERROR(read_message((*messages)[i], fmt::format("messages.{}", i)));
    }
    BRISK_RETURN_IF_ERROR(normalize_tool_messages(chat_));
    return std::move(chat_);
  }

 private:
  absl::Status read_message(const OrderedJson& message, const std::string& where) {
    if (!message.is_object()) return blame(where, "must be an object");
    const std::string* role = find_string(message, "role");
    const OrderedJson* content = find(message, "content");
    if (role == nullptr || (*role != "user" && *role != "assistant")) {
      return blame(where + ".role", "must be user or assistant");
    }
    if (content == nullptr || !(content->is_string() || content->is_array())) {
      return blame(where + ".content", "must be a string or an array of content blocks");
    }
    const std::string inside = where + ".content";
    return *role == "user" ? read_user(*content, inside) : read_assistant(*content, inside);
  }

  // Messages of one side that follow each other are one.
  void add_user_text(const std::string& text) {
    if (chat_.empty() || chat_.back()["role"] != "user") {
      chat_.push_back({{"role", "user"}, {"content", text}});
    } else {
      append_line(chat_.back()["content"].get_ref<std::string&>(), text);
    }
  }

  absl::Status read_user(const OrderedJson& content, const std::string& where) {
    if (content.is_string()) {
      add_user_text(content.get<std::string>());
      return absl::OkStatus();
    }
    for (size_t i = 0; i < content.size(); ++i) {
      const std::string here = fmt::format("{}.{}", where, i);
      const std::string* type = content[i].is_object() ? find_string(content[i], "type") : nullptr;
      if (type != nullptr && *type == "tool_result") {
        BRISK_RETURN_IF_ERROR(read_result(content[i], here));
      } else {
        BRISK_ASSIGN_OR_RETURN(const std::string text,
                               read_text(OrderedJson::array({content[i]}), here));
        add_user_text(text);
      }
    }
    return absl::OkStatus();
  }

  absl::Status read_result(const OrderedJson& block, const std::string& where) {
    const std::string* id = find_string(block, "tool_use_id");
    if (id == nullptr || std::ranges::find(calls_, *id) == calls_.end()) {
      return blame(where + ".tool_use_id", "must be the id of a tool_use in the message before");
    }
    std::string text;
    if (const OrderedJson* content = find(block, "content")) {
      BRISK_ASSIGN_OR_RETURN(text, read_text(*content, where + ".content"));
    }
    chat_.push_back({{"role", "tool"}, {"tool_call_id", *id}, {"content", std::move(text)}});
    return absl::OkStatus();
  }

  absl::Status read_assistant(const OrderedJson& content, const std::string& where) {
    std::string text;
    OrderedJson calls = OrderedJson::array();
    calls_.clear();
    if (content.is_string()) text = content.get<std::string>();
    for (size_t i = 0; content.is_array() && i < content.size(); ++i) {
      const std::string here = fmt::format("{}.{}", where, i);
      const std::string* type = content[i].is_object() ? find_string(content[i], "type") : nullptr;
      if (type != nullptr && (*type == "thinking" || *type == "redacted_thinking")) continue;
      if (type != nullptr && *type == "tool_use") {
        BRISK_RETURN_IF_ERROR(read_call(content[i], here, calls));
      } else {
        BRISK_ASSIGN_OR_RETURN(const std::string part,
                               read_text(OrderedJson::array({content[i]}), here));
        append_line(text, part);
      }
    }
    OrderedJson message = {{"role", "assistant"}, {"content", text}};
    if (!calls.empty()) {
      if (text.empty()) message["content"] = nullptr;
      message["tool_calls"] = std::move(calls);
    }
    chat_.push_back(std::move(message));
    return absl::OkStatus();
  }

  absl::Status read_call(const OrderedJson& block, const std::string& where, OrderedJson& calls) {
    const std::string* id = find_string(block, "id");
    const std::string* name = find_string(block, "name");
    const OrderedJson* input = find(block, "input");
    if (id == nullptr || id->empty()) return blame(where + ".id", "must be a string");
    if (name == nullptr || name->empty()) return blame(where + ".name", "must be a string");
    if (input == nullptr || !input->is_object())
      return blame(where + ".input", "must be an object");
    if (std::ranges::find(calls_, *id) != calls_.end()) {
      return blame(where + ".id", "is that of another tool_use");
    }
    calls_.push_back(*id);
    calls.push_back({{"id", *id},
                     {"type", "function"},
                     {"function", {{"name", *name}, {"arguments", *input}}}});
    return absl::OkStatus();
  }

  OrderedJson chat_ = OrderedJson::array();
  std::vector<std::string> calls_;  // ids in the last message of the assistant
};

}  // namespace

absl::StatusOr<OrderedJson> chat_of_anthropic(const OrderedJson& body) {
  return MessageReader().run(body);
}

}  // namespace brisk::api
