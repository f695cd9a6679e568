// The forward pass of a decoder-only transformer over the rows of one step, on a team of CPU
// threads.
//
// The rows of a step are tokens of many sequences. A row's logits depend only on its token, its
// position and the KV of the positions before it (DESIGN 3): never on the other rows, on how a
// prompt was cut into steps, or on the number of threads.
#pragma once

#include <absl/status/statusor.h>

#include <array>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <vector>

#include "compute/backend/cpu_ops.h"
#include "compute/backend/op_trace.h"
#include "model/kv_memory.h"
#include "model/lora/lora_ops.h"
#include "model/model.h"

namespace brisk {

// One step's rows.
struct StepBatch {
  std::span<const int32_t> tokens;       // (rows); valid ids
  std::span<const SliceView> slices;     // cover the rows in order
  std::span<const int32_t> logits_rows;  // rows whose logits are wanted, ascending
  // (slices): what is added to their products, null for nothing; empty: to none
  std::span<const LoraAdapter* const> adapters = {};
};

struct DecoderOptions {
  int64_t rows_max = 512;         // of a step
  int64_t logits_rows_max = 256;  // of a step
};

// What attention gets of a step's rows: queries (rows, heads * head_dim), keys and values
// (rows, kv_heads * head_dim); normed and rotated.
struct HeadRows {
  ConstMatView q, k, v;
  int64_t head_dim = 0;
};

// Sees what products are given while a step runs: how calibration looks into a model.
class InputObserver {
 public:
  virtual ~InputObserver() = default;
  // Every member of the team calls it, with the same arguments; `input` (rows, depth) changes only
  // when all have returned. `users`: the products it is for, of `layer` (the head's: SIZE_MAX).
  virtual void observe(Worker worker, size_t layer, ConstMatView input,
                       std::span<const Linear* const> users) = 0;
  // Likewise, what a layer's heads are given.
  virtual void observe_heads(Worker /*worker*/, size_t /*layer*/, const HeadRows& /*rows*/) {}
};

// Bytes that a Decoder allocates. Sizes that a checkpoint only claims may make it anything.
int64_t step_memory_bytes(const ModelSpec& spec, const DecoderOptions& options, int threads);

// Errors: ResourceExhausted when that is more than the machine can give.
absl::Status check_step_memory(const ModelSpec& spec, const DecoderOptions& options, int threads);

class Decoder {
 public:
  // Allocates everything a step needs. All references must outlive the decoder.
  Decoder(const Model& model, const KernelTable& kernels, ThreadTeam& team, KvMemory& kv,
          const DecoderOptions& options);

  // Writes the rows' keys and values into their slots and gives the wanted logits,
  // (logits_rows, vocab), valid until the next call. One caller at a time; nothing allocates but
  // adapters of a larger rank, once.
  // REQUIRES: rows and logits rows within the options; the KV of all earlier positions is there.
  MatView forward(const StepBatch& batch);

  // forward() in pieces, for who changes weights on the way: `hidden` (rows, hidden_size) becomes
  // the rows' embeddings; what `layer` makes of it; and logits are made from it, as by forward().
  // The bits are those of forward().
  void embed_rows(const StepBatch& batch, MatView hidden);
  void run_layer(const StepBatch& batch, size_t layer, MatView hidden);
  MatView run_head(const StepBatch& batch, ConstMatView hidden);

  // The final hidden state of a row of the last step, normed as the head sees it; `state` has
  // hidden_size elements. REQUIRES: `row` is one of that step's; nobody runs a step.
  void final_hidden(int64_t row, std::span<float> state) const;

  // From the next step on, members write what they do into `trace` (null: nothing). REQUIRES: it
  // has as many members as the team, and outlives its use.
  void set_trace(OpTrace* trace) { trace_ = trace; }

  // From the next step on (null: nobody). REQUIRES: it outlives its use.
  void set_observer(InputObserver* observer) { observer_ = observer; }

