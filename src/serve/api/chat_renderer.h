// Chats rendered by a model's own template.
#pragma once

#include <absl/status/statusor.h>

#include <string>
#include <string_view>

#include "model/model.h"
#include "serve/api/served_model.h"

namespace brisk::api {

// `chat_template` replaces the checkpoint's when not empty. A model without any still gets a
// renderer, which takes chats that bring a template and refuses others. The renderer must not
// outlive `model`. Errors: InvalidArgument when the template is malformed.
absl::StatusOr<ChatRenderer> make_chat_renderer(const Model& model,
                                                const std::string& chat_template = "");

// What the template that `model` is served with tells about tools; arguments as above and of
// tool_support().
ToolSupport chat_tool_support(const Model& model, const std::string& chat_template,
                              std::string_view forced_syntax);

// Ends `rendered` with the last message's `content`, so that generation continues it: what the
// template writes behind it is cut. Errors: InvalidArgument when the template does not show it.
absl::StatusOr<std::string> cut_after_last_message(std::string rendered, std::string_view content);

}  // namespace brisk::api
