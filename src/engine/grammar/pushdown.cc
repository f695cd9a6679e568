#include "engine/grammar/pushdown.h"

#include <algorithm>

namespace brisk {

int32_t FrameStore::push(Frame frame) {
  const auto next = static_cast<int32_t>(frames_.size());
  const auto [place, is_new] = index_.try_emplace({frame.back, frame.below}, next);
  if (is_new) frames_.push_back(frame);
  return place->second;
}

void FrameStore::clear() {
  frames_.clear();
  index_.clear();
}

void FrameStore::keep_only(std::span<Place> places) {
  const std::vector<Frame> old = std::exchange(frames_, {});
  index_.clear();
  std::vector<int32_t> renamed(old.size(), kBottom);
  for (Place& place : places) {
    std::vector<int32_t> chain;  // from the top down to one that is there already
    int32_t at = place.frame;
    for (; at != kBottom && renamed[static_cast<size_t>(at)] == kBottom;
         at = old[static_cast<size_t>(at)].below) {
      chain.push_back(at);
    }
    int32_t below = at == kBottom ? kBottom : renamed[static_cast<size_t>(at)];
    for (size_t i = chain.size(); i-- > 0;) {
      const auto frame = static_cast<size_t>(chain[i]);
      below = renamed[frame] = push({.back = old[frame].back, .below = below});
    }
    place.frame = below;
  }
}

void PlaceSet::clear() {
  places.clear();
  has_ended = false;
  has_too_many = false;
}

void Pushdown::add(Place place, PlaceSet* to) {
  if (std::ranges::find(to->places, place) != to->places.end()) return;
  if (to->places.size() >= kPlacesMax) {
    to->has_too_many = true;
    return;
  }
  to->places.push_back(place);
}

void Pushdown::enter(Place place, PlaceSet* to) {
  if (automaton_.is_plain(place.state)) return add(place, to);
  seen_.clear();
  enter_slowly(place, to);
}

// Calls push, ends of rules pop. Without left recursion it comes to an end.
void Pushdown::enter_slowly(Place first, PlaceSet* to) {
  todo_.assign(1, first);
  while (!todo_.empty()) {
    const Place place = todo_.back();
    todo_.pop_back();
    if (std::ranges::find(seen_, place) != seen_.end()) continue;
    if (seen_.size() >= 16 * kPlacesMax) {
      to->has_too_many = true;
      return;
    }
    seen_.push_back(place);
    if (automaton_.reads_bytes(place.state)) add(place, to);
    for (const Automaton::Call& call : automaton_.calls(place.state)) {
      const int32_t frame = call.back == kNoState
                                ? place.frame
                                : frames_.push({.back = call.back, .below = place.frame});
      todo_.push_back({.state = call.callee, .frame = frame});
    }
    if (!automaton_.is_accepting(place.state)) continue;
    if (place.frame == kBottom) {
      to->has_ended = true;
    } else {
      const FrameStore::Frame frame = frames_.at(place.frame);
      todo_.push_back({.state = frame.back, .frame = frame.below});
    }
  }
}

void Pushdown::read(const PlaceSet& from, uint8_t byte, PlaceSet* to) {
  seen_.clear();
  for (const Place& place : from.places) {
    const int32_t next = automaton_.next(place.state, byte);
    if (next == kNoState) continue;
    const Place reached{.state = next, .frame = place.frame};
    if (automaton_.is_plain(next)) {
      add(reached, to);
    } else {
      enter_slowly(reached, to);
    }
  }
}

}  // namespace brisk
