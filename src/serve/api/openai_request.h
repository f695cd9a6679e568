// The bodies of OpenAI's completion endpoints, read and checked.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/json.h"
#include "serve/api/generation_spec.h"
#include "serve/api/tool_request.h"

namespace brisk::api {

inline constexpr int kPromptsMax = 256;  // in one request; and choices in all

using PromptText = std::variant<std::string, std::vector<int32_t>>;

struct CompletionRequest {
  GenerationSpec spec;
  std::vector<PromptText> prompts;  // one or more
  bool echo = false;                // the prompt comes before each choice's text
  bool only_echo = false;           // and nothing after it: max_tokens was 0, and is 1 now
  int returned = 1;                 // "n": the best of spec.request.choices, which is best_of
  bool add_special_tokens = true;
};

struct ChatRequest {
  GenerationSpec spec;
  OrderedJson messages;  // an array of objects; contents are strings
  ToolRequest tools;
  OrderedJson template_args;  // an object: chat_template_kwargs and what else templates may use
  std::string chat_template;  // empty: the model's own
  bool add_generation_prompt = true;
  bool continue_final_message = false;
  bool add_special_tokens = false;
};

// Errors: InvalidArgument, with the field at fault (errors.h).
absl::StatusOr<CompletionRequest> parse_completion(std::string_view body,
                                                   const GenerationDefaults& defaults);
// `also_known`: a field that the endpoint reads itself.
absl::StatusOr<ChatRequest> parse_chat(std::string_view body, const GenerationDefaults& defaults,
                                       const char* also_known = nullptr);

// The messages of a chat with string contents: {"role", "content", and what else templates read},
// calls of tools and their results among it.
absl::StatusOr<OrderedJson> normalize_messages(const OrderedJson& messages);

// A JSON object from a body, within the limits of API bodies.
absl::StatusOr<Json> parse_object(std::string_view body);

}  // namespace brisk::api
