// The body of Anthropic's messages, read as the chat that it is.
#pragma once

#include <absl/status/statusor.h>

#include <string_view>

#include "serve/api/openai_request.h"

namespace brisk::api {

enum class AnthropicEndpoint : uint8_t { kMessages, kCountTokens };

// Errors: InvalidArgument, with the field at fault as Anthropic names it: messages.0.content.
absl::StatusOr<ChatRequest> parse_anthropic(std::string_view body,
                                            const GenerationDefaults& defaults,
                                            AnthropicEndpoint endpoint);

}  // namespace brisk::api
