#include "engine/runner.h"

#include <algorithm>
#include <atomic>
#include <new>
#include <utility>

#include "base/status.h"

namespace brisk {

void StepRunner::for_each(int64_t count, const std::function<void(int64_t, int)>& body) {
  for (int64_t i = 0; i < count; ++i) body(i, 0);
}

absl::StatusOr<std::unique_ptr<Runner>> Runner::create(const Model& model,
                                                       const RunnerOptions& options) {
  const int threads = options.threads > 0 ? options.threads : usable_threads();
  const DecoderOptions decoder = {.rows_max = options.rows_max,
                                  .logits_rows_max = options.logits_rows_max};
  BRISK_RETURN_IF_ERROR(check_step_memory(model.spec, decoder, threads));
  BRISK_ASSIGN_OR_RETURN(std::unique_ptr<KvMemory> kv,
                         KvMemory::create(model.spec, options.kv_element, options.kv_blocks));
  return std::unique_ptr<Runner>(
      new Runner(model, std::move(kv), threads, decoder, options.adapters));
}

Runner::Runner(const Model& model, std::unique_ptr<KvMemory> kv, int threads,
               const DecoderOptions& options, const LiveAdapters* live_adapters)
    : team_(threads),
      kv_(std::move(kv)),
      decoder_(model, *model.kernels, team_, *kv_, options),
      live_adapters_(live_adapters) {}

absl::StatusOr<MatView> Runner::run(const StepPlan& plan) {
  for (const BlockCopy& copy : plan.copies) kv_->copy_block(copy.from.value, copy.to.value);
  try {
    flatten(plan);
    find_adapters(plan);
    return decoder_.forward(
        {.tokens = tokens_, .slices = slices_, .logits_rows = logits_rows_, .adapters = adapters_});
  } catch (const std::bad_alloc&) {
    return exhausted("no memory for a step of {} tokens", plan.tokens);
  }
}

void Runner::find_adapters(const StepPlan& plan) {
  adapters_.clear();
  const auto has_one = [](const Slice& slice) { return slice.adapter != 0; };
  if (std::none_of(plan.slices.begin(), plan.slices.end(), has_one)) return;
  for (const Slice& slice : plan.slices) {
    adapters_.push_back(live_adapters_->weights_of(slice.adapter));
  }
}

void Runner::for_each(int64_t count, const std::function<void(int64_t, int)>& body) {
  if (count <= 1) return StepRunner::for_each(count, body);
  // One reference, so that the team's function needs no memory of its own.
  struct Work {
    const std::function<void(int64_t, int)>& body;
    const int64_t count;
    std::atomic<int64_t> next{0};
  } work{.body = body, .count = count};
  team_.run([&work](Worker worker) {
    for (int64_t i = work.next++; i < work.count; i = work.next++) work.body(i, worker.index);
  });
}

void Runner::flatten(const StepPlan& plan) {
  tokens_.clear();
  logits_rows_.clear();
  blocks_.clear();
  slices_.clear();
  for (const Slice& slice : plan.slices) {
    for (const BlockId block : slice.blocks) blocks_.push_back(block.value);
  }
  size_t first_block = 0;
  for (const Slice& slice : plan.slices) {
    const auto row = static_cast<int64_t>(tokens_.size());
    tokens_.insert(tokens_.end(), slice.tokens.begin(), slice.tokens.end());
    const auto count = static_cast<int64_t>(slice.tokens.size());
    slices_.push_back({.row_begin = row,
                       .row_end = row + count,
                       .first_position = slice.first,
                       .blocks = {blocks_.data() + first_block, slice.blocks.size()}});
    first_block += slice.blocks.size();
    for (int64_t i = slice.logits_from; i < count; ++i) {
      logits_rows_.push_back(static_cast<int32_t>(row + i));
    }
  }
}

}  // namespace brisk
