#include "serve/api/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <array>
#include <limits>
#include <sstream>
#include <string_view>
#include <vector>

namespace brisk::api {
namespace {

using Buckets = prometheus::Histogram::BucketBoundaries;

// vLLM's buckets, so that quantiles in existing dashboards mean the same, and some below for small
// models.
const Buckets kFirstTokenSeconds = {0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1,
                                    0.25,  0.5,   0.75, 1,    2.5,  5,    7.5,  10,
                                    20,    40,    80,   160,  640,  2560};
const Buckets kTokenSeconds = {0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.075,
                               0.1,    0.15,  0.2,   0.3,   0.4,  0.5,   0.75, 1,
                               2.5,    5,     7.5,   10,    20,   40,    80};
const Buckets kRequestSeconds = {0.3, 0.5, 0.8, 1,  1.5, 2,   2.5, 5,   10,   15,  20,
                                 30,  40,  50,  60, 120, 240, 480, 960, 1920, 7680};
const Buckets kHttpSeconds = {0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60, 300};

// 1, 2, 5, 10, 20, 50, ... up to `max`.
Buckets token_buckets(int64_t max) {
  Buckets buckets;
  for (int64_t decade = 1; decade <= max; decade *= 10) {
    for (const int64_t step : {1, 2, 5}) {
      if (decade * step <= max) buckets.push_back(static_cast<double>(decade * step));
    }
  }
  return buckets;
}

std::string_view finish_label(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStop:
      return "stop";
    case FinishReason::kLength:
      return "length";
    case FinishReason::kCancelled:
      return "abort";
    case FinishReason::kError:
      return "error";
  }
  return "error";
}

// Labels must not grow with what clients invent.
std::string method_label(std::string_view method) {
  constexpr std::array<std::string_view, 6> kMethods = {"GET", "HEAD",   "POST",
                                                        "PUT", "DELETE", "OPTIONS"};
  const bool known = std::find(kMethods.begin(), kMethods.end(), method) != kMethods.end();
  return known ? std::string(method) : "other";
}

prometheus::MetricFamily single(prometheus::MetricType type, std::string name, std::string help,
                                const std::string& model_name, double value) {
  prometheus::ClientMetric metric;
  metric.label.push_back({"model_name", model_name});
  metric.counter.value = value;
  metric.gauge.value = value;
  return {std::move(name), std::move(help), type, {std::move(metric)}};
}

prometheus::MetricFamily step_tokens(const EngineStats& stats, const std::string& model_name) {
  prometheus::ClientMetric metric;
  metric.label.push_back({"model_name", model_name});
  uint64_t steps = 0;
  for (size_t i = 0; i < stats.steps_by_tokens.size(); ++i) {
    steps += static_cast<uint64_t>(stats.steps_by_tokens[i]);
    const bool is_last = i == kStepTokenBuckets.size();
    metric.histogram.bucket.push_back(
        {.cumulative_count = steps,
         .upper_bound = is_last ? std::numeric_limits<double>::infinity() : kStepTokenBuckets[i]});
  }
  metric.histogram.sample_count = steps;
  metric.histogram.sample_sum = static_cast<double>(stats.step_tokens);
  return {"brisk:iteration_tokens_total",
          "Tokens computed in a step of the engine.",
          prometheus::MetricType::Histogram,
          {std::move(metric)}};
}

}  // namespace

struct Metrics::Families {
  explicit Families(const MetricsOptions& options)
      : labels{{"model_name", options.model_name}}, tokens(token_buckets(options.context_max)) {}

  prometheus::Histogram& histogram(const char* name, const char* help, const Buckets& buckets) {
    return prometheus::BuildHistogram().Name(name).Help(help).Labels(labels).Register(registry).Add(
        {}, buckets);
  }

  const prometheus::Labels labels;
  const Buckets tokens;
  prometheus::Registry registry;
  prometheus::Histogram& first_token = histogram("brisk:time_to_first_token_seconds",
                                                 "Submission to first token.", kFirstTokenSeconds);
  prometheus::Histogram& token_gap = histogram("brisk:inter_token_latency_seconds",
                                               "Between two tokens of a choice.", kTokenSeconds);
  prometheus::Histogram& per_token =
      histogram("brisk:request_time_per_output_token_seconds",
                "First token to the end, by tokens after the first.", kTokenSeconds);
  prometheus::Histogram& whole =
      histogram("brisk:e2e_request_latency_seconds", "Submission to the end.", kRequestSeconds);
  prometheus::Histogram& queue = histogram("brisk:request_queue_time_seconds",
                                           "Submission to first scheduled.", kRequestSeconds);
  prometheus::Histogram& prefill = histogram("brisk:request_prefill_time_seconds",
                                             "First scheduled to first token.", kRequestSeconds);
  prometheus::Histogram& decode =
      histogram("brisk:request_decode_time_seconds", "First token to the end.", kRequestSeconds);
  prometheus::Histogram& prompt_tokens =
      histogram("brisk:request_prompt_tokens", "Prompt tokens of a request.", tokens);
  prometheus::Histogram& generation_tokens =
      histogram("brisk:request_generation_tokens", "Tokens generated for a request.", tokens);
  prometheus::Family<prometheus::Counter>& finished = prometheus::BuildCounter()
                                                          .Name("brisk:request_success_total")
                                                          .Help("Choices that ended, by reason.")
                                                          .Labels(labels)
                                                          .Register(registry);
  prometheus::Family<prometheus::Counter>& http_requests = prometheus::BuildCounter()
                                                               .Name("http_requests_total")
                                                               .Help("HTTP requests answered.")
                                                               .Register(registry);
  prometheus::Family<prometheus::Histogram>& http_seconds =
      prometheus::BuildHistogram()
          .Name("http_request_duration_seconds")
          .Help("End of a request's head to the end of its answer.")
          .Register(registry);
};

