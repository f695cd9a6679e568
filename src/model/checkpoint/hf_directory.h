// Checkpoints as Hugging Face keeps them: config.json, safetensors, tokenizer files in a directory.
#pragma once

#include <absl/status/status.h>

#include <string>

#include "model/checkpoint/checkpoint.h"

namespace brisk {

// Reads a directory. The tokenizer is left alone (checkpoint.cc looks for it), the chat template
// and the generation defaults are not.
absl::Status read_hf_directory(const std::string& directory, Checkpoint& checkpoint);

// Reads one safetensors file that is open as the last of `checkpoint.files`; its configuration is
// taken from the directory beside it, if there is one.
absl::Status read_single_safetensors(const std::string& path, Checkpoint& checkpoint);

}  // namespace brisk
