// What a GGUF file's keys say about a model and its tokenizer (llama.cpp's conventions).
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstddef>
#include <span>
#include <string>

#include "model/checkpoint/checkpoint.h"
#include "model/checkpoint/gguf.h"

namespace brisk {

// Fills `checkpoint` from the bytes of a GGUF file, which must outlive it. A file without tensors
// (a vocabulary) is fine.
absl::Status read_gguf(std::span<const std::byte> file, Checkpoint& checkpoint);

// The same of a file at `path` whose first part `checkpoint.files` holds. The parts beside it,
// which `split.count` asks for, are opened too. Errors name the file.
absl::Status read_split_gguf(const std::string& path, Checkpoint& checkpoint);

// Parts of the above. Absent keys leave what they would say at its "not said" value.
absl::Status read_gguf_config(const GgufFile& file, ModelConfig& config);
absl::StatusOr<TokenizerData> read_gguf_tokenizer(const GgufFile& file);

}  // namespace brisk
