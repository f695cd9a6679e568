// Which tokens of a vocabulary may come next: found by walking the vocabulary's trie along with the
// automaton.
//
// For a state alone, whatever its stack, most tokens are allowed or not. The others end the state's
// rule and go on after it, which depends on the stack: the nodes of the trie where they go on are
// kept, by their byte, and walked from when the stack is known and allows that byte.
#pragma once

#include <absl/status/status.h>

#include <cstdint>
#include <span>
#include <vector>

#include "engine/grammar/pushdown.h"
#include "engine/grammar/token_trie.h"

namespace brisk {

// A bit for each token, the lowest ids in the lowest bits of the first word.
constexpr size_t mask_words(int32_t vocab_size) {
  return (static_cast<size_t>(vocab_size) + 63) / 64;
}
constexpr bool mask_has(std::span<const uint64_t> mask, int32_t token) {
  const auto bit = static_cast<size_t>(token);
  return ((mask[bit / 64] >> (bit % 64)) & 1) != 0;
}
constexpr void mask_add(std::span<uint64_t> mask, int32_t token) {
  const auto bit = static_cast<size_t>(token);
  mask[bit / 64] |= uint64_t{1} << (bit % 64);
}

// The tokens of one state.
struct StateMask {
  // Nodes of the trie right after places where the rule may end.
  struct GoingOn {
    uint8_t byte = 0;  // of all of them
    std::vector<int32_t> nodes{};
  };

  std::vector<uint64_t> bits;  // empty: there are few, and `tokens` are they
  std::vector<int32_t> tokens;
  std::vector<GoingOn> going_on;

  void add_to(std::span<uint64_t> mask) const;
  size_t bytes() const;
};

// Memory that walks reuse; one a thread, for one automaton and its vocabulary.
struct WalkScratch {
  std::vector<PlaceSet> levels;  // (depth of the trie + 1)
  PlaceSet after;
  PlaceSet next;
  int64_t work = 0;  // steps that walks may still take
};

struct WalkInput {
  const Automaton* automaton = nullptr;
  const TokenTrie* vocabulary = nullptr;
  FrameStore* frames = nullptr;
};

// Steps for one mask; a grammar that needs more at some point is too ambiguous.
inline constexpr int64_t kWalkWorkMax = 10'000'000;

// Adds the tokens below `node` to `mask`, when what is read before leads to `places`. `ends` get
// the nodes at which the lowest rule may end, if some are below; may be null. Errors:
// ResourceExhausted, the grammar is too ambiguous.
absl::Status walk(const WalkInput& input, int32_t node, const PlaceSet& places,
                  WalkScratch* scratch, std::span<uint64_t> mask, std::vector<int32_t>* ends);

// Adds the tokens that end the rule of `mask` to `allowed`; `place` is what comes after the rule.
// Errors: as walk().
absl::Status walk_after(const WalkInput& input, const StateMask& mask, Place place,
                        WalkScratch* scratch, std::span<uint64_t> allowed);

// Errors: as walk().
absl::StatusOr<StateMask> compute_state_mask(const Automaton& automaton,
                                             const TokenTrie& vocabulary, int32_t state);

}  // namespace brisk
