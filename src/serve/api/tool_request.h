// What a request says about tools: which there are, whether they may or must be called; and the
// calls and results in its messages.
#pragma once

#include <absl/status/status.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "serve/api/json_fields.h"

namespace brisk::api {

struct Tool {
  std::string name;
  std::string schema;  // of its arguments, as JSON
  bool is_strict = false;
};

enum class ToolUse : uint8_t { kNone, kAuto, kRequired };

struct ToolRequest {
  OrderedJson definitions;  // for templates: an array of OpenAI's tools; null: none
  std::vector<Tool> tools;
  ToolUse use = ToolUse::kNone;
  std::string only;         // the tool that must be called; empty: any
  bool is_parallel = true;  // several calls in one answer
  bool is_limited = false;  // there are more tools that must not be called
};

struct ToolDefinition {
  const Json* name = nullptr;               // null: absent
  const Json* description = nullptr;        // the same
  const OrderedJson* parameters = nullptr;  // the same
  bool is_strict = false;
  std::string name_param;        // what errors blame
  std::string parameters_param;  // the same
};

// Errors: InvalidArgument, with the field at fault.
absl::Status add_tool(const ToolDefinition& definition, ToolRequest* request);

// Reads one of `tools`, also as it was written; `where` is what errors blame.
using ReadTool = absl::Status (*)(const Json& tool, const OrderedJson& ordered,
                                  const std::string& where, ToolRequest* request);

// The array `tools`. `body` is what `fields` were parsed from; `path`: of a tool, with its index
// for {}. Faults go to `fields`.
void read_tool_list(Fields& fields, const OrderedJson& body, ReadTool read, std::string_view path,
                    ToolRequest* request);

// tools, tool_choice and parallel_tool_calls as OpenAI's chat completions have them. `body` is what
// `fields` were parsed from. Faults go to `fields`.
ToolRequest read_tools(Fields& fields, const OrderedJson& body);

// Of the tools only some may be called: "mode" ("auto", "required") and "tools" (each named by its
// "name", `inside` of what it has under that key; null: its own). The model is not told of others.
// `where` is what errors blame. Faults go to `fields`.
void read_allowed_tools(Fields& fields, const std::string& where, const char* inside,
                        ToolRequest* request);

// `name` must be one of the tools; it is then the one to call.
absl::Status choose_tool(const std::string& name, std::string_view param, ToolRequest* request);

// Checks the calls of assistants and the results of tools in `messages`, which have been normalized
// else, and makes them what templates read: arguments are objects, results have the tool's name.
absl::Status normalize_tool_messages(OrderedJson& messages);

}  // namespace brisk::api
