// What the server counts, in Prometheus' text format under vLLM's names.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "engine/request.h"
#include "serve/http/server.h"

namespace brisk::api {

struct MetricsOptions {
  bool vllm_alias = false;  // every brisk: metric a second time as vllm:
};

// Of a model's requests since the start.
struct ModelTotals {
  int64_t succeeded = 0;     // generations that ended by themselves
  int64_t failed = 0;        // choices that ended in an error
  int64_t last_unix_ms = 0;  // when the last one ended; 0: none has
  double seconds = 0;        // of those that succeeded, from submission to the end
  double queue_seconds = 0;
  double prefill_seconds = 0;
  double decode_seconds = 0;
};

// What is counted of one model, with its name as the label model_name. Any thread.
class ModelMetrics {
 public:
  virtual ~ModelMetrics() = default;

  // A generation has ended by itself, `seconds` after it was submitted.
  virtual void observe(const GenerationStats& stats, double seconds) = 0;
  virtual void observe_token_gap(double seconds) = 0;
  virtual void count_finish(FinishReason reason) = 0;  // once a choice
  virtual ModelTotals totals() const = 0;
};

// Of a model that is loaded.
struct NamedEngineStats {
  std::string model_name;
  EngineStats stats;
};

// Any thread may call anything.
class Metrics {
 public:
  explicit Metrics(const MetricsOptions& options = {});
  ~Metrics();

  // The same for the same name, as long as this lives: counts outlast that a model is unloaded.
  // `context_max` bounds the buckets of token counts.
  ModelMetrics& of_model(const std::string& name, int64_t context_max);

  // Zeroes for a model that nobody asked yet.
  ModelTotals totals(const std::string& name) const;

  void observe_http(const http::Exchange& exchange);

  // The whole page, for /metrics.
  std::string text(const std::vector<NamedEngineStats>& models) const;

 private:
  struct State;
  const MetricsOptions options_;
  const std::unique_ptr<State> state_;
};

}  // namespace brisk::api
