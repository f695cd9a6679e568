#include "serve/api/tool_request.h"

#include <absl/container/flat_hash_map.h>
#include <absl/container/flat_hash_set.h>

#include <algorithm>
#include <utility>

#include "base/status.h"
#include "engine/grammar/json_schema.h"
#include "engine/grammar/tool_call_grammar.h"
#include "serve/api/errors.h"

namespace brisk::api {
namespace {

constexpr size_t kToolNameBytesMax = 64;
constexpr size_t kCallIdBytesMax = 256;
constexpr size_t kDescriptionBytesMax = 65'536;

bool is_tool_name(std::string_view name) {
  return !name.empty() && name.size() <= kToolNameBytesMax && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
  });
}

const OrderedJson* find(const OrderedJson& object, const char* key) {
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

absl::Status blame(std::string_view param, std::string_view what) {
  return bad_param(param, fmt::format("{} {}", param, what));
}

OrderedJson no_parameters() { return {{"type", "object"}, {"properties", OrderedJson::object()}}; }

absl::Status check_parameters(const OrderedJson& parameters, const std::string& param) {
  const auto type = parameters.is_object() ? parameters.find("type") : parameters.end();
  if (!parameters.is_object() || (type != parameters.end() && *type != "object")) {
    return blame(param, "must be a JSON Schema of type object");
  }
  const auto properties = parameters.find("properties");
  if (properties != parameters.end() && !properties->is_object()) {
    return blame(param, "has properties that are no object");
  }
  if (parameters.dump().size() > kSchemaBytesMax) {
    return blame(param, fmt::format("has more than {} bytes", kSchemaBytesMax));
  }
  return absl::OkStatus();
}

// {"type": "function", "function": {"name", "description", "parameters", "strict"}}
absl::Status read_tool(const Json& json, const OrderedJson& ordered, const std::string& where,
                       ToolRequest* request) {
  if (!json.is_object()) return blame(where, "must be an object");
  Fields fields(json, where + ".");
  if (fields.string("type", "function") != "function") {
    fields.fail("type", "must be function: this server calls no other tools");
  }
  const Json* function = fields.find("function");
  if (function == nullptr || !function->is_object()) {
    fields.fail("function", "must be an object with a name");
  }
  BRISK_RETURN_IF_ERROR(fields.finish());
  const std::string inner = where + ".function";
  Fields parts(*function, inner + ".");
  const ToolDefinition definition{.name = parts.find("name"),
                                  .description = parts.find("description"),
                                  .parameters = find(ordered["function"], "parameters"),
                                  .is_strict = parts.boolean("strict", false),
                                  .name_param = inner + ".name",
                                  .parameters_param = inner + ".parameters"};
  parts.ignore("parameters");
  BRISK_RETURN_IF_ERROR(parts.finish());
  return add_tool(definition, request);
}

absl::Status read_choice_object(const Json& choice, ToolRequest* request) {
  Fields fields(choice, "tool_choice.");
  const std::string type = fields.string("type", "");
  if (type == "allowed_tools") {
    const Json* allowed = fields.find("allowed_tools");
    if (allowed == nullptr || !allowed->is_object()) {
      fields.fail("allowed_tools", "must be an object with a mode and tools");
    }
    BRISK_RETURN_IF_ERROR(fields.finish());
    Fields inner(*allowed, "tool_choice.allowed_tools.");
    read_allowed_tools(inner, "tool_choice.allowed_tools", "function", request);
    return inner.finish();
  }
  if (type != "function") fields.fail("type", "must be function or allowed_tools");
  const Json* function = fields.find("function");
  if (function == nullptr || !function->is_object()) {
    fields.fail("function", "must be an object with a name");
  }
  BRISK_RETURN_IF_ERROR(fields.finish());
  Fields named(*function, "tool_choice.function.");
  const std::string name = named.string("name", "");
  BRISK_RETURN_IF_ERROR(named.finish());
  return choose_tool(name, "tool_choice.function.name", request);
}

void read_choice(Fields& fields, ToolRequest* request) {
  const bool has_tools = !request->tools.empty();
  request->use = has_tools ? ToolUse::kAuto : ToolUse::kNone;
  const Json* choice = fields.find("tool_choice");
  if (choice == nullptr) return;
  if (*choice == "none") {
    request->use = ToolUse::kNone;
  } else if (*choice == "auto") {
    return;
  } else if (!has_tools) {
    fields.fail("tool_choice", "is only allowed when 'tools' are specified");
  } else if (*choice == "required") {
    request->use = ToolUse::kRequired;
  } else if (choice->is_object()) {
    fields.take(read_choice_object(*choice, request));
  } else {
    fields.fail("tool_choice", "must be none, auto, required or an object that names a function");
  }
}

// The calls of one message: id -> the tool's name.
using Calls = absl::flat_hash_map<std::string, std::string>;

// Templates read arguments as an object; clients send them as its text.
absl::Status normalize_arguments(OrderedJson& function, const std::string& where) {
  const std::string param = where + ".function.arguments";
  OrderedJson& arguments = function["arguments"];
  if (arguments.is_null() || arguments == "") arguments = OrderedJson::object();
  if (arguments.is_string()) {
    absl::StatusOr<OrderedJson> parsed =
        parse_ordered_json(arguments.get_ref<const std::string&>());
    if (!parsed.ok())
      return blame(param, fmt::format("is no JSON: {}", message_of(parsed.status())));
    arguments = *std::move(parsed);
  }
  return arguments.is_object() ? absl::OkStatus() : blame(param, "must be a JSON object");
}

absl::Status normalize_call(OrderedJson& call, const std::string& where, Calls* calls) {
  if (!call.is_object()) return blame(where, "must be an object");
  const OrderedJson* id = find(call, "id");
  if (id == nullptr || !id->is_string() || id->get<std::string>().empty() ||
      id->get<std::string>().size() > kCallIdBytesMax) {
    return blame(where + ".id", fmt::format("must be a string of 1 to {} bytes", kCallIdBytesMax));
  }
  const OrderedJson* type = find(call, "type");
  if (type != nullptr && *type != "function") return blame(where + ".type", "must be function");
  const OrderedJson* function = find(call, "function");
  const OrderedJson* name =
      function != nullptr && function->is_object() ? find(*function, "name") : nullptr;
  if (name == nullptr || !name->is_string() || name->get<std::string>().empty()) {
    return blame(where + ".function.name", "must be a string");
  }
  const bool is_new = calls->try_emplace(id->get<std::string>(), name->get<std::string>()).second;
  // From here on `name` is gone: members that are added move the others.
  BRISK_RETURN_IF_ERROR(normalize_arguments(call["function"], where));
  return is_new ? absl::OkStatus() : blame(where + ".id", "is that of another call");
}

absl::Status normalize_calls(OrderedJson& message, const std::string& where, Calls* calls) {
  const auto tool_calls = message.find("tool_calls");
  if (tool_calls == message.end()) return absl::OkStatus();
  if (tool_calls->is_null() || (tool_calls->is_array() && tool_calls->empty())) {
    message.erase(tool_calls);  // templates take its presence for calls
    if (message["content"].is_null()) message["content"] = "";
    return absl::OkStatus();
  }
  const std::string param = where + ".tool_calls";
  if (!tool_calls->is_array() || tool_calls->size() > kToolsMax) {
    return blame(param, fmt::format("must be an array of at most {} calls", kToolsMax));
  }
  for (size_t i = 0; i < tool_calls->size(); ++i) {
    BRISK_RETURN_IF_ERROR(normalize_call((*tool_calls)[i], fmt::format("{}[{}]", param, i), calls));
  }
  return absl::OkStatus();
}

absl::Status normalize_result(OrderedJson& message, const std::string& where, const Calls& calls) {
  const std::string param = where + ".tool_call_id";
  const OrderedJson* id = find(message, "tool_call_id");
  if (id == nullptr || !id->is_string()) return blame(param, "must be a string");
  const auto call = calls.find(id->get<std::string>());
  if (call == calls.end()) {
    return blame(param,
                 "names no call: a message of role tool must answer one of 'tool_calls' of the "
                 "assistant's message before it");
  }
  if (find(message, "name") == nullptr) message["name"] = call->second;
  return absl::OkStatus();
}

}  // namespace

