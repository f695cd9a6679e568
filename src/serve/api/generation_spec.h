// What a request says about how to generate, under vLLM's and OpenAI's names: everything but the
// prompt. Parsed and range-checked here; nothing of it needs the model's tokenizer.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/request.h"
#include "model/checkpoint/config.h"
#include "serve/api/json_fields.h"
#include "serve/api/structured_output.h"
#include "serve/http/key_account.h"

namespace brisk::api {

struct GenerationSpec {
  std::string model;              // as asked for; empty: the default
  std::string user;               // whom the client asks for; may be empty
  int caller_key = -1;            // http::Caller::key of whom it came from
  Request request;                // without prompt; max_tokens is meaningless
  std::optional<int> max_tokens;  // when the client says so; may be 0
  std::vector<std::string> stop;
  std::vector<std::string> bad_words;          // not in `request` yet, which has them as tokens
  std::optional<StructuredOutput> structured;  // not in `request` yet, which has it compiled
  bool include_stop = false;
  bool skip_special_tokens = true;
  std::optional<int64_t> truncate_prompt_tokens;  // keep the last so many; -1: as many as fit
  bool stream = false;
  bool include_usage = false;                   // a last chunk with the usage
  std::shared_ptr<http::KeyAccount> account{};  // that its tokens are charged to; may be null
};

// Reads the fields that completions and chat completions share. Faults go to `fields`.
// `body` is what they were parsed from. `defaults` are the checkpoint's own; an absent seed becomes
// a random one.
GenerationSpec read_generation_spec(Fields& fields, std::string_view body,
                                    const GenerationDefaults& defaults);

}  // namespace brisk::api
