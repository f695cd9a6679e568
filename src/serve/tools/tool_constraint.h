// What an answer must look like so that the calls in it are valid, in the family's own syntax.
#pragma once

#include <optional>

#include "engine/grammar/tool_call_grammar.h"
#include "serve/api/tool_request.h"
#include "serve/tools/tool_call_syntax.h"

namespace brisk::api {

// Nothing: any answer will do, since no call is required and no tool is strict.
std::optional<ToolCallForms> tool_call_forms(const ToolRequest& request, ToolCallSyntax syntax);

}  // namespace brisk::api
