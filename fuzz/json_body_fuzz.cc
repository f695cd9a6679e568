// Request bodies: whatever the bytes, reading them ends with a request within its limits or with a
// client's error that can be written as JSON.
#include <cstdlib>
#include <string>
#include <string_view>

#include "engine/grammar/tool_call_grammar.h"
#include "engine/text_stream.h"
#include "serve/api/anthropic_request.h"
#include "serve/api/errors.h"
#include "serve/api/model_endpoint.h"
#include "serve/api/openai_request.h"
#include "serve/api/responses_request.h"

namespace {

void must(bool fact) {
  if (!fact) std::abort();
}

void check_error(const absl::Status& status) {
  const brisk::http::Response response = brisk::api::openai_error(status);
  must(response.status == 400);
  must(brisk::parse_json(response.body).ok());
}

void check_spec(const brisk::api::GenerationSpec& spec) {
  const brisk::SamplingParams& sampling = spec.request.sampling;
  must(sampling.temperature >= 0 && sampling.temperature <= 2);
  must(sampling.top_p > 0 && sampling.top_p <= 1);
  must(sampling.top_k >= 0);
  must(sampling.logprobs >= -1 && sampling.logprobs <= brisk::kLogprobsMax);
  must(spec.request.choices >= 1 && spec.request.choices <= brisk::kChoicesMax);
  must(spec.max_tokens.value_or(1) >= 1);
  must(brisk::StopStrings::create(spec.stop).ok());
}

void check_chat(const absl::StatusOr<brisk::api::ChatRequest>& chat) {
  if (!chat.ok()) return check_error(chat.status());
  check_spec(chat->spec);
  for (const auto& message : chat->messages) must(message.contains("content"));
  must(chat->tools.tools.size() <= brisk::kToolsMax);
}

}  // namespace

// Looking for the model must see what reading the body sees.
void check_model_named_in(std::string_view body) {
  const std::string named = brisk::api::model_named_in(body);
  const auto json = brisk::api::parse_object(body);
  if (!json.ok()) return;
  const auto model = json->find("model");
  must(named == (model != json->end() && model->is_string() ? model->get<std::string>() : ""));
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  check_model_named_in(body);
  const auto completion = brisk::api::parse_completion(body, {});
  if (completion.ok()) {
    check_spec(completion->spec);
    must(!completion->prompts.empty() && completion->prompts.size() <= brisk::api::kPromptsMax);
  } else {
    check_error(completion.status());
  }
  check_chat(brisk::api::parse_chat(body, {}));
  const auto no_items = [](const std::string&) -> absl::StatusOr<brisk::OrderedJson> {
    return absl::NotFoundError("none is stored");
  };
  check_chat(brisk::api::parse_anthropic(body, {}, brisk::api::AnthropicEndpoint::kMessages));
  const auto responses = brisk::api::parse_responses(body, {}, no_items);
  check_chat(responses.ok() ? absl::StatusOr<brisk::api::ChatRequest>(responses->chat)
                            : responses.status());
  return 0;
}
