// Names of KV blocks, and the list of them that holds one sequence.
#pragma once

#include <cstdint>
#include <vector>

namespace brisk {

// A block of the KV pool: `block_tokens` consecutive positions of one sequence, all layers.
struct BlockId {
  int32_t value = -1;
  bool operator==(const BlockId&) const = default;
};

inline constexpr BlockId kNoBlock{};

// Position p of a sequence is slot p % block_tokens of blocks[p / block_tokens].
struct BlockTable {
  std::vector<BlockId> blocks;
  int32_t published = 0;  // leading blocks that the prefix index knows
};

}  // namespace brisk
