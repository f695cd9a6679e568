// The intermediate form of every grammar: a pushdown automaton over bytes. Each rule is a minimal
// deterministic automaton whose edges read a byte or call a rule; calls remember on a stack where
// to go on. What is not recursive needs no calls: it is written out into the rules that use it,
// within limits.
//
// From every state that can be reached some text leads to the end.
#pragma once

#include <absl/status/statusor.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "engine/grammar/finite_automaton.h"
#include "engine/grammar/grammar.h"

namespace brisk {

inline constexpr int32_t kNoState = -1;
inline constexpr size_t kNfaStatesMax = 500'000;
inline constexpr size_t kAutomatonBytesMax = size_t{32} << 20;
// Steps of the compiler's loops, less than a second's worth.
inline constexpr int64_t kCompileWorkMax = 20'000'000;

// Immutable; any thread.
class Automaton {
 public:
  struct Call {
    int32_t callee = kNoState;  // the start of a rule
    int32_t back = kNoState;    // where its end leads; none: the end of the caller as well
  };

  // Errors: InvalidArgument when the grammar is larger than the limits, has no text at all, or a
  // rule that can begin with itself.
  static absl::StatusOr<Automaton> compile(const Grammar& grammar);

  int32_t start() const { return start_; }
  int32_t next(int32_t state, uint8_t byte) const {
    return next_[static_cast<size_t>(state) * class_count_ + classes_[byte]];
  }
  std::span<const Call> calls(int32_t state) const {
    const auto at = static_cast<size_t>(state);
    return std::span(calls_).subspan(call_begin_[at], call_begin_[at + 1] - call_begin_[at]);
  }
  // The end of a rule.
  bool is_accepting(int32_t state) const { return flags_[static_cast<size_t>(state)] & kAccepts; }
  bool reads_bytes(int32_t state) const { return flags_[static_cast<size_t>(state)] & kReads; }
  // Neither calls nor the end of a rule: only its bytes count.
  bool is_plain(int32_t state) const {
    return !(flags_[static_cast<size_t>(state)] & (kAccepts | kCalls));
  }
  // Every plain character (is_plain_text_byte) leads back to it.
  bool loops_on_text(int32_t state) const { return flags_[static_cast<size_t>(state)] & kLoops; }

  size_t states() const { return flags_.size(); }
  size_t bytes() const;

 private:
  friend class AutomatonBuilder;
  enum Flag : uint8_t { kAccepts = 1, kReads = 2, kCalls = 4, kLoops = 8 };

  int32_t start_ = 0;
  std::array<uint8_t, 256> classes_{};
  size_t class_count_ = 1;
  std::vector<int32_t> next_;  // (states, classes)
  std::vector<uint8_t> flags_;
  std::vector<uint32_t> call_begin_;  // (states + 1)
  std::vector<Call> calls_;
};

// ASCII that JSON strings hold as it is: most of the text there is.
constexpr bool is_plain_text_byte(uint8_t byte) {
  return byte >= 0x20 && byte < 0x7f && byte != '"' && byte != '\\';
}

}  // namespace brisk
