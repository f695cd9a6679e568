// Anthropic's messages as those that templates know: tool_use becomes a call, tool_result a message
// of role tool, the system prompt the first message.
#pragma once

#include <absl/status/statusor.h>

#include "base/json.h"

namespace brisk::api {

// Of the "system" and "messages" of a body. Errors: InvalidArgument with the field at fault.
absl::StatusOr<OrderedJson> chat_of_anthropic(const OrderedJson& body);

}  // namespace brisk::api
