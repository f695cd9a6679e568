// Runs a model over windows of tokens, a step of rows at a time: logits of any text in memory that
// does not depend on its length.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "compute/sys/thread_team.h"
#include "model/decoder.h"
#include "model/kv_memory.h"
#include "model/lora/adapter.h"
#include "model/model.h"

namespace brisk {

// Row r of `logits` predicts token first_target + r of the window.
struct WindowStep {
  int64_t first_target = 0;
  MatView logits;  // (rows, vocabulary); valid until the runner's next call
};

struct WindowRunnerOptions {
  int64_t context = 2048;  // tokens of a window at most
  KvDType kv_dtype = KvDType::kF32;
  const LoraAdapter* adapter = nullptr;  // of the model; outlives the runner
};

// One thread at a time.
class WindowRunner {
 public:
  // `model` and `team` must outlive it. Errors: ResourceExhausted (memory).
  static absl::StatusOr<std::unique_ptr<WindowRunner>> create(const Model& model, ThreadTeam& team,
                                                              const WindowRunnerOptions& options);

  // Begins a window, of which tokens[first...] are to be predicted. What it has in common with the
  // beginning of the window before it is not computed again.
  // REQUIRES: 1 <= first < tokens.size() <= context; ids of the model's vocabulary; they live
  // until the last step.
  void begin(std::span<const int32_t> tokens, int64_t first);

  // The next predictions, in order; false when the window has none left. Two runners that begin
  // the same windows take the same steps.
  bool next(WindowStep* step);

  int64_t tokens_run() const { return tokens_run_; }

 private:
  WindowRunner(const Model& model, ThreadTeam& team, std::unique_ptr<KvMemory> kv,
               const LoraAdapter* adapter);

  const std::unique_ptr<KvMemory> kv_;
  Decoder decoder_;
  const LoraAdapter* const adapter_;  // or null
  std::vector<int32_t> blocks_;
  std::vector<int32_t> rows_;    // 0, 1, 2, ...
  std::vector<int32_t> cached_;  // tokens whose keys and values are in kv_, from position 0
  std::span<const int32_t> tokens_;
  int64_t first_ = 1;
  int64_t position_ = 0;  // of the next step's first row
  int64_t tokens_run_ = 0;
};

// Errors: InvalidArgument when a tokenizer gives ids that the model has no embedding for.
absl::Status check_tokens(std::span<const int32_t> tokens, const Model& model);

}  // namespace brisk
