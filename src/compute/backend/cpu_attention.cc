// Attention and the KV cache of CpuOps.
#include <algorithm>

#include "base/units.h"
#include "compute/backend/cpu_ops.h"

namespace brisk {
namespace {

// Few enough to share out a step's rows evenly, enough that keys serve several at a time.
constexpr int64_t kAttentionRunRows = 8;

// Consecutive rows of a slice whose queries are done in one call.
struct AttentionRun {
  const SliceView* slice = nullptr;
  int64_t row = 0, rows = 0;
  int64_t position = 0;  // of the first row
  int64_t segment = 0, segment_end = 0;

  int64_t segments() const { return segment_end - segment; }
};

// Finds runs by their number, counted over all slices: quickly those that follow the last one.
class AttentionRuns {
 public:
  AttentionRuns(const AttentionOp& op, int64_t rows_of_run) : op_(op), rows_of_run_(rows_of_run) {}

  int64_t count() const {
    int64_t runs = 0;
    for (const SliceView& slice : op_.slices) runs += runs_of(slice);
    return runs;
  }

  AttentionRun at(int64_t run) {
    if (run < before_) slice_ = 0, before_ = 0;
    while (run - before_ >= runs_of(op_.slices[slice_])) before_ += runs_of(op_.slices[slice_++]);
    const SliceView& slice = op_.slices[slice_];
    const int64_t first = (run - before_) * rows_of_run_;
    AttentionRun found;
    found.slice = &slice;
    found.row = slice.row_begin + first;
    found.rows = std::min(rows_of_run_, slice.row_end - found.row);
    found.position = slice.first_position + first;
    const int64_t seen = op_.sliding_window > 0 ? op_.sliding_window - 1 : found.position;
    found.segment = std::max<int64_t>(0, found.position - seen) / kSegmentTokens;
    found.segment_end = (found.position + found.rows - 1) / kSegmentTokens + 1;
    return found;
  }

 private:
  static constexpr int64_t kSegmentTokens = kKvSegmentBlocks * kKvBlockTokens;

  int64_t runs_of(const SliceView& slice) const {
    return ceil_div(slice.row_end - slice.row_begin, rows_of_run_);
  }

