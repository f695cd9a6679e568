#include "serve/api/anthropic_request.h"

#include <limits>
#include <string>
#include <utility>

#include "base/status.h"
#include "engine/text_stream.h"
#include "serve/api/anthropic_messages.h"
#include "serve/api/errors.h"

namespace brisk::api {
namespace {

constexpr int64_t kInt32Max = std::numeric_limits<int32_t>::max();
constexpr std::string_view kNotYet = "is not supported by this server";

// Everything as the model's defaults have it.
GenerationSpec default_spec(const GenerationDefaults& defaults) {
  const Json nothing = Json::object();
  Fields fields(nothing);
  return read_generation_spec(fields, "{}", defaults);
}

void read_sampling(Fields& fields, GenerationSpec& spec) {
  SamplingParams& sampling = spec.request.sampling;
  sampling.temperature = fields.number("temperature", sampling.temperature, {0, 1});
  sampling.top_p = fields.number("top_p", sampling.top_p, {0, 1});
  if (sampling.top_p == 0) fields.fail("top_p", "must be above 0");
  sampling.top_k = static_cast<int>(fields.integer("top_k", sampling.top_k, {0, kInt32Max}));
  const Json* stops = fields.find("stop_sequences");
  if (stops != nullptr && !stops->is_array()) {
    fields.fail("stop_sequences", "must be an array of strings");
  }
  spec.stop = fields.strings("stop_sequences");
  if (const auto checked = StopStrings::create(spec.stop); !checked.ok()) {
    fields.take(bad_param("stop_sequences",
                          fmt::format("stop_sequences: {}", message_of(checked.status()))));
  }
  spec.stream = fields.boolean("stream", false);
  if (const Json* metadata = fields.find("metadata")) {
    if (!metadata->is_object()) return fields.fail("metadata", "must be an object");
    Fields inner(*metadata, "metadata.");
    spec.user = inner.string("user_id", "");
    fields.take(inner.finish());
  }
}

// {"format": {"type": "json_schema", "schema": {...}}}
void read_output_config(Fields& fields, const OrderedJson& body, GenerationSpec& spec) {
  const Json* config = fields.find("output_config");
  if (config == nullptr) return;
  if (!config->is_object()) return fields.fail("output_config", "must be an object");
  Fields inner(*config, "output_config.");
  inner.ignore("effort");
  if (const Json* format = inner.find("format")) {
    const bool is_schema = format->is_object() && format->value("type", Json()) == "json_schema" &&
                           format->contains("schema");
    if (!is_schema) inner.fail("format", "must be of type json_schema, with a schema");
    if (is_schema) {
      const OrderedJson& schema = body.at("output_config").at("format").at("schema");
      spec.structured = StructuredOutput{
          .source = {.kind = GrammarSource::Kind::kJsonSchema, .text = schema.dump()},
          .param = "output_config"};
    }
  }
  fields.take(inner.finish());
}

absl::Status read_tool(const Json& json, const OrderedJson& ordered, const std::string& where,
                       ToolRequest* request) {
  if (!json.is_object()) return bad_param(where, where + " must be an object");
  Fields fields(json, where + ".");
  if (fields.string("type", "custom") != "custom") {
    fields.fail("type", "must be custom: this server has no tools of its own");
  }
  if (fields.find("input_schema") == nullptr) fields.fail("input_schema", "is missing");
  const ToolDefinition definition{
      .name = fields.find("name"),
      .description = fields.find("description"),
      .parameters = json.contains("input_schema") ? &ordered.at("input_schema") : nullptr,
      .is_strict = fields.boolean("strict", false),
      .name_param = where + ".name",
      .parameters_param = where + ".input_schema"};
  for (const char* name : {"cache_control", "input_examples", "defer_loading", "allowed_callers",
                           "eager_input_streaming"}) {
    fields.ignore(name);
  }
  BRISK_RETURN_IF_ERROR(fields.finish());
  return add_tool(definition, request);
}

void read_tool_choice(Fields& fields, ToolRequest* request) {
  request->use = request->tools.empty() ? ToolUse::kNone : ToolUse::kAuto;
  const Json* choice = fields.find("tool_choice");
  if (choice == nullptr) return;
  if (!choice->is_object()) return fields.fail("tool_choice", "must be an object");
  Fields inner(*choice, "tool_choice.");
  const std::string type = inner.string("type", "");
  request->is_parallel = !inner.boolean("disable_parallel_tool_use", false);
  const std::string name = inner.string("name", "");
  fields.take(inner.finish());
  if (type == "none") {
    request->use = ToolUse::kNone;
  } else if (request->tools.empty()) {
    fields.fail("tool_choice", "is only allowed with tools");
  } else if (type == "any") {
    request->use = ToolUse::kRequired;
  } else if (type == "tool") {
    fields.take(choose_tool(name, "tool_choice.name", request));
  } else if (type != "auto") {
    fields.fail("tool_choice", "must be of type auto, any, tool or none");
  }
}

ToolRequest read_anthropic_tools(Fields& fields, const OrderedJson& body) {
  ToolRequest request;
  read_tool_list(fields, body, read_tool, "tools.{}", &request);
  read_tool_choice(fields, &request);
  return request;
}

void read_the_rest(Fields& fields) {
  for (const char* name :
       {"service_tier", "inference_geo", "cache_control", "context_management"}) {
    fields.ignore(name);
  }
  for (const char* name : {"mcp_servers", "container"}) fields.refuse(name, kNotYet);
  if (const Json* thinking = fields.find("thinking")) {
    const bool is_off = thinking->is_object() && thinking->value("type", Json()) == "disabled";
    if (!is_off) fields.fail("thinking", "of other types than disabled is not supported");
  }
}

}  // namespace

absl::StatusOr<ChatRequest> parse_anthropic(std::string_view body,
                                            const GenerationDefaults& defaults,
                                            AnthropicEndpoint endpoint) {
  BRISK_ASSIGN_OR_RETURN(const Json json, parse_object(body));
  BRISK_ASSIGN_OR_RETURN(const OrderedJson ordered, parse_ordered_json(body));
  Fields fields(json);
  ChatRequest chat;
  chat.template_args = OrderedJson::object();
  chat.spec = default_spec(defaults);
  chat.spec.model = fields.string("model", "");
  chat.spec.max_tokens = static_cast<int>(fields.integer("max_tokens", 1, {1, kInt32Max}));
  const bool has_max = fields.find("max_tokens") != nullptr;
  if (endpoint == AnthropicEndpoint::kMessages && !has_max) {
    fields.fail("max_tokens", "is missing: say how many tokens the answer may have");
  }
  read_sampling(fields, chat.spec);
  read_output_config(fields, ordered, chat.spec);
  chat.tools = read_anthropic_tools(fields, ordered);
  read_the_rest(fields);
  fields.ignore("messages");
  fields.ignore("system");
  BRISK_RETURN_IF_ERROR(fields.finish());
  BRISK_ASSIGN_OR_RETURN(chat.messages, chat_of_anthropic(ordered));
  const OrderedJson& last = chat.messages.back();
  chat.continue_final_message = last["role"] == "assistant" && !last.contains("tool_calls");
  chat.add_generation_prompt = !chat.continue_final_message;
  return chat;
}

}  // namespace brisk::api
