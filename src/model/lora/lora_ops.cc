#include "model/lora/lora_ops.h"

#include <algorithm>

namespace brisk {
namespace {

static_assert(kColumnUnit % kLowRankColumns == 0);

constexpr size_t kSlots = 3;  // products with A that are kept at once

// Where a target's product with A is kept. Targets of one input have slots of their own.
constexpr size_t slot_of(LoraTarget target) {
  switch (target) {
    case LoraTarget::kQ:
    case LoraTarget::kO:
    case LoraTarget::kGate:
    case LoraTarget::kDown:
      return 0;
    case LoraTarget::kK:
    case LoraTarget::kUp:
      return 1;
    case LoraTarget::kV:
      return 2;
  }
  return 0;
}

// The first target of the same input with the same A: parts of a fused weight share it.
LoraTarget owner_of_a(const LoraLayer& layer, LoraTarget target) {
  const std::byte* a = layer.of(target).a;
  switch (target) {
    case LoraTarget::kK:
    case LoraTarget::kV:
      return layer.of(LoraTarget::kQ).a == a ? LoraTarget::kQ : target;
    case LoraTarget::kUp:
      return layer.of(LoraTarget::kGate).a == a ? LoraTarget::kGate : target;
    case LoraTarget::kQ:
    case LoraTarget::kO:
    case LoraTarget::kGate:
    case LoraTarget::kDown:
      return target;
  }
  return target;
}

LinearKernel reducing_kernel(const KernelTable& table, DType dtype, int64_t rows) {
  if (dtype == DType::kF16) return table.direct_f16;
  if (dtype == DType::kBF16) return table.direct_bf16;
  return rows <= table.direct_rows_max ? table.direct_f32 : table.linear_f32;
}

LowRankKernel adding_kernel(const KernelTable& table, DType dtype) {
  if (dtype == DType::kF16) return table.add_low_rank_f16;
  if (dtype == DType::kBF16) return table.add_low_rank_bf16;
  return table.add_low_rank_f32;
}

int64_t value_bytes(DType dtype) { return dtype == DType::kF32 ? 4 : 2; }

}  // namespace

void LoraOps::begin(std::span<const SliceView> slices,
                    std::span<const LoraAdapter* const> adapters) {
  segments_.clear();
  rank_max_ = 0;
  for (size_t i = 0; i < adapters.size(); ++i) {
    if (adapters[i] == nullptr) continue;
    const SliceView& slice = slices[i];
    rank_max_ = std::max<int64_t>(rank_max_, adapters[i]->rank_max);
    const bool goes_on = !segments_.empty() && segments_.back().adapter == adapters[i] &&
                         segments_.back().row_end == slice.row_begin;
    if (goes_on) {
      segments_.back().row_end = slice.row_end;
    } else {
      segments_.push_back(
          {.row_begin = slice.row_begin, .row_end = slice.row_end, .adapter = adapters[i]});
    }
  }
  if (segments_.empty()) return;
  row_floats_ = static_cast<int64_t>(kSlots) * rank_max_;
  const auto needed = static_cast<size_t>(segments_.back().row_end * row_floats_);
  if (reduced_.size() < needed) reduced_.resize(needed);
}

void LoraOps::reduce(Worker worker, size_t layer, ConstMatView input,
                     std::initializer_list<LoraTarget> targets) {
  for (const Segment& segment : segments_) {
    const LoraLayer& pairs = segment.adapter->layers[layer];
    for (const LoraTarget target : targets) {
      if (pairs.of(target).rank == 0 || owner_of_a(pairs, target) != target) continue;
      reduce_segment(worker, segment, pairs.of(target), input,
                     reduced_at(segment.row_begin, slot_of(target)));
    }
  }
}

// Many rows are shared by rows, a few by columns of A: the bits are the same.
void LoraOps::reduce_segment(Worker worker, const Segment& segment, const LoraPair& pair,
                             ConstMatView input, float* reduced) const {
  constexpr int64_t kRowsEach = 8;
  const int64_t count = segment.row_end - segment.row_begin;
  const bool by_rows = count >= kRowsEach * worker.count;
  const Range rows = by_rows ? worker.share(count) : Range{0, count};
  const Range ranks = by_rows ? Range{0, pair.rank} : worker.share(pair.rank);
  if (rows.begin == rows.end || ranks.begin == ranks.end) return;
  const int64_t row_bytes = input.cols * value_bytes(pair.a_dtype);
  const LinearArgs args = {.x = input.row(segment.row_begin + rows.begin),
                           .x_stride = input.stride,
                           .rows = rows.end - rows.begin,
                           .w = pair.a + ranks.begin * row_bytes,
                           .w_row_bytes = row_bytes,
                           .cols = ranks.end - ranks.begin,
                           .depth = input.cols,
                           .bias = nullptr,
                           .y = reduced + rows.begin * row_floats_ + ranks.begin,
                           .y_stride = row_floats_,
                           .add = false};
  reducing_kernel(kernels_, pair.a_dtype, args.rows)(args);
  for (int64_t r = 0; r < args.rows; ++r) {
    float* y = args.y + r * args.y_stride;
    for (int64_t c = 0; c < args.cols; ++c) y[c] *= pair.scale;
  }
}

void LoraOps::add(Worker worker, size_t layer, LoraTarget target, MatView output) const {
  const Range columns = worker.share(output.cols, kColumnUnit);
  if (columns.begin == columns.end) return;
  for (const Segment& segment : segments_) {
    const LoraLayer& pairs = segment.adapter->layers[layer];
    const LoraPair& pair = pairs.of(target);
    if (pair.rank == 0) continue;
    const auto slot = static_cast<int64_t>(slot_of(owner_of_a(pairs, target)));
    const int64_t panel_bytes = pair.rank * kLowRankColumns * value_bytes(pair.b_dtype);
    adding_kernel(kernels_, pair.b_dtype)(
        {.h = reduced_.data() + segment.row_begin * row_floats_ + slot * rank_max_,
         .h_stride = row_floats_,
         .rows = segment.row_end - segment.row_begin,
         .rank = pair.rank,
         .panels = pair.b + columns.begin / kLowRankColumns * panel_bytes,
         .panel_bytes = panel_bytes,
         .cols = columns.end - columns.begin,
         .y = output.row(segment.row_begin) + columns.begin,
         .y_stride = output.stride});
  }
}

}  // namespace brisk
