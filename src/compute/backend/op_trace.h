// Where the time of forward passes goes: what every member of the team did, from when to when.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/clock.h"

namespace brisk {

// The operations of a decoder, as they are fused.
enum class OpKind : uint8_t {
  kEmbed,     // rows of the embedding, angles of the positions
  kNorm,      // norms and residuals
  kRound,     // inputs of products, to int8 or bf16
  kQkv,       // query, key and value projections
  kPosition,  // head norms, rotation, append to the KV cache
  kAttention,
  kOutput,   // output projection, added to the residual
  kGateUp,   // gate and up projections, activation
  kDown,     // down projection, added to the residual
  kExperts,  // everything of a routed MLP
  kHead,
  kWait,  // for the other members
};
inline constexpr int kOpKindCount = 12;
const char* name_of(OpKind kind);

struct OpSpan {
  OpKind kind;
  int16_t layer;  // -1: none
  Instant begin, end;
};

// Each member writes its own list; readable when no step runs. Spans beyond the capacity are
// counted, not kept.
class OpTrace {
 public:
  OpTrace(int members, size_t spans_max);

  // A member begins a step.
  void begin(int member) { lists_[static_cast<size_t>(member)].last = clock_.now(); }
  // What the member did since it was last asked.
  void lap(int member, OpKind kind, int layer);

  int members() const { return static_cast<int>(lists_.size()); }
  std::span<const OpSpan> spans(int member) const {
    return lists_[static_cast<size_t>(member)].spans;
  }
  int64_t lost() const;

 private:
  struct alignas(64) List {
    std::vector<OpSpan> spans;
    Instant last;
    int64_t lost = 0;
  };

  const SteadyClock clock_;
  const size_t spans_max_;
  std::vector<List> lists_;
};

}  // namespace brisk
