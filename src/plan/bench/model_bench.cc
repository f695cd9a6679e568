#include "plan/bench/model_bench.h"

#include <algorithm>
#include <charconv>
#include <memory>
#include <numeric>

#include "base/clock.h"
#include "base/rng.h"
#include "base/status.h"
#include "base/units.h"
#include "compute/kernels/cpu/dispatch.h"
#include "compute/quant/format.h"
#include "model/decoder.h"
#include "model/kv_memory.h"

namespace brisk {
namespace {

constexpr int kTokensMax = 1 << 20;
constexpr int kBatchMax = 1024;

double bytes_of_linear(const Linear& linear) {
  return static_cast<double>(linear.weight.data.size() + linear.weight.scales.size_bytes());
}

// Bytes of weights that a step of one token reads: the embedding counts only as the head.
double weight_bytes_per_step(const Model& model) {
  double bytes = bytes_of_linear(model.weights.head);
  for (const LayerWeights& layer : model.weights.layers) {
    for (const Linear* linear : {&layer.q, &layer.k, &layer.v, &layer.o, &layer.gate, &layer.up,
                                 &layer.down, &layer.router}) {
      bytes += bytes_of_linear(*linear);
    }
    for (size_t e = 0; e < layer.experts.size(); ++e) {
      if (static_cast<int>(e) >= model.spec.moe.experts_per_token) break;
      const ExpertWeights& expert = layer.experts[e];
      bytes +=
          bytes_of_linear(expert.gate) + bytes_of_linear(expert.up) + bytes_of_linear(expert.down);
    }
    for (const Linear* linear :
         {&layer.shared_expert.gate, &layer.shared_expert.up, &layer.shared_expert.down}) {
      bytes += bytes_of_linear(*linear);
    }
  }
  return bytes;
}

// Operations and bytes of a whole test, for the roofline.
struct Work {
  double flops = 0;
  double bytes = 0;
};

Work work_of(const Model& model, const BenchTest& test, const BenchOptions& options,
             KvElement element) {
  const ModelSpec& spec = model.spec;
  const double head = static_cast<double>(model.weights.head.weight.values());
  const double body = static_cast<double>(active_parameters(model)) - head;
  const double n = test.tokens, batch = test.batch, context = test.context;
  // Positions attended to, summed over the generated or prefilled tokens of one sequence.
  const double positions = n * context + n * (n + 1) / 2;
  const double attention =
      4.0 * static_cast<double>(spec.layers.size()) * spec.heads * spec.head_dim * positions;
  const double kv_per_token = static_cast<double>(kv_block_bytes(spec, element)) / kKvBlockTokens;
  const double weights = weight_bytes_per_step(model);
  if (test.kind == BenchTest::Kind::kPrefill) {
    const double steps = std::max(1.0, batch * n / options.tokens_per_step);
    return {.flops = batch * (2 * body * n + 2 * head + attention),
            .bytes = steps * weights + batch * n * kv_per_token};
  }
  return {.flops = batch * (2 * (body + head) * n + attention),
          .bytes = n * weights + batch * positions * kv_per_token};
}

// `batch` sequences that step together, each with its own blocks in order.
class Bench {
 public:
  Bench(const Model& model, const KernelTable& kernels, ThreadTeam& team,
        std::unique_ptr<KvMemory> kv, int64_t rows_max, int batch_max)
      : model_(model),
        kv_(std::move(kv)),
        rows_max_(rows_max),
        decoder_(model, kernels, team, *kv_, {.rows_max = rows_max, .logits_rows_max = batch_max}),
        blocks_(static_cast<size_t>(kv_->blocks())) {
    std::iota(blocks_.begin(), blocks_.end(), 0);
  }

  // Seconds of one run of the test, after its context has been made.
  double run(const BenchTest& test) {
    per_sequence_ =
        static_cast<size_t>(ceil_div<int64_t>(test.context + test.tokens, kKvBlockTokens));
    if (test.context > 0) prefill(test.batch, 0, test.context);
    const Instant start = clock_.now();
    if (test.kind == BenchTest::Kind::kPrefill) {
      prefill(test.batch, 0, test.tokens);
    } else {
      for (int i = 0; i < test.tokens; ++i) decode(test.batch, test.context + i);
    }
    return seconds_between(start, clock_.now());
  }

 private:
  // Fills steps up to their budget, sequence after sequence; logits for each prompt's last token.
  void prefill(int batch, int first, int count) {
    begin_step();
    for (int s = 0; s < batch; ++s) {
      for (int done = 0; done < count;) {
        const int64_t room = rows_max_ - static_cast<int64_t>(tokens_.size());
        const int take = static_cast<int>(std::min<int64_t>(room, count - done));
        add_slice(s, first + done, take);
        done += take;
        if (done == count) logits_rows_.push_back(static_cast<int32_t>(tokens_.size()) - 1);
        if (static_cast<int64_t>(tokens_.size()) == rows_max_) step();
      }
    }
    if (!tokens_.empty()) step();
  }

  void decode(int batch, int position) {
    for (int s = 0; s < batch; ++s) {
      add_slice(s, position, 1);
      logits_rows_.push_back(static_cast<int32_t>(tokens_.size()) - 1);
    }
    step();
  }

  void add_slice(int sequence, int first, int count) {
    const auto row = static_cast<int64_t>(tokens_.size());
    for (int i = 0; i < count; ++i) {
      tokens_.push_back(
          static_cast<int32_t>(rng_.next_below(static_cast<uint64_t>(model_.spec.vocab_size))));
    }
    slices_.push_back({.row_begin = row,
                       .row_end = row + count,
                       .first_position = first,
                       .blocks = std::span<const int32_t>(blocks_).subspan(
                           static_cast<size_t>(sequence) * per_sequence_, per_sequence_)});
  }

