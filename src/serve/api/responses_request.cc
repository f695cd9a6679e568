#include "serve/api/responses_request.h"

#include <limits>
#include <utility>

#include "base/status.h"
#include "serve/api/errors.h"
#include "serve/api/responses_items.h"

namespace brisk::api {
namespace {

constexpr int64_t kInt32Max = std::numeric_limits<int32_t>::max();
constexpr std::string_view kNotSupported = "is not supported by this server";

absl::Status read_tool(const Json& json, const OrderedJson& ordered, const std::string& where,
                       ToolRequest* request) {
  if (!json.is_object()) return bad_param(where, where + " must be an object");
  Fields fields(json, where + ".");
  if (fields.string("type", "") != "function") {
    fields.fail("type", "must be function: this server has no tools of its own");
  }
  const OrderedJson* parameters =
      fields.find("parameters") == nullptr ? nullptr : &ordered.at("parameters");
  const ToolDefinition definition{.name = fields.find("name"),
                                  .description = fields.find("description"),
                                  .parameters = parameters,
                                  .is_strict = fields.boolean("strict", false),
                                  .name_param = where + ".name",
                                  .parameters_param = where + ".parameters"};
  BRISK_RETURN_IF_ERROR(fields.finish());
  return add_tool(definition, request);
}

void read_tool_choice(Fields& fields, ToolRequest* request) {
  const bool has_tools = !request->tools.empty();
  request->use = has_tools ? ToolUse::kAuto : ToolUse::kNone;
  const Json* choice = fields.find("tool_choice");
  if (choice == nullptr || *choice == "auto") return;
  if (*choice == "none") {
    request->use = ToolUse::kNone;
  } else if (!has_tools) {
    fields.fail("tool_choice", "is only allowed when 'tools' are specified");
  } else if (*choice == "required") {
    request->use = ToolUse::kRequired;
  } else if (choice->is_object()) {
    Fields inner(*choice, "tool_choice.");
    const std::string type = inner.string("type", "");
    if (type == "allowed_tools") {
      read_allowed_tools(inner, "tool_choice", nullptr, request);
      return fields.take(inner.finish());
    }
    if (type != "function") inner.fail("type", "must be function or allowed_tools");
    const std::string name = inner.string("name", "");
    fields.take(inner.finish());
    fields.take(choose_tool(name, "tool_choice.name", request));
  } else {
    fields.fail("tool_choice", "must be none, auto, required or an object that names a function");
  }
}

ToolRequest read_response_tools(Fields& fields, const OrderedJson& body) {
  ToolRequest request;
  read_tool_list(fields, body, read_tool, "tools[{}]", &request);
  read_tool_choice(fields, &request);
  request.is_parallel = fields.boolean("parallel_tool_calls", true);
  return request;
}

// {"format": {"type": "text" | "json_object" | "json_schema", "name", "schema", "strict"}}
void read_text_format(Fields& fields, const OrderedJson& body, GenerationSpec& spec) {
  const Json* text = fields.find("text");
  if (text == nullptr) return;
  if (!text->is_object()) return fields.fail("text", "must be an object");
  Fields inner(*text, "text.");
  inner.refuse("verbosity", kNotSupported, "medium");
  const Json* json = inner.find("format");
  if (json != nullptr && !json->is_object()) inner.fail("format", "must be an object");
  if (json != nullptr && json->is_object()) {
    Fields format(*json, "text.format.");
    const std::string type = format.string("type", "");
    format.string("name", "");
    format.string("description", "");
    format.boolean("strict", true);
    const bool has_schema = format.find("schema") != nullptr;
    if (type == "json_object") {
      spec.structured =
          StructuredOutput{.source = {.kind = GrammarSource::Kind::kJsonObject}, .param = "text"};
    } else if (type == "json_schema" && has_schema) {
      const OrderedJson& schema = body.at("text").at("format").at("schema");
      spec.structured = StructuredOutput{
          .source = {.kind = GrammarSource::Kind::kJsonSchema, .text = schema.dump()},
          .param = "text"};
    } else if (type == "json_schema") {
      format.fail("schema", "is missing");
    } else if (type != "text") {
      format.fail("type", "must be text, json_object or json_schema");
    }
    inner.take(format.finish());
  }
  fields.take(inner.finish());
}

void read_logprobs(Fields& fields, SamplingParams& sampling) {
  const auto top = static_cast<int>(fields.integer("top_logprobs", 0, {0, kLogprobsMax}));
  bool is_wanted = false;
  for (const std::string& part : fields.strings("include")) {
    if (part == "message.output_text.logprobs") {
      is_wanted = true;
    } else if (part != "reasoning.encrypted_content") {  // there is never any
      fields.fail("include", fmt::format("of {} is not supported", part.substr(0, 100)));
    }
  }
  if (is_wanted || top > 0) sampling.logprobs = top;
}

void read_the_rest(Fields& fields) {
  for (const char* name : {"conversation", "prompt", "background", "max_tool_calls"}) {
    fields.refuse(name, kNotSupported);
  }
  fields.refuse("truncation", "other than disabled is not supported", "disabled");
  fields.ignore("reasoning");
}

// What came before, and the input: an array of items, or a string that is a user's message.
absl::StatusOr<OrderedJson> read_items(Fields& fields, const OrderedJson& body,
                                       const FindItems& find_items) {
  OrderedJson items = OrderedJson::array();
  const std::string previous = fields.string("previous_response_id", "");
  if (!previous.empty()) {
    absl::StatusOr<OrderedJson> found = find_items(previous);
    if (!found.ok()) {
      return with_code(bad_param("previous_response_id", message_of(found.status())),
                       "previous_response_not_found");
    }
    items = *std::move(found);
  }
  const Json* input = fields.find("input");
  if (input == nullptr) return bad_param("input", "input is missing");
  if (input->is_string()) {
    items.push_back(
        {{"type", "message"}, {"role", "user"}, {"content", input->get<std::string>()}});
    return items;
  }
  if (!input->is_array()) return bad_param("input", "input must be a string or an array of items");
  for (const OrderedJson& item : body.at("input")) items.push_back(item);
  return items;
}

Json echo_of(const Json& body, const ChatRequest& chat) {
  const auto repeat = [&](const char* key, Json fallback) {
    const auto found = body.find(key);
    return found == body.end() || found->is_null() ? std::move(fallback) : *found;
  };
  return {{"instructions", repeat("instructions", nullptr)},
          {"max_output_tokens", repeat("max_output_tokens", nullptr)},
          {"metadata", repeat("metadata", Json::object())},
          {"parallel_tool_calls", chat.tools.is_parallel},
          {"previous_response_id", repeat("previous_response_id", nullptr)},
          {"reasoning", {{"effort", nullptr}, {"summary", nullptr}}},
          {"store", repeat("store", true)},
          {"temperature", chat.spec.request.sampling.temperature},
          {"text", repeat("text", {{"format", {{"type", "text"}}}})},
          {"tool_choice", repeat("tool_choice", "auto")},
          {"tools", repeat("tools", Json::array())},
          {"top_p", chat.spec.request.sampling.top_p},
          {"truncation", "disabled"},
          {"user", repeat("user", nullptr)}};
}

}  // namespace

absl::StatusOr<ResponsesRequest> parse_responses(std::string_view body,
                                                 const GenerationDefaults& defaults,
                                                 const FindItems& find_items) {
  BRISK_ASSIGN_OR_RETURN(const Json json, parse_object(body));
  BRISK_ASSIGN_OR_RETURN(const OrderedJson ordered, parse_ordered_json(body));
  Fields fields(json);
  ResponsesRequest request;
  ChatRequest& chat = request.chat;
  chat.template_args = OrderedJson::object();
  chat.spec = read_generation_spec(fields, body, defaults);
  if (chat.spec.request.choices != 1) fields.fail("n", "must be 1: a response has one answer");
  if (fields.find("max_output_tokens") != nullptr) {
    chat.spec.max_tokens = static_cast<int>(fields.integer("max_output_tokens", 1, {1, kInt32Max}));
  }
  request.is_stored = fields.boolean("store", true);
  const std::string instructions = fields.string("instructions", "");
  read_text_format(fields, ordered, chat.spec);
  read_logprobs(fields, chat.spec.request.sampling);
  chat.tools = read_response_tools(fields, ordered);
  read_the_rest(fields);
  BRISK_ASSIGN_OR_RETURN(request.items, read_items(fields, ordered, find_items));
  BRISK_RETURN_IF_ERROR(fields.finish());
  BRISK_ASSIGN_OR_RETURN(chat.messages, chat_of_items(request.items, instructions));
  request.echo = echo_of(json, chat);
  return request;
}

}  // namespace brisk::api
