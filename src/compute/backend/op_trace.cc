#include "compute/backend/op_trace.h"

namespace brisk {

const char* name_of(OpKind kind) {
  switch (kind) {
    case OpKind::kEmbed:
      return "embed";
    case OpKind::kNorm:
      return "norm";
    case OpKind::kRound:
      return "round inputs";
    case OpKind::kQkv:
      return "qkv";
    case OpKind::kPosition:
      return "rope + kv append";
    case OpKind::kAttention:
      return "attention";
    case OpKind::kOutput:
      return "output";
    case OpKind::kGateUp:
      return "gate + up";
    case OpKind::kDown:
      return "down";
    case OpKind::kExperts:
      return "experts";
    case OpKind::kHead:
      return "head";
    case OpKind::kWait:
      return "wait";
  }
  return "";
}

OpTrace::OpTrace(int members, size_t spans_max)
    : spans_max_(spans_max), lists_(static_cast<size_t>(members)) {
  for (List& list : lists_) list.spans.reserve(spans_max);
}

void OpTrace::lap(int member, OpKind kind, int layer) {
  List& list = lists_[static_cast<size_t>(member)];
  const Instant now = clock_.now();
  if (list.spans.size() < spans_max_) {
    list.spans.push_back({kind, static_cast<int16_t>(layer), list.last, now});
  } else {
    ++list.lost;
  }
  list.last = now;
}

int64_t OpTrace::lost() const {
  int64_t lost = 0;
  for (const List& list : lists_) lost += list.lost;
  return lost;
}

}  // namespace brisk
