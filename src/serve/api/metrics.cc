#include "serve/api/metrics.h"

#include <absl/synchronization/mutex.h>
#include <absl/time/clock.h>
#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <limits>
#include <map>
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

// Of one model, in a registry of its own.
class Families final : public ModelMetrics {
 public:
  Families(const std::string& model_name, int64_t context_max)
      : labels_{{"model_name", model_name}}, tokens_(token_buckets(context_max)) {
    for (const FinishReason reason : {FinishReason::kStop, FinishReason::kLength,
                                      FinishReason::kCancelled, FinishReason::kError}) {
      finished_.Add({{"finished_reason", std::string(finish_label(reason))}});
    }
  }

  void observe(const GenerationStats& stats, double seconds) override {
    add_to_totals(stats, seconds);
    queue_.Observe(stats.queue_seconds);
    whole_.Observe(seconds);
    prompt_tokens_.Observe(stats.prompt_tokens);
    generation_tokens_.Observe(stats.completion_tokens);
    if (stats.completion_tokens == 0) return;
    first_token_.Observe(stats.first_token_seconds);
    prefill_.Observe(stats.prefill_seconds);
    decode_.Observe(stats.decode_seconds);
    // Choices generate side by side: what one of them has on average.
    const double tokens = static_cast<double>(stats.completion_tokens) / stats.choices;
    if (tokens <= 1) return;
    per_token_.Observe(stats.decode_seconds / (tokens - 1));
  }

  void observe_token_gap(double seconds) override { token_gap_.Observe(seconds); }

  void count_finish(FinishReason reason) override {
    if (reason == FinishReason::kError) {
      absl::MutexLock lock(&mutex_);
      ++totals_.failed;
    }
    finished_.Add({{"finished_reason", std::string(finish_label(reason))}}).Increment();
  }

  ModelTotals totals() const override {
    absl::MutexLock lock(&mutex_);
    return totals_;
  }

  std::vector<prometheus::MetricFamily> collect() const { return registry_.Collect(); }

 private:
  void add_to_totals(const GenerationStats& stats, double seconds) {
    absl::MutexLock lock(&mutex_);
    ++totals_.succeeded;
    totals_.last_unix_ms = absl::ToUnixMillis(absl::Now());
    totals_.seconds += seconds;
    totals_.queue_seconds += stats.queue_seconds;
    totals_.prefill_seconds += stats.prefill_seconds;
    totals_.decode_seconds += stats.decode_seconds;
  }

  prometheus::Histogram& histogram(const char* name, const char* help, const Buckets& buckets) {
    return prometheus::BuildHistogram()
        .Name(name)
        .Help(help)
        .Labels(labels_)
        .Register(registry_)
        .Add({}, buckets);
  }

  const prometheus::Labels labels_;
  const Buckets tokens_;
  prometheus::Registry registry_;
  prometheus::Histogram& first_token_ = histogram("brisk:time_to_first_token_seconds",
                                                  "Submission to first token.", kFirstTokenSeconds);
  prometheus::Histogram& token_gap_ = histogram("brisk:inter_token_latency_seconds",
                                                "Between two tokens of a choice.", kTokenSeconds);
  prometheus::Histogram& per_token_ =
      histogram("brisk:request_time_per_output_token_seconds",
                "First token to the end, by tokens after the first.", kTokenSeconds);
  prometheus::Histogram& whole_ =
      histogram("brisk:e2e_request_latency_seconds", "Submission to the end.", kRequestSeconds);
  prometheus::Histogram& queue_ = histogram("brisk:request_queue_time_seconds",
                                            "Submission to first scheduled.", kRequestSeconds);
  prometheus::Histogram& prefill_ = histogram("brisk:request_prefill_time_seconds",
                                              "First scheduled to first token.", kRequestSeconds);
  prometheus::Histogram& decode_ =
      histogram("brisk:request_decode_time_seconds", "First token to the end.", kRequestSeconds);
  prometheus::Histogram& prompt_tokens_ =
      histogram("brisk:request_prompt_tokens", "Prompt tokens of a request.", tokens_);
  prometheus::Histogram& generation_tokens_ =
      histogram("brisk:request_generation_tokens", "Tokens generated for a request.", tokens_);
  prometheus::Family<prometheus::Counter>& finished_ = prometheus::BuildCounter()
                                                           .Name("brisk:request_success_total")
                                                           .Help("Choices that ended, by reason.")
                                                           .Labels(labels_)
                                                           .Register(registry_);

