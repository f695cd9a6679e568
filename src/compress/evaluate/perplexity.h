// How well a model predicts texts: the mean of -ln p(token | tokens before it).
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "model/kv_memory.h"
#include "model/lora/adapter.h"
#include "model/model.h"

namespace brisk {

struct PerplexityOptions {
  int threads = 0;      // 0: all
  int64_t context = 0;  // tokens of a window; 0: the model's context, at most 2,048
  KvDType kv_dtype = KvDType::kF32;
  std::shared_ptr<const LoraAdapter> adapter;  // of the model; null: none
};

// Every document by itself. One longer than a window is cut into consecutive windows; every window
// begins with the model's BOS token where it has one (else its first token is not predicted).
struct PerplexityReport {
  int64_t documents = 0;
  int64_t windows = 0;
  int64_t tokens = 0;  // predicted
  int64_t bytes = 0;   // of text that they spell
  double nats = 0;     // sum over tokens
  double seconds = 0;

  double nats_per_token() const { return nats / static_cast<double>(tokens); }
  double nats_per_byte() const { return nats / static_cast<double>(bytes); }
  double perplexity() const;  // exp(nats per token)
};

// The documents of a file: the "text" (or "story", "content") of every line of a .jsonl, else the
// whole file as one. Errors: as read_file; InvalidArgument naming the line.
absl::StatusOr<std::vector<std::string>> read_documents(const std::string& path);

// `progress` is told the documents done so far. Errors: InvalidArgument when the model has no
// tokenizer or there is nothing to predict; Internal when the model gives NaN.
absl::StatusOr<PerplexityReport> measure_perplexity(const Model& model,
                                                    const std::vector<std::string>& documents,
                                                    const PerplexityOptions& options,
                                                    const std::function<void(int64_t)>& progress);

}  // namespace brisk
