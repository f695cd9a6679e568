// Which chat template a model is served with.
#pragma once

#include <absl/status/statusor.h>

#include <string>
#include <string_view>

#include "model/tokenizer/tokenizer.h"

namespace brisk {

// ChatML: <|im_start|>role\ncontent<|im_end|>
std::string_view default_chat_template();

// The checkpoint's own template when it has one; else ChatML when the vocabulary has its tokens.
// Errors: InvalidArgument for a model that cannot chat; callers add what can be done instead.
absl::StatusOr<std::string> choose_chat_template(const std::string& from_checkpoint,
                                                 const Tokenizer& tokenizer);

}  // namespace brisk
