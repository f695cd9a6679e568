#include "compress/calibrate/layer_stream.h"

#include <algorithm>
#include <numeric>

#include "base/check.h"
#include "base/status.h"
#include "base/units.h"
#include "compute/sys/memory.h"

namespace brisk {
namespace {

int64_t longest(const TokenWindows& windows) {
  size_t rows = 0;
  for (const auto& window : windows) rows = std::max(rows, window.size());
  return static_cast<int64_t>(rows);
}

}  // namespace

absl::StatusOr<std::unique_ptr<LayerStream>> LayerStream::create(const Model& model,
                                                                 const TokenWindows& windows,
                                                                 int threads) {
  if (threads <= 0) threads = usable_threads();
  const int64_t rows = longest(windows);
  BRISK_CHECK(rows > 0);
  const int64_t bytes =
      (token_count(windows) + rows) * model.spec.hidden_size * static_cast<int64_t>(sizeof(float));
  const int64_t available = available_memory_bytes();
  if (available > 0 && bytes > available / 2) {
    return exhausted("the states of {} calibration tokens take {}; use fewer windows",
                     token_count(windows), human_bytes(static_cast<uint64_t>(bytes)));
  }
  BRISK_RETURN_IF_ERROR(
      check_step_memory(model.spec, {.rows_max = rows, .logits_rows_max = 1}, threads));
  BRISK_ASSIGN_OR_RETURN(std::unique_ptr<KvMemory> kv,
                         KvMemory::create(model.spec, kv_element_for(model, KvDType::kF32),
                                          ceil_div<int64_t>(rows, kKvBlockTokens)));
  return std::unique_ptr<LayerStream>(
      new LayerStream(model, windows, threads, std::move(kv), rows));
}

LayerStream::LayerStream(const Model& model, const TokenWindows& windows, int threads,
                         std::unique_ptr<KvMemory> kv, int64_t rows_max)
    : model_(model),
      windows_(windows),
      team_(threads),
      kv_(std::move(kv)),
      decoder_(model, *model.kernels, team_, *kv_, {.rows_max = rows_max, .logits_rows_max = 1}),
      blocks_(static_cast<size_t>(kv_->blocks())),
      states_(static_cast<size_t>(token_count(windows) * model.spec.hidden_size)),
      scratch_(static_cast<size_t>(rows_max * model.spec.hidden_size)) {
  std::iota(blocks_.begin(), blocks_.end(), 0);
  int64_t row = 0;
  for (const auto& window : windows) {
    first_row_.push_back(row);
    row += std::ssize(window);
  }
  for (size_t w = 0; w < windows_.size(); ++w) {
    SliceView slice;
    decoder_.embed_rows(batch_of(w, &slice), states_of(w));
  }
}

MatView LayerStream::states_of(size_t window) const {
  const int64_t hidden = model_.spec.hidden_size;
  return {states_.data() + first_row_[window] * hidden, std::ssize(windows_[window]), hidden,
          hidden};
}

StepBatch LayerStream::batch_of(size_t window, SliceView* slice) const {
  *slice = {.row_begin = 0,
            .row_end = std::ssize(windows_[window]),
            .first_position = 0,
            .blocks = blocks_};
  return {.tokens = windows_[window], .slices = {slice, 1}, .logits_rows = {}};
}

void LayerStream::look(InputObserver& observer) {
  decoder_.set_observer(&observer);
  for (size_t w = 0; w < windows_.size(); ++w) {
    const MatView states = states_of(w);
    const MatView copy = {scratch_.data(), states.rows, states.cols, states.cols};
    std::copy_n(states.data, states.rows * states.cols, copy.data);
    SliceView slice;
    decoder_.run_layer(batch_of(w, &slice), layer_, copy);
  }
  decoder_.set_observer(nullptr);
}

void LayerStream::advance() {
  for (size_t w = 0; w < windows_.size(); ++w) {
    SliceView slice;
    decoder_.run_layer(batch_of(w, &slice), layer_, states_of(w));
  }
  ++layer_;
}

void LayerStream::look_at_head(InputObserver& observer) {
  BRISK_CHECK(layer_ == model_.spec.layers.size());
  decoder_.set_observer(&observer);
  for (size_t w = 0; w < windows_.size(); ++w) {
    // One row of each window: a head over all of them would be most of the work.
    SliceView slice;
    StepBatch batch = batch_of(w, &slice);
    const int32_t row = static_cast<int32_t>(slice.row_end) - 1;
    batch.logits_rows = {&row, 1};
    decoder_.run_head(batch, states_of(w));
  }
  decoder_.set_observer(nullptr);
}

}  // namespace brisk