  void begin_step() {
    tokens_.clear();
    slices_.clear();
    logits_rows_.clear();
  }

  void step() {
    decoder_.forward({.tokens = tokens_, .slices = slices_, .logits_rows = logits_rows_});
    begin_step();
  }

  const Model& model_;
  const std::unique_ptr<KvMemory> kv_;
  const int64_t rows_max_;
  Decoder decoder_;
  const SteadyClock clock_;
  Rng rng_{42};
  std::vector<int32_t> blocks_;
  size_t per_sequence_ = 0;  // blocks
  std::vector<int32_t> tokens_;
  std::vector<int32_t> logits_rows_;
  std::vector<SliceView> slices_;
};

BenchResult summarise(const BenchTest& test, std::vector<double> seconds, const Work& work,
                      const MachineLimits& limits) {
  std::sort(seconds.begin(), seconds.end());
  const double tokens = static_cast<double>(test.tokens) * test.batch;
  const double memory_seconds = work.bytes / limits.read_bytes_per_s;
  const double arithmetic_seconds = work.flops / limits.flops_per_s;
  BenchResult result;
  result.name =
      fmt::format("{}{}", test.kind == BenchTest::Kind::kPrefill ? "pp" : "tg", test.tokens);
  if (test.context > 0) result.name += fmt::format("@{}", test.context);
  result.batch = test.batch;
  result.tokens_per_s = tokens / seconds[seconds.size() / 2];
  result.tokens_per_s_min = tokens / seconds.back();
  result.tokens_per_s_max = tokens / seconds.front();
  result.limit = tokens / std::max(memory_seconds, arithmetic_seconds);
  result.fraction_of_limit = result.tokens_per_s / result.limit;
  result.bound = memory_seconds >= arithmetic_seconds ? "memory" : "arithmetic";
  return result;
}

absl::StatusOr<int> parse_count(const std::string& text, const std::string& test) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 1 || value > kTokensMax) {
    return invalid_input("\"{}\" is not a test; tests look like pp512, tg128 or tg128@2048", test);
  }
  return value;
}

absl::Status check(const BenchTest& test, const Model& model) {
  if (test.batch < 1 || test.batch > kBatchMax) {
    return invalid_input("the batch must be 1 to {}, not {}", kBatchMax, test.batch);
  }
  if (int64_t{test.context} + test.tokens > model.spec.context_length) {
    return invalid_input("a test of {} tokens does not fit the model's context of {}",
                         test.context + test.tokens, model.spec.context_length);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<BenchTest> parse_bench_test(const std::string& text) {
  BenchTest test;
  if (text.starts_with("tg")) {
    test.kind = BenchTest::Kind::kDecode;
  } else if (!text.starts_with("pp")) {
    return invalid_input("\"{}\" is not a test; tests look like pp512, tg128 or tg128@2048", text);
  }
  const size_t at = text.find('@');
  BRISK_ASSIGN_OR_RETURN(test.tokens, parse_count(text.substr(2, at - 2), text));
  if (at == std::string::npos) return test;
  if (test.kind == BenchTest::Kind::kPrefill) {
    return invalid_input("\"{}\": only tg tests take a context", text);
  }
  BRISK_ASSIGN_OR_RETURN(test.context, parse_count(text.substr(at + 1), text));
  return test;
}

absl::StatusOr<BenchReport> bench_model(const Model& model, const std::vector<BenchTest>& tests,
                                        const BenchOptions& options,
                                        const std::function<void(const std::string&)>& progress) {
  int64_t blocks = 1;
  int batch_max = 1;
  for (const BenchTest& test : tests) {
    BRISK_RETURN_IF_ERROR(check(test, model));
    batch_max = std::max(batch_max, test.batch);
    blocks = std::max(blocks,
                      test.batch * ceil_div<int64_t>(test.context + test.tokens, kKvBlockTokens));
  }
  BRISK_ASSIGN_OR_RETURN(const KernelTable* kernels, kernels_from_environment());
  ThreadTeam team(options.threads > 0 ? options.threads : usable_threads());
  BenchReport report;
  report.threads = team.size();
  report.isa = kernels->name;
  report.weight_bytes = weight_bytes_per_step(model);
  progress("the machine's limits");
  BRISK_ASSIGN_OR_RETURN(report.limits, measure_limits(*kernels, team));
  const KvElement element = options.kv_f32 ? KvElement::kF32 : KvElement::kBF16;
  BRISK_ASSIGN_OR_RETURN(std::unique_ptr<KvMemory> kv,
                         KvMemory::create(model.spec, element, blocks));
  const int64_t rows_max = std::max(options.tokens_per_step, batch_max);
  Bench bench(model, *kernels, team, std::move(kv), rows_max, batch_max);
  for (const BenchTest& test : tests) {
    const Work work = work_of(model, test, options, element);
    BenchTest warm_up = test;
    warm_up.tokens = std::min(test.tokens, 16);
    warm_up.context = std::min(test.context, 16);
    std::vector<double> seconds;
    progress(summarise(test, {1}, work, report.limits).name);
    bench.run(warm_up);
    for (int i = 0; i < options.repetitions; ++i) seconds.push_back(bench.run(test));
    report.results.push_back(summarise(test, std::move(seconds), work, report.limits));
  }
  return report;
}

}  // namespace brisk
