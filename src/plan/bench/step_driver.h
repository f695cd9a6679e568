// Drives a decoder through the steps of a test: `batch` sequences that step together, each with its
// own blocks in order. One thread.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "base/clock.h"
#include "base/rng.h"
#include "model/decoder.h"
#include "model/kv_memory.h"
#include "plan/bench/model_bench.h"

namespace brisk {

class StepDriver {
 public:
  struct Sizes {
    int64_t rows_max = 512;  // of a step
    int batch_max = 1;
    KvElement element = KvElement::kF32;
    int64_t blocks = 1;  // of KV
  };
  // `model` and `team` must outlive it. Errors: ResourceExhausted (memory).
  static absl::StatusOr<std::unique_ptr<StepDriver>> create(const Model& model, ThreadTeam& team,
                                                            const Sizes& sizes);

  // Makes the test's context, which is not part of it.
  void prepare(const BenchTest& test);
  // Seconds of the test itself. REQUIRES: prepare(test) before.
  double run(const BenchTest& test);

  Decoder& decoder() { return decoder_; }

 private:
  StepDriver(const Model& model, ThreadTeam& team, std::unique_ptr<KvMemory> kv,
             const DecoderOptions& options);
  void prefill(int batch, int first, int count);
  void decode(int batch, int position);
  void add_slice(int sequence, int first, int count);
  void step();

  const Model& model_;
  const std::unique_ptr<KvMemory> kv_;
  const int64_t rows_max_;
  Decoder decoder_;
  const SteadyClock clock_;
  Rng rng_{42};
  std::vector<int32_t> blocks_;
  size_t per_sequence_ = 0;  // blocks
  std::vector<int32_t> tokens_;
  std::vector<int32_t> logits_rows_;
  std::vector<SliceView> slices_;
};

}  // namespace brisk