 private:
  void begin(const StepBatch& batch);
  void run(Worker worker, const StepBatch& batch);
  void block(Worker worker, const StepBatch& batch, size_t layer);
  void embed(Worker worker, const StepBatch& batch);
  void compute_angles(Worker worker, const StepBatch& batch);
  void attention_block(Worker worker, const StepBatch& batch, size_t layer);
  void position_heads(Worker worker, const StepBatch& batch, size_t layer);
  void dense_mlp(Worker worker, size_t layer);
  void routed_mlp(Worker worker, size_t layer);
  void choose_experts(Worker worker);
  void run_expert(Worker worker, size_t layer, const ExpertWeights& expert,
                  std::span<const int32_t> rows, std::span<const float> shares);
  void gated_product(Worker worker, const Linear& gate, const Linear& up, ConstMatView input,
                     MatView output, size_t adapted_layer);
  void head(Worker worker, const StepBatch& batch);

  void norm_row(const NormWeights& weights, const float* x, int64_t cols, float* y) const;
  void quantize_rows(Worker worker, MatView x) const;
  void prepare_row(const NormWeights& weights, const float* x, int64_t cols, float* y) const;
  void load_input(Worker worker, size_t layer, OpKind kind, ConstMatView input,
                  std::initializer_list<const Linear*> users,
                  std::initializer_list<LoraTarget> targets = {});
  bool load(Worker worker, size_t layer, ConstMatView input, std::span<const Linear* const> users,
            int slot);
  void reduce(Worker worker, size_t layer, OpKind kind, ConstMatView input,
              std::span<const Linear* const> users);
  void adapt(Worker worker, size_t layer, LoraTarget target, MatView output) const {
    if (lora_.is_active()) lora_.add(worker, layer, target, output);
  }
  void product(Worker worker, const Linear& linear, ConstMatView input, MatView output,
               bool add = false);
  void lap(Worker worker, OpKind kind, size_t layer) const {
    if (trace_ != nullptr) trace_->lap(worker.index, kind, static_cast<int>(layer));
  }
  void sync(Worker worker, size_t layer) const {
    worker.sync();
    lap(worker, OpKind::kWait, layer);
  }
  MatView rows_of(std::vector<float>& buffer, int64_t cols) const;
  MatView reduced(const Linear& linear, int64_t rows);

  const Model& model_;
  const ModelSpec& spec_;
  ThreadTeam& team_;
  KvMemory& kv_;
  CpuOps ops_;
  LoraOps lora_;
  const DecoderOptions options_;

  OpTrace* trace_ = nullptr;
  InputObserver* observer_ = nullptr;
  int64_t rows_ = 0;           // of the step that runs
  std::vector<float> x_;       // (rows, hidden): the residual stream
  std::vector<float> h_;       // (rows, hidden): a normed copy, input of products
  std::vector<float> branch_;  // (rows, hidden): a branch before its own norm
  std::vector<float> q_;       // (rows, heads * head_dim)
  std::vector<float> k_;       // (rows, kv_heads * head_dim)
  std::vector<float> v_;       // (rows, kv_heads * head_dim)
  std::vector<float> mixed_;   // (rows, heads * head_dim): attention's output
  std::vector<float> gate_;    // (rows, widest MLP)
  std::vector<float> up_;      // (rows, widest MLP)
  std::vector<float> logits_;  // (logits_rows, vocab)
  // (rows, rank), by Linear::slot: an input after the first of two factors.
  std::array<std::vector<float>, kSharedInputMax> reduced_;
  struct Angles {
    std::vector<float> cos, sin;  // (rows, rotary_dim / 2)
  };
  std::vector<Angles> angles_;  // one per ModelSpec::ropes

  // Routed experts.
  std::vector<float> router_;         // (rows, experts)
  std::vector<int32_t> chosen_;       // (rows, experts_per_token)
  std::vector<float> chosen_weight_;  // (rows, experts_per_token)
  std::vector<float> gathered_;       // (rows, hidden): rows of one expert
  std::vector<float> expert_out_;     // (rows, hidden)
  std::vector<float> shared_gate_;    // (rows, 1)
  struct ExpertRows {
    std::vector<int32_t> rows;
    std::vector<float> shares;
  };
  std::vector<ExpertRows> expert_rows_;  // one per member: each makes its own copy of the list
};

}  // namespace brisk
