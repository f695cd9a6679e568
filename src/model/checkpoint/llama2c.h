// Checkpoints of llama2.c and bitllama2.c: a short header, then the weights in a fixed order.
#pragma once

#include <absl/status/status.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "model/checkpoint/checkpoint.h"

namespace brisk {

// Whether the bytes are such a file: by magic, or, for version 0 which has none, by a header that
// describes a file of exactly this size.
bool is_llama2c(std::span<const std::byte> file);

// How many bytes a file that begins like this one should have. nullopt: it has no such header.
std::optional<uint64_t> llama2c_file_bytes(std::span<const std::byte> file);

// Fills configuration and tensors (GGUF's names). Versions: 0 and 1 f32, 2 int8 groups, and
// bitllama2.c's ternary one. The bytes must outlive `checkpoint`.
absl::Status read_llama2c(std::span<const std::byte> file, Checkpoint& checkpoint);

}  // namespace brisk