Metrics::Metrics(const MetricsOptions& options)
    : options_(options), families_(std::make_unique<Families>(options)) {
  for (const FinishReason reason : {FinishReason::kStop, FinishReason::kLength,
                                    FinishReason::kCancelled, FinishReason::kError}) {
    families_->finished.Add({{"finished_reason", std::string(finish_label(reason))}});
  }
}

Metrics::~Metrics() = default;

void Metrics::observe(const GenerationStats& stats, double seconds) {
  families_->queue.Observe(stats.queue_seconds);
  families_->whole.Observe(seconds);
  families_->prompt_tokens.Observe(stats.prompt_tokens);
  families_->generation_tokens.Observe(stats.completion_tokens);
  if (stats.completion_tokens == 0) return;
  families_->first_token.Observe(stats.first_token_seconds);
  families_->prefill.Observe(stats.prefill_seconds);
  families_->decode.Observe(stats.decode_seconds);
  // Choices generate side by side: what one of them has on average.
  const double tokens = static_cast<double>(stats.completion_tokens) / stats.choices;
  if (tokens <= 1) return;
  families_->per_token.Observe(stats.decode_seconds / (tokens - 1));
}

void Metrics::observe_token_gap(double seconds) { families_->token_gap.Observe(seconds); }

void Metrics::count_finish(FinishReason reason) {
  families_->finished.Add({{"finished_reason", std::string(finish_label(reason))}}).Increment();
}

void Metrics::observe_http(const http::Exchange& exchange) {
  const std::string handler = exchange.route.empty() ? "none" : std::string(exchange.route);
  const std::string method = method_label(exchange.method);
  const std::string status = std::to_string(exchange.status);
  families_->http_requests.Add({{"handler", handler}, {"method", method}, {"status", status}})
      .Increment();
  families_->http_seconds.Add({{"handler", handler}, {"method", method}}, kHttpSeconds)
      .Observe(exchange.seconds);
}

std::string Metrics::text(const EngineStats& stats) const {
  std::vector<prometheus::MetricFamily> families = families_->registry.Collect();
  const auto add = [&](prometheus::MetricType type, const char* name, const char* help,
                       double value) {
    families.push_back(single(type, name, help, options_.model_name, value));
  };
  const auto count = [&](const char* name, const char* help, int64_t value) {
    add(prometheus::MetricType::Counter, name, help, static_cast<double>(value));
  };
  const auto gauge = [&](const char* name, const char* help, double value) {
    add(prometheus::MetricType::Gauge, name, help, value);
  };
  const double blocks = static_cast<double>(std::max<int64_t>(stats.kv_blocks, 1));
  gauge("brisk:num_requests_running", "Sequences in the running batch.", stats.running);
  gauge("brisk:num_requests_waiting", "Requests waiting to be scheduled.", stats.waiting);
  gauge("brisk:num_requests_paused", "Sequences whose readers do not read.", stats.paused);
  gauge("brisk:kv_cache_usage_perc", "Share of KV blocks in use by live sequences, 0 to 1.",
        static_cast<double>(stats.kv_blocks_used) / blocks);
  gauge("brisk:kv_cache_waste_perc", "Share of allocated KV slots that hold nothing, 0 to 1.",
        stats.kv_waste);
  count("brisk:prompt_tokens_total", "Prompt tokens processed.", stats.prompt_tokens);
  count("brisk:generation_tokens_total", "Tokens generated.", stats.generation_tokens);
  count("brisk:num_preemptions_total", "Sequences preempted.", stats.preemptions);
  count("brisk:prefix_cache_queries_total", "Prompt tokens looked up in the prefix cache.",
        stats.prefix_query_tokens);
  count("brisk:prefix_cache_hits_total", "Prompt tokens found in the prefix cache.",
        stats.prefix_hit_tokens);
  count("brisk:prefix_restored_tokens_total", "Prompt tokens whose KV came from the disk.",
        stats.restored_tokens);
  families.push_back(step_tokens(stats, options_.model_name));
  if (options_.vllm_alias) {
    constexpr std::string_view kPrefix = "brisk:";
    const size_t own = families.size();
    for (size_t i = 0; i < own; ++i) {
      if (!families[i].name.starts_with(kPrefix)) continue;
      prometheus::MetricFamily alias = families[i];
      alias.name.replace(0, kPrefix.size(), "vllm:");
      families.push_back(std::move(alias));
    }
  }
  std::ostringstream out;
  prometheus::TextSerializer().Serialize(out, families);
  return out.str();
}

}  // namespace brisk::api
