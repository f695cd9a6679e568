// Runs an automaton: the places it may be in, each with its stack, and what a byte makes of them.
// Stacks are chains of frames that share their lower parts.
#pragma once

#include <absl/container/flat_hash_map.h>

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "engine/grammar/automaton.h"

namespace brisk {

inline constexpr int32_t kBottom = -1;  // the frame below all

struct Place {
  int32_t state = kNoState;
  int32_t frame = kBottom;

  friend bool operator==(const Place&, const Place&) = default;
};

// The frames of all stacks of one matcher; equal ones are the same. One thread.
class FrameStore {
 public:
  struct Frame {
    int32_t back = kNoState;  // where to go on
    int32_t below = kBottom;
  };

  int32_t push(Frame frame);
  const Frame& at(int32_t frame) const { return frames_[static_cast<size_t>(frame)]; }
  size_t size() const { return frames_.size(); }
  void clear();
  // Forgets all frames but those of `places`, which it renames.
  void keep_only(std::span<Place> places);

 private:
  std::vector<Frame> frames_;
  absl::flat_hash_map<std::pair<int32_t, int32_t>, int32_t> index_;
};

// Places at once, beyond which a grammar counts as too ambiguous.
inline constexpr size_t kPlacesMax = 64;

// All places that texts may have led to. Places in it read bytes; ends are told apart.
struct PlaceSet {
  std::vector<Place> places;
  bool has_ended = false;     // the lowest rule may end here
  bool has_too_many = false;  // some are missing

  void clear();
  bool is_empty() const { return places.empty() && !has_ended; }
};

class Pushdown {
 public:
  // Both outlive this.
  Pushdown(const Automaton& automaton, FrameStore* frames)
      : automaton_(automaton), frames_(*frames) {}

  // Adds the places that `place` leads to without a byte.
  void enter(Place place, PlaceSet* to);
  // Adds those that `byte` leads to from `from`.
  void read(const PlaceSet& from, uint8_t byte, PlaceSet* to);

 private:
  void enter_slowly(Place place, PlaceSet* to);
  static void add(Place place, PlaceSet* to);

  const Automaton& automaton_;
  FrameStore& frames_;
  std::vector<Place> todo_;
  std::vector<Place> seen_;
};

}  // namespace brisk
