#include "plan/bench/step_driver.h"

#include <algorithm>
#include <numeric>

#include "base/status.h"
#include "base/units.h"

namespace brisk {

absl::StatusOr<std::unique_ptr<StepDriver>> StepDriver::create(const Model& model, ThreadTeam& team,
                                                               const Sizes& sizes) {
  const DecoderOptions options = {.rows_max = sizes.rows_max, .logits_rows_max = sizes.batch_max};
  BRISK_RETURN_IF_ERROR(check_step_memory(model.spec, options, team.size()));
  BRISK_ASSIGN_OR_RETURN(std::unique_ptr<KvMemory> kv,
                         KvMemory::create(model.spec, sizes.element, sizes.blocks));
  return std::unique_ptr<StepDriver>(new StepDriver(model, team, std::move(kv), options));
}

StepDriver::StepDriver(const Model& model, ThreadTeam& team, std::unique_ptr<KvMemory> kv,
                       const DecoderOptions& options)
    : model_(model),
      kv_(std::move(kv)),
      rows_max_(options.rows_max),
      decoder_(model, *model.kernels, team, *kv_, options),
      blocks_(static_cast<size_t>(kv_->blocks())) {
  std::iota(blocks_.begin(), blocks_.end(), 0);
}

void StepDriver::prepare(const BenchTest& test) {
  per_sequence_ =
      static_cast<size_t>(ceil_div<int64_t>(test.context + test.tokens, kKvBlockTokens));
  if (test.context > 0) prefill(test.batch, 0, test.context);
}

double StepDriver::run(const BenchTest& test) {
  const Instant start = clock_.now();
  if (test.kind == BenchTest::Kind::kPrefill) {
    prefill(test.batch, 0, test.tokens);
  } else {
    for (int i = 0; i < test.tokens; ++i) decode(test.batch, test.context + i);
  }
  return seconds_between(start, clock_.now());
}

// Fills steps up to their budget, sequence after sequence; logits for each prompt's last token.
void StepDriver::prefill(int batch, int first, int count) {
  for (int s = 0; s < batch; ++s) {
    for (int done = 0; done < count;) {
      const int64_t room = rows_max_ - static_cast<int64_t>(tokens_.size());
      const int take = static_cast<int>(std::min<int64_t>(room, count - done));
      add_slice(s, first + done, take);
      done += take;
      if (done == count) logits_rows_.push_back(static_cast<int32_t>(tokens_.size()) - 1);
      if (static_cast<int64_t>(tokens_.size()) == rows_max_) step();
    }
  }
  if (!tokens_.empty()) step();
}

void StepDriver::decode(int batch, int position) {
  for (int s = 0; s < batch; ++s) {
    add_slice(s, position, 1);
    logits_rows_.push_back(static_cast<int32_t>(tokens_.size()) - 1);
  }
  step();
}

void StepDriver::add_slice(int sequence, int first, int count) {
  const auto row = static_cast<int64_t>(tokens_.size());
  for (int i = 0; i < count; ++i) {
    tokens_.push_back(
        static_cast<int32_t>(rng_.next_below(static_cast<uint64_t>(model_.spec.vocab_size))));
  }
  slices_.push_back({.row_begin = row,
                     .row_end = row + count,
                     .first_position = first,
                     .blocks = std::span<const int32_t>(blocks_).subspan(
                         static_cast<size_t>(sequence) * per_sequence_, per_sequence_)});
}

void StepDriver::step() {
  decoder_.forward({.tokens = tokens_, .slices = slices_, .logits_rows = logits_rows_});
  tokens_.clear();
  slices_.clear();
  logits_rows_.clear();
}

}  // namespace brisk
