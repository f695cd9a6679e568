// Knowledge distillation (Hinton, Vinyals, Dean 2015): the student learns the teacher's
// distribution beside the next token.
#pragma once

#include <absl/status/statusor.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "compute/sys/mapped_file.h"
#include "compute/tensor/tensor.h"
#include "train/llama.h"
#include "train/objective.h"

namespace brisk::train {

struct DistillSettings {
  float alpha = 0.5f;       // (1 - alpha) cross-entropy + alpha T^2 KL
  float temperature = 1;    // T
  float hidden_weight = 0;  // of the last hidden states' mean squared distance; 0: not learned
  // Of the divergence between the last layers' attention, averaged over heads; 0: not learned.
  float attention_weight = 0;
};

// The best tokens of a teacher at every learned token of a corpus, on disk: safetensors with
// "tokens" (I32), "logits" (F16), both (learned tokens, k), and "fingerprint" (I64) of the corpus.
class TeacherCache {
 public:
  // One pass of the teacher over the corpus, every document once. `on_progress` may be null.
  static absl::Status write(const std::string& path, const Corpus& corpus, LlamaModel& teacher,
                            int64_t length, int64_t k,
                            const std::function<void(uint64_t done, uint64_t total)>& on_progress);

  // Errors: InvalidArgument for a cache that was made of other data, or is damaged.
  static absl::StatusOr<TeacherCache> open(const std::string& path, const Corpus& corpus,
                                           int64_t vocab);

  // The teacher at the learned rows of a batch, in their order: logits f32 and tokens int32,
  // (rows, k).
  struct Top {
    at::Tensor logits, tokens;
  };
  Top at(const Batch& batch) const;

 private:
  explicit TeacherCache(MappedFile file) : file_(std::move(file)) {}

  MappedFile file_;
  Tensor tokens_, logits_;
  std::vector<uint32_t> rows_;  // (corpus tokens): learned ones before
};

// One of `teacher` and `cache` is given; both outlive this, as the student does.
class Distillation final : public Objective {
 public:
  struct Teacher {
    LlamaModel* model = nullptr;
    const TeacherCache* cache = nullptr;
  };

  Distillation(const LlamaModel& student, const Teacher& teacher, const DistillSettings& settings,
               uint64_t seed);

  void learn(LlamaModel& model, const Batch& batch, int64_t learned_total, LossSums& sums) override;
  std::vector<Weight*> weights() override;
  void refresh() override;

 private:
  const Teacher teacher_;
  const DistillSettings settings_;
  const ComputeType type_;
  Weight projection_;  // (teacher's dim, student's): only with hidden_weight
};

}  // namespace brisk::train
