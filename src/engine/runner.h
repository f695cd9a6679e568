// Runs the scheduler's plans through the model: from block tables and token ids to logits.
#pragma once

#include <absl/status/statusor.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "compute/sys/thread_team.h"
#include "engine/adapters.h"
#include "engine/sched/step_plan.h"
#include "model/decoder.h"
#include "model/kv_memory.h"
#include "model/model.h"

namespace brisk {

struct RunnerOptions {
  int threads = 0;  // 0: as many as the process may use
  int64_t rows_max = 512;
  int64_t logits_rows_max = 256;
  KvElement kv_element = KvElement::kF32;
  int64_t kv_blocks = 0;
  const LiveAdapters* adapters = nullptr;  // outlives the runner; null: no plan names one
};

// What the engine makes of a plan: a model on this machine, or in tests something that fails or
// waits in front of it. One thread.
class StepRunner {
 public:
  virtual ~StepRunner() = default;

  // The logits, (plan.logits_rows, vocab), may be overwritten and are valid until the next call. An
  // error fails the step and nothing else.
  virtual absl::StatusOr<MatView> run(const StepPlan& plan) = 0;

  // The final hidden state, normed, of a row of the last plan; rows are numbered through its
  // slices. `state` has the model's hidden_size elements.
  virtual void final_hidden(int64_t row, std::span<float> state) const = 0;

  // Calls body(i, thread) once for every i in [0, count), on up to threads() threads at a time,
  // each with a number of its own; returns when all are done. `body` must not throw.
  virtual void for_each(int64_t count, const std::function<void(int64_t, int)>& body);
  virtual int threads() const { return 1; }

  // A block's KV as bytes, block_bytes() of them; between steps only.
  virtual void read_block(BlockId block, std::span<std::byte> bytes) const = 0;
  virtual void write_block(BlockId block, std::span<const std::byte> bytes) = 0;
  virtual int64_t block_bytes() const = 0;
};

// One thread.
class Runner final : public StepRunner {
 public:
  // Errors: InvalidArgument (BRISK_ISA), ResourceExhausted (memory).
  static absl::StatusOr<std::unique_ptr<Runner>> create(const Model& model,
                                                        const RunnerOptions& options);

  // Errors: ResourceExhausted (memory). REQUIRES: the plan keeps within the options, and names only
  // adapters that are live.
  absl::StatusOr<MatView> run(const StepPlan& plan) override;
  void final_hidden(int64_t row, std::span<float> state) const override {
    decoder_.final_hidden(row, state);
  }
  void for_each(int64_t count, const std::function<void(int64_t, int)>& body) override;
  int threads() const override { return team_.size(); }
  void read_block(BlockId block, std::span<std::byte> bytes) const override {
    kv_->read_block(block.value, bytes);
  }
  void write_block(BlockId block, std::span<const std::byte> bytes) override {
    kv_->write_block(block.value, bytes);
  }
  int64_t block_bytes() const override { return kv_->block_bytes(); }

 private:
  Runner(const Model& model, std::unique_ptr<KvMemory> kv, int threads,
         const DecoderOptions& options, const LiveAdapters* live_adapters);
  void flatten(const StepPlan& plan);
  void find_adapters(const StepPlan& plan);

  ThreadTeam team_;
  std::unique_ptr<KvMemory> kv_;
  Decoder decoder_;
  const LiveAdapters* const live_adapters_;

  // The plan as the decoder takes it; reused by every step.
  std::vector<int32_t> tokens_;
  std::vector<int32_t> logits_rows_;
  std::vector<int32_t> blocks_;
  std::vector<SliceView> slices_;
  std::vector<const LoraAdapter*> adapters_;  // parallel to slices_, or empty
};

}  // namespace brisk
