// Tokenizer files for a Hugging Face directory that is being written.
#pragma once

#include <absl/status/statusor.h>

#include <string>

#include "base/json.h"
#include "model/checkpoint/checkpoint.h"

namespace brisk {

// Copies the tokenizer files of `in` when it is a Hugging Face directory, else writes
// tokenizer.json, tokenizer_config.json and chat_template.jinja from what `source` knows.
// Returns, for people, what was done.
absl::StatusOr<std::string> write_hf_tokenizer(const std::string& in, const std::string& out,
                                               const Checkpoint& source);

// The contents of tokenizer.json. Errors: Unimplemented for kinds it has no words for.
absl::StatusOr<Json> tokenizer_json(const TokenizerData& data);

}  // namespace brisk
