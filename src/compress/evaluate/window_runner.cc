#include "compress/evaluate/window_runner.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "base/status.h"
#include "base/units.h"

namespace brisk {
namespace {

constexpr int64_t kRowsPerStep = 128;  // their logits are all kept: 128 x 128k x 4 B = 64 MiB
constexpr DecoderOptions kDecoderOptions = {.rows_max = kRowsPerStep,
                                            .logits_rows_max = kRowsPerStep};

}  // namespace

absl::StatusOr<std::unique_ptr<WindowRunner>> WindowRunner::create(
    const Model& model, ThreadTeam& team, const WindowRunnerOptions& options) {
  BRISK_RETURN_IF_ERROR(check_step_memory(model.spec, kDecoderOptions, team.size()));
  BRISK_ASSIGN_OR_RETURN(std::unique_ptr<KvMemory> kv,
                         KvMemory::create(model.spec, kv_element_for(model, options.kv_dtype),
                                          ceil_div<int64_t>(options.context, kKvBlockTokens)));
  return std::unique_ptr<WindowRunner>(
      new WindowRunner(model, team, std::move(kv), options.adapter));
}

WindowRunner::WindowRunner(const Model& model, ThreadTeam& team, std::unique_ptr<KvMemory> kv,
                           const LoraAdapter* adapter)
    : kv_(std::move(kv)),
      decoder_(model, *model.kernels, team, *kv_, kDecoderOptions),
      adapter_(adapter),
      blocks_(static_cast<size_t>(kv_->blocks())),
      rows_(kRowsPerStep) {
  std::iota(blocks_.begin(), blocks_.end(), 0);
  std::iota(rows_.begin(), rows_.end(), 0);
}

void WindowRunner::begin(std::span<const int32_t> tokens, int64_t first) {
  const auto [end, other] = std::ranges::mismatch(tokens, cached_);
  tokens_ = tokens;
  first_ = first;
  position_ = std::min<int64_t>(end - tokens.begin(), first - 1);
  cached_.resize(static_cast<size_t>(position_));
}

bool WindowRunner::next(WindowStep* step) {
  const auto predicting = static_cast<int64_t>(tokens_.size()) - 1;
  while (position_ < predicting) {
    const int64_t begin = position_, end = std::min(begin + kRowsPerStep, predicting);
    const std::span<const int32_t> tokens =
        tokens_.subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin));
    const int64_t skipped = std::clamp<int64_t>(first_ - 1 - begin, 0, end - begin);
    const SliceView slice = {
        .row_begin = 0, .row_end = end - begin, .first_position = begin, .blocks = blocks_};
    const MatView logits = decoder_.forward(
        {.tokens = tokens,
         .slices = {&slice, 1},
         .logits_rows = std::span<const int32_t>(rows_).subspan(
             static_cast<size_t>(skipped), static_cast<size_t>(end - begin - skipped)),
         .adapters = {&adapter_, 1}});
    cached_.insert(cached_.end(), tokens.begin(), tokens.end());
    tokens_run_ += end - begin;
    position_ = end;
    if (skipped == end - begin) continue;
    *step = {.first_target = begin + skipped + 1, .logits = logits};
    return true;
  }
  return false;
}

absl::Status check_tokens(std::span<const int32_t> tokens, const Model& model) {
  for (const int32_t token : tokens) {
    if (token >= model.spec.vocab_size) {
      return invalid_input(
          "the tokenizer gives token {}, but the model has {} of them: it belongs to another model",
          token, model.spec.vocab_size);
    }
  }
  return absl::OkStatus();
}

}  // namespace brisk
