// Runs token sequences straight through a Decoder, without engine or scheduler, for tests.
#pragma once

#include <cstdint>
#include <memory>
#include <numeric>
#include <span>
#include <vector>

#include "model/decoder.h"
#include "model/kv_memory.h"
#include "model/model.h"

namespace brisk {

struct HarnessOptions {
  int threads = 1;
  KvElement element = KvElement::kF32;
  int64_t rows_max = 128;
  int64_t blocks = 64;
};

// One sequence whose blocks are 0, 1, 2, ...
class DecoderHarness {
 public:
  DecoderHarness(const Model& model, const HarnessOptions& options)
      : team_(options.threads),
        kv_(KvMemory::create(model.spec, options.element, options.blocks).value()),
        decoder_(model, *model.kernels, team_, *kv_,
                 {.rows_max = options.rows_max, .logits_rows_max = options.rows_max}),
        blocks_(static_cast<size_t>(options.blocks)) {
    std::iota(blocks_.begin(), blocks_.end(), 0);
  }

  // Feeds `tokens` at the positions after the last call's; the logits of every one, row by row.
  std::vector<float> feed(std::span<const int32_t> tokens) {
    const auto rows = static_cast<int64_t>(tokens.size());
    std::vector<int32_t> wanted(tokens.size());
    std::iota(wanted.begin(), wanted.end(), 0);
    const SliceView slice = {
        .row_begin = 0, .row_end = rows, .first_position = position_, .blocks = blocks_};
    const MatView logits = decoder_.forward({.tokens = tokens,
                                             .slices = {&slice, 1},
                                             .logits_rows = wanted,
                                             .adapters = {&adapter_, 1}});
    position_ += rows;
    return {logits.data, logits.data + logits.rows * logits.cols};
  }

  void restart() { position_ = 0; }

  // From the next feed on (null: no adapter), which must outlive its use.
  void adapt(const LoraAdapter* adapter) { adapter_ = adapter; }

 private:
  ThreadTeam team_;
  std::unique_ptr<KvMemory> kv_;
  Decoder decoder_;
  std::vector<int32_t> blocks_;
  int64_t position_ = 0;
  const LoraAdapter* adapter_ = nullptr;
};

}  // namespace brisk
