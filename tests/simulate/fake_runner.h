// A runner without a model: a slot of the KV pool holds a digest of everything the token there
// depends on, and the next token is a digest of the whole history. Whoever reads a slot that is not
// of its own history is found out at once, and would also draw other tokens.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine/sched/step_plan.h"

namespace brisk::simulate {

inline uint64_t digest(uint64_t before, uint64_t value) {
  uint64_t x = before * 0x9E3779B97F4A7C15u + value + 0x632BE59BD9B4E019u;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

// What precedes the first token: keys and values depend on the adapter, and salts must not mix.
inline uint64_t digest_of(const PrefixScope& scope) {
  return digest(scope.salt, static_cast<uint64_t>(scope.adapter));
}

// The token that choice `choice` draws after a history.
inline int32_t next_token(uint64_t history, int32_t choice, int32_t vocab) {
  return static_cast<int32_t>(digest(history, static_cast<uint64_t>(choice) + 1) %
                              static_cast<uint64_t>(vocab));
}

class FakeRunner {
 public:
  FakeRunner(int32_t blocks, int32_t block_tokens)
      : block_tokens_(static_cast<size_t>(block_tokens)),
        slots_(static_cast<size_t>(blocks) * block_tokens_) {}

  void copy(const BlockCopy& copy) {
    for (size_t i = 0; i < block_tokens_; ++i) slot(copy.to, i) = slot(copy.from, i);
  }

  // Runs one slice of a sequence whose history digests are `expected`, one a position: every slot
  // it reads must hold its own. The digest after the last token, or 0 with `error` set.
  uint64_t run(const Slice& slice, const PrefixScope& scope, std::span<const uint64_t> expected,
               std::string* error) {
    const size_t first = static_cast<size_t>(slice.first);
    if (slice.blocks.size() * block_tokens_ < first + slice.tokens.size()) {
      *error = "the block table does not cover the slice";
      return 0;
    }
    for (size_t p = 0; p < first; ++p) {
      if (at(slice, p) != expected[p]) {
        *error = "position " + std::to_string(p) + " holds the KV of another history";
        return 0;
      }
    }
    uint64_t history = first == 0 ? digest_of(scope) : at(slice, first - 1);
    for (size_t i = 0; i < slice.tokens.size(); ++i) {
      history = digest(history, static_cast<uint64_t>(slice.tokens[i]));
      at(slice, first + i) = history;
    }
    return history;
  }

  // Whether another slice of the step overwrote what `slice` wrote.
  bool still_holds(const Slice& slice, std::span<const uint64_t> expected) {
    for (size_t i = 0; i < slice.tokens.size(); ++i) {
      const size_t p = static_cast<size_t>(slice.first) + i;
      if (at(slice, p) != expected[p]) return false;
    }
    return true;
  }

 private:
  uint64_t& slot(BlockId block, size_t offset) {
    return slots_.at(static_cast<size_t>(block.value) * block_tokens_ + offset);
  }
  uint64_t& at(const Slice& slice, size_t position) {
    return slot(slice.blocks[position / block_tokens_], position % block_tokens_);
  }

  const size_t block_tokens_;
  std::vector<uint64_t> slots_;
};

}  // namespace brisk::simulate