  const AttentionOp& op_;
  const int64_t rows_of_run_;
  size_t slice_ = 0;
  int64_t before_ = 0;  // runs before those of slice_
};

AttentionArgs attention_args(const AttentionOp& op, const AttentionRun& run, int64_t kv_head,
                             float* scratch) {
  const int64_t group = op.heads / op.kv.kv_heads, dim = op.kv.head_dim;
  return {.q = op.q.row(run.row) + kv_head * group * dim,
          .q_stride = op.q.stride,
          .rows = run.rows,
          .heads = group,
          .head_dim = dim,
          .value_stride = round_up<int64_t>(dim, 16),
          .blocks = run.slice->blocks.data(),
          .keys = op.kv.keys + kv_head * op.kv.head_bytes_keys,
          .values = op.kv.values + kv_head * op.kv.head_bytes_values,
          .block_bytes = op.kv.block_bytes,
          .position = run.position,
          .window = op.sliding_window,
          .segment = run.segment,
          .segment_end = run.segment_end,
          .scale = op.scale,
          .softcap = op.softcap,
          .out = op.out.row(run.row) + kv_head * group * dim,
          .out_stride = op.out.stride,
          .partials = nullptr,
          .scratch = scratch};
}

}  // namespace

AttentionKernel attention_in_tiles(const KernelTable& kernels, KvElement element,
                                   int64_t head_dim) {
  if (kernels.tile_attention == nullptr) return nullptr;
  if (tile_attention_scratch_bytes(head_dim) > kTileScratchBytes) return nullptr;
  return kernels.tile_attention->attention[static_cast<size_t>(element)];
}

CpuOps::AttentionWay CpuOps::attention_way(Worker worker, const AttentionOp& op) {
  const auto member = static_cast<size_t>(worker.index);
  const AttentionKernel in_tiles =
      op.may_round ? attention_in_tiles(kernels_, op.kv.element, op.kv.head_dim) : nullptr;
  if (in_tiles != nullptr) {
    return {.attend = in_tiles,
            .rows = std::max<int64_t>(1, kTileQueries * op.kv.kv_heads / op.heads),
            .scratch = reinterpret_cast<float*>(tile_scratch_[member].data())};
  }
  return {.attend = kernels_.attention[static_cast<size_t>(op.kv.element)],
          .rows = kAttentionRunRows,
          .scratch = scratch_[member].data()};
}

void CpuOps::attention(Worker worker, const AttentionOp& op) {
  const AttentionWay way = attention_way(worker, op);
  AttentionRuns runs(op, way.rows);
  const int64_t count = runs.count();
  const int64_t tasks = count * op.kv.kv_heads;
  // With fewer tasks than would keep all members busy, long ones are cut.
  if (tasks < kAttentionTasksOfMember * worker.count && attend_in_parts(worker, op, way)) return;
  // Whoever is free takes the next, since rows differ in length.
  for (int64_t task = next_task(); task < tasks; task = next_task()) {
    way.attend(attention_args(op, runs.at(task % count), task / count, way.scratch));
  }
}

// Each task's segments are shared out as parts; who does the last part of a task merges them all.
bool CpuOps::attend_in_parts(Worker worker, const AttentionOp& op, const AttentionWay& way) {
  AttentionRuns runs(op, way.rows);
  const int64_t count = runs.count(), kv_heads = op.kv.kv_heads;
  const int64_t each = attention_partial_floats(round_up<int64_t>(op.kv.head_dim, 16));
  const int64_t run_floats = op.heads * each;  // of a row and segment
  int64_t floats = 0, segments_max = 0;
  for (int64_t i = 0; i < count; ++i) {
    const AttentionRun run = runs.at(i);
    floats += run.rows * run.segments() * run_floats;
    segments_max = std::max(segments_max, run.segments());
  }
  const int64_t parts = std::min(
      segments_max, ceil_div(2 * kAttentionTasksOfMember * worker.count, count * kv_heads));
  if (parts < 2 || floats > partials_floats_) return false;

  const int64_t tasks = count * kv_heads * parts;
  for (int64_t task = next_task(); task < tasks; task = next_task()) {
    const int64_t index = task / parts, part = task % parts, kv_head = index % kv_heads;
    float* partials = partials_.get();
    for (int64_t i = 0; i < index / kv_heads; ++i) {
      partials += runs.at(i).rows * runs.at(i).segments() * run_floats;
    }
    const AttentionRun run = runs.at(index / kv_heads);
    AttentionArgs args = attention_args(op, run, kv_head, way.scratch);
    const int64_t segment_floats = args.rows * args.heads * each;
    args.partials = partials + kv_head * run.segments() * segment_floats;
    AttentionArgs of_part = args;
    of_part.segment = run.segment + run.segments() * part / parts;
    of_part.segment_end = run.segment + run.segments() * (part + 1) / parts;
    of_part.partials += (of_part.segment - run.segment) * segment_floats;
    way.attend(of_part);
    std::atomic<int64_t>& done = parts_done_[static_cast<size_t>(index)];
    if (done.fetch_add(1, std::memory_order_acq_rel) + 1 == parts) kernels_.merge_attention(args);
  }
  return true;
}

int64_t CpuOps::attention_partials(const Sizes& sizes) {
  constexpr int64_t kFloatsMax = int64_t{16} << 20;
  const int64_t segments = ceil_div<int64_t>(sizes.context, kKvSegmentBlocks * kKvBlockTokens);
  const int64_t each = attention_partial_floats(round_up<int64_t>(sizes.head_dim, 16));
  return std::min(kFloatsMax, std::min(segments, kFloatsMax) * sizes.heads * each);
}

void CpuOps::begin_attention() {
  next_attention_task_.store(0, std::memory_order_relaxed);
  for (std::atomic<int64_t>& done : parts_done_) done.store(0, std::memory_order_relaxed);
}

void CpuOps::append_kv(Worker worker, const KvLayer& kv, std::span<const SliceView> slices,
                       ConstMatView k, ConstMatView v) const {
  const Range mine = worker.share(k.rows);
  const auto append = kernels_.kv_append[static_cast<size_t>(kv.element)];
  for (const SliceView& slice : slices) {
    for (int64_t row = std::max(mine.begin, slice.row_begin);
         row < std::min(mine.end, slice.row_end); ++row) {
      const int64_t position = slice.first_position + row - slice.row_begin;
      const int64_t block = slice.blocks[static_cast<size_t>(position / kKvBlockTokens)];
      for (int head = 0; head < kv.kv_heads; ++head) {
        append({.key = k.row(row) + head * kv.head_dim,
                .value = v.row(row) + head * kv.head_dim,
                .head_dim = kv.head_dim,
                .value_stride = (kv.head_dim + 15) / 16 * 16,
                .keys = kv.keys + block * kv.block_bytes + head * kv.head_bytes_keys,
                .values = kv.values + block * kv.block_bytes + head * kv.head_bytes_values,
                .slot = position % kKvBlockTokens});
      }
    }
  }
}

}  // namespace brisk
