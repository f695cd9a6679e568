#include "engine/grammar/token_mask.h"

#include <algorithm>
#include <array>
#include <bit>
#include <utility>

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
  size_t bytes = sizeof(StateMask) + bits.size() * sizeof(uint64_t);
  bytes += tokens.size() * sizeof(int32_t);
  for (const GoingOn& one : going_on) bytes += sizeof(one) + one.nodes.size() * sizeof(int32_t);
  return bytes;
}

absl::Status walk(const WalkInput& input, int32_t node, const PlaceSet& places,
                  WalkScratch* scratch, std::span<uint64_t> mask, std::vector<int32_t>* ends) {
  const TokenTrie& trie = *input.vocabulary;
  Pushdown pushdown(*input.automaton, input.frames);
  scratch->levels.resize(static_cast<size_t>(trie.depth_max()) + 1);
  const int32_t end = trie.node(node).end;
  scratch->levels[trie.node(node).depth] = places;
  for (int32_t at = node + 1; at < end;) {
    const TokenTrie::Node& here = trie.node(at);
    const PlaceSet& from = scratch->levels[here.depth - 1u];
    PlaceSet& to = scratch->levels[here.depth];
    to.clear();
    pushdown.read(from, here.byte, &to);
    scratch->work -= 1 + std::ssize(from.places) + std::ssize(to.places);
    if (to.has_too_many || scratch->work < 0) return too_ambiguous();
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

absl::Status walk_after(const WalkInput& input, const StateMask& mask, Place place,
                        WalkScratch* scratch, std::span<uint64_t> allowed) {
  const TokenTrie& trie = *input.vocabulary;
  Pushdown pushdown(*input.automaton, input.frames);
  scratch->after.clear();
  pushdown.enter(place, &scratch->after);
  for (const StateMask::GoingOn& going_on : mask.going_on) {
    scratch->next.clear();
    pushdown.read(scratch->after, going_on.byte, &scratch->next);
    if (scratch->after.has_too_many || scratch->next.has_too_many) return too_ambiguous();
    if (scratch->next.is_empty()) continue;
    for (const int32_t node : going_on.nodes) {
      for (const int32_t token : trie.tokens_at(node)) mask_add(allowed, token);
      if (scratch->next.places.empty() || !trie.has_children(node)) continue;
      BRISK_RETURN_IF_ERROR(walk(input, node, scratch->next, scratch, allowed, nullptr));
    }
    scratch->work -= std::ssize(going_on.nodes);
  }
  return absl::OkStatus();
}

namespace {

std::vector<StateMask::GoingOn> nodes_after(const std::vector<int32_t>& ends,
                                            const TokenTrie& trie) {
  std::array<std::vector<int32_t>, 256> by_byte;
  for (const int32_t end : ends) {
    for (int32_t child = end + 1; child < trie.node(end).end; child = trie.node(child).end) {
      by_byte[trie.node(child).byte].push_back(child);
    }
  }
  std::vector<StateMask::GoingOn> going_on;
  for (size_t byte = 0; byte < 256; ++byte) {
    if (by_byte[byte].empty()) continue;
    by_byte[byte].shrink_to_fit();
    going_on.push_back({.byte = static_cast<uint8_t>(byte), .nodes = std::move(by_byte[byte])});
  }
  return going_on;
}

}  // namespace

absl::StatusOr<StateMask> compute_state_mask(const Automaton& automaton,
                                             const TokenTrie& vocabulary, int32_t state) {
  StateMask mask;
  mask.bits.resize(mask_words(vocabulary.vocab_size()));
  FrameStore frames;
  WalkScratch scratch;
  scratch.work = kWalkWorkMax;
  std::vector<int32_t> ends;
  const PlaceSet places{.places = {{.state = state}}};
  const WalkInput input{.automaton = &automaton, .vocabulary = &vocabulary, .frames = &frames};
  BRISK_RETURN_IF_ERROR(walk(input, 0, places, &scratch, mask.bits, &ends));
  mask.going_on = nodes_after(ends, vocabulary);

  size_t count = 0;
  for (const uint64_t word : mask.bits) count += static_cast<size_t>(std::popcount(word));
  if (count > mask.bits.size()) return mask;
  for (int32_t token = 0; token < vocabulary.vocab_size(); ++token) {
    if (mask_has(mask.bits, token)) mask.tokens.push_back(token);
  }
  mask.bits = {};
  return mask;
}

}  // namespace brisk
