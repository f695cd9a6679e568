// The tokenizer of a checkpoint whose weights file has none: named by the user, or lying beside it.
#pragma once

#include <absl/status/status.h>

#include <string>

#include "model/checkpoint/checkpoint.h"

namespace brisk {

// Fills `checkpoint.tokenizer` from `tokenizer_path`, or, when that is empty, from what lies in the
// model's directory: for Hugging Face its tokenizer, else the first of tok*.bin, tok*.model and
// tok*.json with as many tokens as the model. None there: the kind stays kNone.
absl::Status find_tokenizer(const std::string& model_path, const std::string& tokenizer_path,
                            Checkpoint& checkpoint);

}  // namespace brisk
