// What the server counts, in Prometheus' text format under vLLM's names.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "engine/engine.h"
#include "engine/request.h"
#include "serve/http/server.h"

namespace brisk::api {

struct MetricsOptions {
  std::string model_name;   // the label model_name
  int64_t context_max = 0;  // bounds the buckets of token counts
  bool vllm_alias = false;  // every brisk: metric a second time as vllm:
};

// Any thread may call anything.
class Metrics {
 public:
  explicit Metrics(const MetricsOptions& options);
  ~Metrics();

  // A generation has ended by itself, `seconds` after it was submitted.
  void observe(const GenerationStats& stats, double seconds);
  void observe_token_gap(double seconds);
  void count_finish(FinishReason reason);  // once a choice
  void observe_http(const http::Exchange& exchange);

  // The whole page, for /metrics.
  std::string text(const EngineStats& stats) const;

 private:
  struct Families;
  const MetricsOptions options_;
  const std::unique_ptr<Families> families_;
};

}  // namespace brisk::api
