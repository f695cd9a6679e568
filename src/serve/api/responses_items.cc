#include "serve/api/responses_items.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "base/status.h"
#include "serve/api/errors.h"
#include "serve/api/tool_request.h"
#include "serve/http/wire.h"

namespace brisk::api {
namespace {

absl::Status blame(const std::string& param, std::string_view what) {
  return bad_param(param, fmt::format("{} {}", param, what));
}

const OrderedJson* find(const OrderedJson& object, const char* key) {
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

const std::string* find_string(const OrderedJson& object, const char* key) {
  const OrderedJson* value = find(object, key);
  return value != nullptr && value->is_string() ? &value->get_ref<const std::string&>() : nullptr;
}

// A string, or an array of {"type": "input_text" | "output_text", "text"}.
absl::StatusOr<std::string> read_text(const OrderedJson* content, const std::string& where) {
  if (content != nullptr && content->is_string()) return content->get<std::string>();
  if (content == nullptr || !content->is_array()) {
    return blame(where, "must be a string or an array of content parts");
  }
  std::string text;
  for (size_t i = 0; i < content->size(); ++i) {
    const std::string here = fmt::format("{}[{}]", where, i);
    const OrderedJson& part = (*content)[i];
    const std::string* type = part.is_object() ? find_string(part, "type") : nullptr;
    if (type == nullptr) return blame(here + ".type", "must be a string");
    const bool is_refusal = *type == "refusal";
    if (*type != "input_text" && *type != "output_text" && *type != "text" && !is_refusal) {
      return blame(here, "is no text: this model reads nothing else");
    }
    const std::string* value = find_string(part, is_refusal ? "refusal" : "text");
    if (value == nullptr) return blame(here + ".text", "must be a string");
    if (i > 0) text += '\n';
    text += *value;
  }
  return text;
}

class ItemReader {
 public:
  absl::Status read(const OrderedJson& item, const std::string& where) {
    if (!item.is_object()) return blame(where, "must be an object");
    const std::string* type = find_string(item, "type");
    if (type == nullptr || *type == "message") return read_message(item, where);
    if (*type == "function_call") return read_call(item, where);
    if (*type == "function_call_output") return read_output(item, where);
    if (*type == "reasoning") return absl::OkStatus();
    return blame(where + ".type",
                 "must be message, function_call, function_call_output or reasoning");
  }

  absl::StatusOr<OrderedJson> take() {
    BRISK_RETURN_IF_ERROR(normalize_tool_messages(chat_));
    return std::move(chat_);
  }

  void add_system(const std::string& text) {
    chat_.push_back({{"role", "system"}, {"content", text}});
  }

 private:
  absl::Status read_message(const OrderedJson& item, const std::string& where) {
    constexpr std::array<std::string_view, 4> kRoles = {"user", "assistant", "system", "developer"};
    const std::string* role = find_string(item, "role");
    if (role == nullptr || std::ranges::find(kRoles, *role) == kRoles.end()) {
      return blame(where + ".role", "must be user, assistant, system or developer");
    }
    BRISK_ASSIGN_OR_RETURN(std::string text, read_text(find(item, "content"), where + ".content"));
    if (*role == "assistant") calls_.clear();
    chat_.push_back(
        {{"role", *role == "developer" ? "system" : *role}, {"content", std::move(text)}});
    return absl::OkStatus();
  }

  // Calls belong to the assistant's message before them.
  absl::Status read_call(const OrderedJson& item, const std::string& where) {
    const std::string* id = find_string(item, "call_id");
    const std::string* name = find_string(item, "name");
    const std::string* arguments = find_string(item, "arguments");
    if (id == nullptr || id->empty()) return blame(where + ".call_id", "must be a string");
    if (name == nullptr || name->empty()) return blame(where + ".name", "must be a string");
    if (arguments == nullptr) return blame(where + ".arguments", "must be a string");
    const absl::StatusOr<OrderedJson> json = parse_ordered_json(*arguments);
    if (!json.ok() || !json->is_object()) {
      return blame(where + ".arguments", "must be the text of a JSON object");
    }
    if (chat_.empty() || chat_.back()["role"] != "assistant") {
      calls_.clear();
      chat_.push_back({{"role", "assistant"}, {"content", nullptr}});
    }
    if (std::ranges::find(calls_, *id) != calls_.end()) {
      return blame(where + ".call_id", "is that of another call");
    }
    calls_.push_back(*id);
    OrderedJson& calls = chat_.back()["tool_calls"];
    if (calls.is_null()) calls = OrderedJson::array();
    calls.push_back(
        {{"id", *id}, {"type", "function"}, {"function", {{"name", *name}, {"arguments", *json}}}});
    return absl::OkStatus();
  }

  absl::Status read_output(const OrderedJson& item, const std::string& where) {
    const std::string* id = find_string(item, "call_id");
    const bool follows =
        !chat_.empty() && (chat_.back()["role"] == "tool" || chat_.back().contains("tool_calls"));
    if (id == nullptr || !follows || std::ranges::find(calls_, *id) == calls_.end()) {
      return blame(where + ".call_id", "must be that of a function_call just before");
    }
    BRISK_ASSIGN_OR_RETURN(std::string text, read_text(find(item, "output"), where + ".output"));
    chat_.push_back({{"role", "tool"}, {"tool_call_id", *id}, {"content", std::move(text)}});
    return absl::OkStatus();
  }

  OrderedJson chat_ = OrderedJson::array();
  std::vector<std::string> calls_;  // ids in the last message of the assistant
};

std::string_view type_of(const OrderedJson& item) {
  const std::string* type = find_string(item, "type");
  return type == nullptr ? "message" : std::string_view(*type);
}

}  // namespace

void name_items(OrderedJson& items) {
  for (OrderedJson& item : items) {
    const std::string* id = find_string(item, "id");
    if (id != nullptr && !id->empty()) continue;
    const std::string_view type = type_of(item);
    const std::string_view prefix = type == "message"         ? "msg_"
                                    : type == "function_call" ? "fc_"
                                                              : "item_";
    item["id"] = std::string(prefix) + http::random_hex(24);
  }
}

OrderedJson shown_item(OrderedJson item) {
  if (type_of(item) != "message") return item;
  item["type"] = "message";
  if (!item.contains("status")) item["status"] = "completed";
  if (!item["content"].is_string()) return item;
  const std::string text = item["content"].get<std::string>();
  if (item["role"] == "assistant") {
    item["content"] = OrderedJson::array({{{"type", "output_text"},
                                           {"text", text},
                                           {"annotations", OrderedJson::array()},
                                           {"logprobs", OrderedJson::array()}}});
  } else {
    item["content"] = OrderedJson::array({{{"type", "input_text"}, {"text", text}}});
  }
  return item;
}

absl::StatusOr<OrderedJson> chat_of_items(const OrderedJson& items,
                                          const std::string& instructions) {
  if (items.empty() || items.size() > kItemsMax) {
    return blame("input", fmt::format("must have 1 to {} items, with those of the responses before",
                                      kItemsMax));
  }
  ItemReader reader;
  if (!instructions.empty()) reader.add_system(instructions);
  for (size_t i = 0; i < items.size(); ++i) {
    BRISK_RETURN_IF_ERROR(reader.read(items[i], fmt::format("input[{}]", i)));
  }
  return reader.take();
}

}  // namespace brisk::api
