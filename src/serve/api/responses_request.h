// The body of OpenAI's responses, read as the chat that it is.
#pragma once

#include <absl/status/statusor.h>

#include <functional>
#include <string>
#include <string_view>

#include "serve/api/openai_request.h"

namespace brisk::api {

struct ResponsesRequest {
  ChatRequest chat;
  OrderedJson items;  // the conversation so far
  bool is_stored = true;
  Json echo;  // what the response repeats of the request
};

// The conversation up to a response, by its id. Errors: NotFound.
using FindItems = std::function<absl::StatusOr<OrderedJson>(const std::string& id)>;

// Errors: InvalidArgument, with the field at fault.
absl::StatusOr<ResponsesRequest> parse_responses(std::string_view body,
                                                 const GenerationDefaults& defaults,
                                                 const FindItems& find_items);

}  // namespace brisk::api