  mutable absl::Mutex mutex_;
  ModelTotals totals_ ABSL_GUARDED_BY(mutex_);
};

// Families by name: those of all models stand together, as the format asks for.
class Page {
 public:
  void add(std::vector<prometheus::MetricFamily> families) {
    for (prometheus::MetricFamily& family : families) add(std::move(family));
  }

  void add(prometheus::MetricFamily family) {
    const auto same = std::ranges::find(families_, family.name, &prometheus::MetricFamily::name);
    if (same == families_.end()) return families_.push_back(std::move(family));
    std::ranges::move(family.metric, std::back_inserter(same->metric));
  }

  void add_stats(const NamedEngineStats& model);
  void add_aliases();

  std::string text() const {
    std::ostringstream out;
    prometheus::TextSerializer().Serialize(out, families_);
    return out.str();
  }

 private:
  std::vector<prometheus::MetricFamily> families_;
};

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

void Page::add_stats(const NamedEngineStats& model) {
  const EngineStats& stats = model.stats;
  const auto single = [&](prometheus::MetricType type, const char* name, const char* help,
                          double value) {
    prometheus::ClientMetric metric;
    metric.label.push_back({"model_name", model.model_name});
    metric.counter.value = value;
    metric.gauge.value = value;
    add({name, help, type, {std::move(metric)}});
  };
  const auto count = [&](const char* name, const char* help, int64_t value) {
    single(prometheus::MetricType::Counter, name, help, static_cast<double>(value));
  };
  const auto gauge = [&](const char* name, const char* help, double value) {
    single(prometheus::MetricType::Gauge, name, help, value);
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
  add(step_tokens(stats, model.model_name));
}

void Page::add_aliases() {
  constexpr std::string_view kPrefix = "brisk:";
  const size_t own = families_.size();
  for (size_t i = 0; i < own; ++i) {
    if (!families_[i].name.starts_with(kPrefix)) continue;
    prometheus::MetricFamily alias = families_[i];
    alias.name.replace(0, kPrefix.size(), "vllm:");
    families_.push_back(std::move(alias));
  }
}

}  // namespace

struct Metrics::State {
  prometheus::Registry registry;
  prometheus::Family<prometheus::Counter>& http_requests = prometheus::BuildCounter()
                                                               .Name("http_requests_total")
                                                               .Help("HTTP requests answered.")
                                                               .Register(registry);
  prometheus::Family<prometheus::Histogram>& http_seconds =
      prometheus::BuildHistogram()
          .Name("http_request_duration_seconds")
          .Help("End of a request's head to the end of its answer.")
          .Register(registry);

  absl::Mutex mutex;
  std::map<std::string, std::unique_ptr<Families>> models ABSL_GUARDED_BY(mutex);
};

Metrics::Metrics(const MetricsOptions& options)
    : options_(options), state_(std::make_unique<State>()) {}

Metrics::~Metrics() = default;

ModelMetrics& Metrics::of_model(const std::string& name, int64_t context_max) {
  absl::MutexLock lock(&state_->mutex);
  std::unique_ptr<Families>& model = state_->models[name];
  if (model == nullptr) model = std::make_unique<Families>(name, context_max);
  return *model;
}

ModelTotals Metrics::totals(const std::string& name) const {
  absl::MutexLock lock(&state_->mutex);
  const auto model = state_->models.find(name);
  return model == state_->models.end() ? ModelTotals() : model->second->totals();
}

void Metrics::observe_http(const http::Exchange& exchange) {
  const std::string handler = exchange.route.empty() ? "none" : std::string(exchange.route);
  const std::string method = method_label(exchange.method);
  const std::string status = std::to_string(exchange.status);
  state_->http_requests.Add({{"handler", handler}, {"method", method}, {"status", status}})
      .Increment();
  state_->http_seconds.Add({{"handler", handler}, {"method", method}}, kHttpSeconds)
      .Observe(exchange.seconds);
}

std::string Metrics::text(const std::vector<NamedEngineStats>& models) const {
  Page page;
  {
    absl::MutexLock lock(&state_->mutex);
    for (const auto& [name, model] : state_->models) page.add(model->collect());
  }
  page.add(state_->registry.Collect());
  for (const NamedEngineStats& model : models) page.add_stats(model);
  if (options_.vllm_alias) page.add_aliases();
  return page.text();
}

}  // namespace brisk::api
