// What an artefact is worth and what it lost, measured on the engine that will serve it.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "compress/evaluate/bootstrap.h"
#include "compress/evaluate/documents.h"
#include "model/kv_memory.h"
#include "model/lora/adapter.h"
#include "model/model.h"

namespace brisk {

// How far a model's predictions are from a reference's, token by token of one text.
struct Divergence {
  std::string reference;      // its name
  double reference_nats = 0;  // of all tokens: -ln p(token | tokens before it) by the reference
  Estimate kl;                // KL(reference || model), nats a token: the mean
  double kl_median = 0;
  double kl_p99 = 0;
  double kl_max = 0;
  Estimate flips;             // share of the tokens where another one is the most likely
  Estimate perplexity_ratio;  // the model's to the reference's
};

// How well a model predicts a text.
struct TextQuality {
  int64_t documents = 0;
  int64_t windows = 0;
  int64_t tokens = 0;       // predicted
  int64_t bytes = 0;        // of text that they spell
  double nats = 0;          // -ln p(token | tokens before it) of all of them
  Estimate perplexity;      // exp(nats a token)
  double seconds = 0;       // of the model alone
  double tokens_per_s = 0;  // that it ran over, those only given included
  std::optional<Divergence> divergence = std::nullopt;

  double nats_per_token() const { return nats / static_cast<double>(tokens); }
  double nats_per_byte() const { return nats / static_cast<double>(bytes); }
};

// How many questions of one kind a model answers rightly.
struct Accuracy {
  std::string name;  // "tasks", "choices", "choices_norm", "questions"
  tasks::Score score;
  // Questions that one of model and reference answers rightly and the other does not.
  std::optional<tasks::Score> flips = std::nullopt;
};

// What is measured of an artefact. A part that was not measured is not there.
struct QualityReport {
  std::string model;   // its name
  uint64_t bytes = 0;  // of its weight files
  std::optional<TextQuality> text = std::nullopt;
  std::vector<Accuracy> accuracies = {};
  std::optional<double> decode_tokens_per_s = std::nullopt;  // of one sequence
};

struct QualityOptions {
  int threads = 0;                   // 0: all
  int64_t context = 0;               // tokens of a window; 0: the models' context, at most 2,048
  int64_t stride = 0;                // see WindowSizes
  KvDType kv_dtype = KvDType::kF32;  // the reference's is f32
  std::shared_ptr<const LoraAdapter> adapter = nullptr;  // of the model; null: none
  uint64_t seed = 1;                                     // of the confidence intervals
  std::function<void(uint64_t bytes, uint64_t bytes_total)> on_progress = nullptr;
};

// Predicts every document by itself, with windows that begin with the BOS token where there is one,
// by `model` and, unless null, by `reference` at the same time: memory holds two steps of logits
// and a number for each token. The reference should be loaded with Activations::kF32: so it is the
// yardstick, of its own quantised self too. No documents: nothing of a text is measured.
// Errors: InvalidArgument when the model has no tokenizer, the reference another vocabulary, or
// there is nothing to predict; ResourceExhausted (memory); Internal when a model gives NaN.
absl::StatusOr<QualityReport> measure_quality(const Model& model, const Model* reference,
                                              const std::vector<Document>& documents,
                                              const QualityOptions& options);

}  // namespace brisk
