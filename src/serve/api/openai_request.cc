#include "serve/api/openai_request.h"

#include <array>
#include <limits>

#include "base/status.h"
#include "serve/api/errors.h"

namespace brisk::api {
namespace {

constexpr int64_t kInt32Max = std::numeric_limits<int32_t>::max();
constexpr size_t kMessagesMax = 4096;
constexpr std::string_view kNotYet = "is not supported by this server yet";

// [1, 2, 3] as token ids.
bool read_token_ids(const Json& json, std::vector<int32_t>& tokens) {
  for (const Json& item : json) {
    int64_t value = 0;
    if (!read_integer(item, value) || value < 0 || value > kInt32Max) return false;
    tokens.push_back(static_cast<int32_t>(value));
  }
  return true;
}

// A string, an array of strings, an array of token ids, or an array of such arrays.
absl::StatusOr<std::vector<PromptText>> read_prompts(const Json& json) {
  absl::Status wrong = bad_param(
      "prompt",
      "prompt must be a string, an array of strings, or one or several arrays of token ids");
  if (json.is_string()) return std::vector<PromptText>{json.get<std::string>()};
  if (!json.is_array() || json.empty()) return wrong;
  std::vector<PromptText> prompts;
  if (json[0].is_number()) {
    std::vector<int32_t> tokens;
    if (!read_token_ids(json, tokens)) return wrong;
    prompts.emplace_back(std::move(tokens));
    return prompts;
  }
  if (json.size() > kPromptsMax) {
    return bad_param("prompt", fmt::format("prompt holds {} prompts; at most {} are allowed",
                                           json.size(), kPromptsMax));
  }
  for (const Json& item : json) {
    std::vector<int32_t> tokens;
    if (item.is_string()) {
      prompts.emplace_back(item.get<std::string>());
    } else if (item.is_array() && !item.empty() && read_token_ids(item, tokens)) {
      prompts.emplace_back(std::move(tokens));
    } else {
      return wrong;
    }
  }
  return prompts;
}

// [{"type": "text", "text": "..."}, ...]: the texts, a line each.
absl::StatusOr<std::string> join_parts(const OrderedJson& parts, const std::string& where) {
  std::string text;
  for (size_t i = 0; i < parts.size(); ++i) {
    const OrderedJson& part = parts[i];
    const std::string here = fmt::format("{}.content[{}]", where, i);
    if (!part.is_object()) return bad_param(here, here + " must be an object");
    const auto type = part.find("type");
    if (type == part.end() || !type->is_string()) {
      return bad_param(here + ".type", here + ".type must be a string");
    }
    const char* key = *type == "refusal" ? "refusal" : "text";
    if (*type != "text" && *type != "refusal") {
      return bad_param(here, fmt::format("{} of type {} is not supported: this model reads text",
                                         here, type->get<std::string>().substr(0, 50)));
    }
    const auto value = part.find(key);
    if (value == part.end() || !value->is_string()) {
      return bad_param(here, fmt::format("{}.{} must be a string", here, key));
    }
    if (i > 0) text += '\n';
    text += value->get<std::string>();
  }
  return text;
}

absl::StatusOr<OrderedJson> normalize_message(const OrderedJson& message,
                                              const std::string& where) {
  if (!message.is_object()) return bad_param(where, where + " must be an object");
  constexpr std::array<std::string_view, 6> kRoles = {"system",    "developer", "user",
                                                      "assistant", "tool",      "function"};
  const auto role = message.find("role");
  if (role == message.end() || !role->is_string() ||
      std::find(kRoles.begin(), kRoles.end(), role->get_ref<const std::string&>()) ==
          kRoles.end()) {
    return bad_param(where + ".role",
                     where + ".role must be system, developer, user, assistant or tool");
  }
  OrderedJson normal = message;
  const auto content = message.find("content");
  const bool absent = content == message.end() || content->is_null();
  if (absent && *role != "assistant") {
    return bad_param(where + ".content", where + ".content is missing");
  }
  if (absent) {
    normal["content"] = message.contains("tool_calls") ? OrderedJson(nullptr) : OrderedJson("");
  } else if (content->is_array()) {
    BRISK_ASSIGN_OR_RETURN(normal["content"], join_parts(*content, where));
  } else if (!content->is_string()) {
    return bad_param(where + ".content",
                     where + ".content must be a string or an array of content parts");
  }
  return normal;
}

void read_chat_template(Fields& fields, const OrderedJson& ordered, ChatRequest& chat) {
  chat.chat_template = fields.string("chat_template", "");
  chat.template_args = OrderedJson::object();
  if (const Json* args = fields.find("chat_template_kwargs")) {
    if (args->is_object()) chat.template_args = ordered["chat_template_kwargs"];
    if (!args->is_object()) fields.fail("chat_template_kwargs", "must be an object");
  }
  const std::string effort = fields.string("reasoning_effort", "");
  if (!effort.empty()) chat.template_args["reasoning_effort"] = effort;
  chat.add_generation_prompt = fields.boolean("add_generation_prompt", true);
  chat.continue_final_message = fields.boolean("continue_final_message", false);
  const bool asked = fields.find("add_generation_prompt") != nullptr;
  if (chat.continue_final_message && asked && chat.add_generation_prompt) {
    fields.fail("continue_final_message", "excludes add_generation_prompt");
  }
  if (chat.continue_final_message) chat.add_generation_prompt = false;
  chat.add_special_tokens = fields.boolean("add_special_tokens", false);
}

void read_chat_logprobs(Fields& fields, SamplingParams& sampling) {
  const bool wanted = fields.boolean("logprobs", false);
  const auto top = static_cast<int>(fields.integer("top_logprobs", 0, {0, kLogprobsMax}));
  if (top > 0 && !wanted) fields.fail("top_logprobs", "is only allowed when 'logprobs' is true");
  sampling.logprobs = wanted ? top : -1;
}

void refuse_the_rest(Fields& fields) {
  for (const char* name : {"audio", "web_search_options", "echo"}) {
    fields.refuse(name, kNotYet);
  }
  fields.refuse("functions", "is deprecated and not supported; use 'tools'");
  fields.refuse("function_call", "is deprecated and not supported; use 'tool_choice'", "none");
  fields.refuse("modalities", "other than text are not supported", Json::array({"text"}));
  fields.refuse("verbosity", kNotYet, "medium");
}

void read_best_of(Fields& fields, CompletionRequest& request) {
  request.returned = request.spec.request.choices;
  const auto best_of =
      static_cast<int>(fields.integer("best_of", request.returned, {1, kChoicesMax}));
  if (best_of < request.returned) fields.fail("best_of", "must be at least n");
  if (best_of == request.returned) return;
  if (request.spec.stream) {
    fields.fail("best_of", "cannot be above n in a stream: the best are known at the end");
  }
  request.spec.request.choices = best_of;
}

}  // namespace

absl::StatusOr<Json> parse_object(std::string_view body) {
  absl::StatusOr<Json> json = parse_json(body);
  if (!json.ok()) {
    return annotate(json.status(), "the body");
  }
  if (!json->is_object()) return invalid_input("the body must be a JSON object");
  return json;
}

absl::StatusOr<CompletionRequest> parse_completion(std::string_view body,
                                                   const GenerationDefaults& defaults) {
  BRISK_ASSIGN_OR_RETURN(const Json json, parse_object(body));
  Fields fields(json);
  CompletionRequest request;
  request.spec = read_generation_spec(fields, body, defaults);
  const Json* prompt = fields.find("prompt");
  if (prompt == nullptr) return bad_param("prompt", "prompt is missing");
  BRISK_ASSIGN_OR_RETURN(request.prompts, read_prompts(*prompt));
  read_best_of(fields, request);
  if (std::ssize(request.prompts) * request.spec.request.choices > kPromptsMax) {
    return bad_param(
        "n", fmt::format("{} prompts of {} choices; at most {} choices are allowed",
                         request.prompts.size(), request.spec.request.choices, kPromptsMax));
  }
  request.echo = fields.boolean("echo", false);
  request.only_echo = request.echo && request.spec.max_tokens == 0;
  if (request.only_echo) request.spec.max_tokens = 1;
  request.add_special_tokens = fields.boolean("add_special_tokens", true);
  if (fields.find("logprobs") != nullptr) {
    request.spec.request.sampling.logprobs =
        static_cast<int>(fields.integer("logprobs", 0, {0, kLogprobsMax}));
  }
  fields.refuse("suffix", "is not supported by this model");
  BRISK_RETURN_IF_ERROR(fields.finish());
  return request;
}

absl::StatusOr<ChatRequest> parse_chat(std::string_view body, const GenerationDefaults& defaults,
                                       const char* also_known) {
  BRISK_ASSIGN_OR_RETURN(const Json json, parse_object(body));
  BRISK_ASSIGN_OR_RETURN(const OrderedJson ordered, parse_ordered_json(body));
  Fields fields(json);
  ChatRequest request;
  request.spec = read_generation_spec(fields, body, defaults);
  if (fields.find("messages") == nullptr) return bad_param("messages", "messages is missing");
  BRISK_ASSIGN_OR_RETURN(request.messages, normalize_messages(ordered["messages"]));
  if (fields.find("max_completion_tokens") != nullptr) {
    request.spec.max_tokens =
        static_cast<int>(fields.integer("max_completion_tokens", 1, {1, kInt32Max}));
  }
  read_chat_logprobs(fields, request.spec.request.sampling);
  read_chat_template(fields, ordered, request);
  request.tools = read_tools(fields, ordered);
  refuse_the_rest(fields);
  if (also_known != nullptr) fields.ignore(also_known);
  BRISK_RETURN_IF_ERROR(fields.finish());
  return request;
}

absl::StatusOr<OrderedJson> normalize_messages(const OrderedJson& messages) {
  if (!messages.is_array() || messages.empty() || messages.size() > kMessagesMax) {
    return bad_param("messages",
                     fmt::format("messages must be an array of 1 to {} messages", kMessagesMax));
  }
  OrderedJson normal = OrderedJson::array();
  for (size_t i = 0; i < messages.size(); ++i) {
    BRISK_ASSIGN_OR_RETURN(OrderedJson message,
                           normalize_message(messages[i], fmt::format("messages[{}]", i)));
    normal.push_back(std::move(message));
  }
  BRISK_RETURN_IF_ERROR(normalize_tool_messages(normal));
  return normal;
}

}  // namespace brisk::api