absl::Status add_tool(const ToolDefinition& definition, ToolRequest* request) {
  const bool has_name = definition.name != nullptr && definition.name->is_string() &&
                        is_tool_name(definition.name->get_ref<const std::string&>());
  if (!has_name) {
    return with_code(blame(definition.name_param,
                           fmt::format("must be a string of 1 to {} letters, digits, '_' and '-'",
                                       kToolNameBytesMax)),
                     "invalid_value");
  }
  const auto name = definition.name->get<std::string>();
  if (std::ranges::any_of(request->tools, [&](const Tool& tool) { return tool.name == name; })) {
    return blame(definition.name_param, "is that of another tool");
  }
  OrderedJson function = {{"name", name}};
  if (definition.description != nullptr) {
    if (!definition.description->is_string() ||
        definition.description->get_ref<const std::string&>().size() > kDescriptionBytesMax) {
      return blame(definition.name_param.substr(0, definition.name_param.rfind('.')),
                   "has a description that is no string, or too long");
    }
    function["description"] = definition.description->get<std::string>();
  }
  function["parameters"] =
      definition.parameters == nullptr ? no_parameters() : *definition.parameters;
  BRISK_RETURN_IF_ERROR(check_parameters(function["parameters"], definition.parameters_param));
  request->tools.push_back(
      {.name = name, .schema = function["parameters"].dump(), .is_strict = definition.is_strict});
  if (request->definitions.is_null()) request->definitions = OrderedJson::array();
  request->definitions.push_back({{"type", "function"}, {"function", std::move(function)}});
  return absl::OkStatus();
}

