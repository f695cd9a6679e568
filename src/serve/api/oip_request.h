// Bodies of the Open Inference Protocol v2 (KServe, Triton), read as completions.
#pragma once

#include <absl/status/statusor.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "serve/api/openai_request.h"

namespace brisk::api {

struct OipRequest {
  std::optional<std::string> id;  // the client's, given back
  CompletionRequest completion;   // one choice of each prompt
  bool include_input = false;     // the prompt comes before its text
};

// {"id", "text_input", "parameters": {...}}; parameters may also stand beside text_input.
// `stream`: whether the endpoint streams. Errors: InvalidArgument.
absl::StatusOr<OipRequest> parse_generate(std::string_view body, const GenerationDefaults& defaults,
                                          bool stream);

// {"id", "inputs": [{"name", "shape", "datatype", "data"}], "parameters", "outputs"}: text_input
// has the prompts, other tensors of one element are parameters. Errors: InvalidArgument.
absl::StatusOr<OipRequest> parse_infer(std::string_view body, const GenerationDefaults& defaults);

// Triton's priorities (1 goes first, 0 is the default) as the engine's (lower goes first, 0 is the
// default): 1000 is as urgent as the default.
int engine_priority(int64_t triton_priority);

}  // namespace brisk::api
