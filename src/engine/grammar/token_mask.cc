#include "engine/grammar/token_mask.h"

#include <algorithm>
#include <bit>

#include "base/status.h"

namespace brisk {
namespace {

absl::Status too_ambiguous() {
  return exhausted(
      "the grammar is too ambiguous: a text can be read in more than {} ways at once, or what may "
      "come next takes too long to find",
      kPlacesMax);
}

bool loops_on_text(const Automaton& automaton, const PlaceSet& places) {
  return std::ranges::any_of(
      places.places, [&](const Place& place) { return automaton.loops_on_text(place.state); });
}

}  // namespace

void StateMask::add_to(std::span<uint64_t> mask) const {
  for (size_t i = 0; i < bits.size(); ++i) mask[i] |= bits[i];
  for (const int32_t token : tokens) mask_add(mask, token);
}

size_t StateMask::bytes() const {
  return sizeof(StateMask) + bits.size() * sizeof(uint64_t) +
         (tokens.size() + ends.size()) * sizeof(int32_t);
}

absl::Status walk(const WalkInput& input, int32_t node, const PlaceSet& places,
                  WalkScratch* scratch, std::span<uint64_t> mask, std::vector<int32_t>* ends) {
  const TokenTrie& trie = *input.vocabulary;
  Pushdown pushdown(*input.automaton, input.frames);
  scratch->levels.resize(static_cast<size_t>(trie.depth_max()) + 1);
  const int32_t end = trie.node(node).end;
  scratch->levels[trie.node(node).depth] = places;
  int64_t work = kWalkWorkMax;
  for (int32_t at = node + 1; at < end;) {
    const TokenTrie::Node& here = trie.node(at);
    const PlaceSet& from = scratch->levels[here.depth - 1u];
    PlaceSet& to = scratch->levels[here.depth];
    to.clear();
    pushdown.read(from, here.byte, &to);
    work -= std::ssize(from.places) + std::ssize(to.places);
    if (to.has_too_many || work < 0) return too_ambiguous();
    if (to.is_empty()) {
      at = here.end;
      continue;
    }
    if (to.has_ended && ends != nullptr && trie.has_children(at)) ends->push_back(at);
    if (here.is_plain_below && loops_on_text(*input.automaton, to)) {
      for (const int32_t token : trie.tokens_within(at)) mask_add(mask, token);
      at = here.end;
      continue;
    }
    for (const int32_t token : trie.tokens_at(at)) mask_add(mask, token);
    at = to.places.empty() ? here.end : at + 1;
  }
  return absl::OkStatus();
}

absl::StatusOr<StateMask> compute_state_mask(const Automaton& automaton,
                                             const TokenTrie& vocabulary, int32_t state) {
  StateMask mask;
  mask.bits.resize(mask_words(vocabulary.vocab_size()));
  FrameStore frames;
  WalkScratch scratch;
  const PlaceSet places{.places = {{.state = state}}};
  const WalkInput input{.automaton = &automaton, .vocabulary = &vocabulary, .frames = &frames};
  BRISK_RETURN_IF_ERROR(walk(input, 0, places, &scratch, mask.bits, &mask.ends));

  size_t count = 0;
  for (const uint64_t word : mask.bits) count += static_cast<size_t>(std::popcount(word));
  if (count > mask.bits.size()) return mask;
  for (int32_t token = 0; token < vocabulary.vocab_size(); ++token) {
    if (mask_has(mask.bits, token)) mask.tokens.push_back(token);
  }
  mask.bits = {};
  mask.ends.shrink_to_fit();
  return mask;
}

}  // namespace brisk