absl::Status choose_tool(const std::string& name, std::string_view param, ToolRequest* request) {
  const auto is_it = [&](const Tool& tool) { return tool.name == name; };
  if (!std::ranges::any_of(request->tools, is_it)) {
    return blame(param, "names none of the tools of this request");
  }
  request->use = ToolUse::kRequired;
  request->only = name;
  return absl::OkStatus();
}

void read_tool_list(Fields& fields, const OrderedJson& body, ReadTool read, std::string_view path,
                    ToolRequest* request) {
  const Json* tools = fields.find("tools");
  if (tools == nullptr) return;
  if (!tools->is_array() || tools->size() > kToolsMax) {
    fields.fail("tools", fmt::format("must be an array of at most {} tools", kToolsMax));
    return;
  }
  for (size_t i = 0; i < tools->size(); ++i) {
    const std::string where = fmt::format(fmt::runtime(path), i);
    fields.take(read((*tools)[i], body.at("tools")[i], where, request));
  }
}

void read_allowed_tools(Fields& fields, const std::string& where, const char* inside,
                        ToolRequest* request) {
  const std::string mode = fields.string("mode", "");
  if (mode != "auto" && mode != "required") fields.fail("mode", "must be auto or required");
  const Json* tools = fields.find("tools");
  if (tools == nullptr || !tools->is_array() || tools->empty() || tools->size() > kToolsMax) {
    return fields.fail("tools", fmt::format("must be an array of 1 to {} tools", kToolsMax));
  }
  absl::flat_hash_set<std::string> allowed;
  for (size_t i = 0; i < tools->size(); ++i) {
    const Json* named = &(*tools)[i];
    if (inside != nullptr && named->is_object() && named->contains(inside)) {
      named = &(*named)[inside];
    }
    const Json name = named->is_object() ? named->value("name", Json()) : Json();
    const auto is_it = [&](const Tool& tool) { return name == tool.name; };
    if (!std::ranges::any_of(request->tools, is_it)) {
      return fields.take(
          blame(fmt::format("{}.tools[{}]", where, i), "names none of the tools of this request"));
    }
    allowed.insert(name.get<std::string>());
  }
  std::erase_if(request->tools, [&](const Tool& tool) { return !allowed.contains(tool.name); });
  OrderedJson definitions = OrderedJson::array();
  for (OrderedJson& definition : request->definitions) {
    const auto name = definition["function"]["name"].get<std::string>();
    if (allowed.contains(name)) definitions.push_back(std::move(definition));
  }
  request->definitions = std::move(definitions);
  request->is_limited = true;
  request->use = mode == "required" ? ToolUse::kRequired : ToolUse::kAuto;
}

ToolRequest read_tools(Fields& fields, const OrderedJson& body) {
  ToolRequest request;
  read_tool_list(fields, body, read_tool, "tools[{}]", &request);
  read_choice(fields, &request);
  request.is_parallel = fields.boolean("parallel_tool_calls", true);
  return request;
}

absl::Status normalize_tool_messages(OrderedJson& messages) {
  Calls calls;
  for (size_t i = 0; i < messages.size(); ++i) {
    OrderedJson& message = messages[i];
    const std::string where = fmt::format("messages[{}]", i);
    if (message["role"] == "tool") {
      BRISK_RETURN_IF_ERROR(normalize_result(message, where, calls));
      continue;
    }
    calls.clear();
    if (message["role"] == "assistant") {
      BRISK_RETURN_IF_ERROR(normalize_calls(message, where, &calls));
    }
  }
  return absl::OkStatus();
}

}  // namespace brisk::api
