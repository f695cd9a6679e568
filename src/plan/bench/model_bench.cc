#include "plan/bench/model_bench.h"

#include <algorithm>
#include <charconv>
#include <memory>

#include "base/status.h"
#include "base/units.h"
#include "model/kv_memory.h"
#include "plan/bench/step_driver.h"
#include "plan/bench/work.h"

namespace brisk {
namespace {

constexpr int kTokensMax = 1 << 20;
constexpr int kBatchMax = 1024;

BenchResult summarise(const BenchTest& test, std::vector<double> seconds, const Work& work,
                      const MachineLimits& limits) {
  std::sort(seconds.begin(), seconds.end());
  const double tokens = static_cast<double>(test.tokens) * test.batch;
  BenchResult result;
  result.name = name_of(test);
  result.batch = test.batch;
  result.limits = limits;
  result.tokens_per_s = tokens / seconds[seconds.size() / 2];
  result.tokens_per_s_min = tokens / seconds.back();
  result.tokens_per_s_max = tokens / seconds.front();
  result.limit = tokens / work.seconds(limits);
  result.fraction_of_limit = result.tokens_per_s / result.limit;
  result.bound =
      work.memory_seconds(limits) >= work.arithmetic_seconds(limits) ? "memory" : "arithmetic";
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

}  // namespace

std::string name_of(const BenchTest& test) {
  const char* kind = test.kind == BenchTest::Kind::kPrefill ? "pp" : "tg";
  return test.context > 0 ? fmt::format("{}{}@{}", kind, test.tokens, test.context)
                          : fmt::format("{}{}", kind, test.tokens);
}

absl::Status check_bench_test(const BenchTest& test, const Model& model) {
  if (test.batch < 1 || test.batch > kBatchMax) {
    return invalid_input("the batch must be 1 to {}, not {}", kBatchMax, test.batch);
  }
  if (int64_t{test.context} + test.tokens > model.spec.context_length) {
    return invalid_input("a test of {} tokens does not fit the model's context of {}",
                         test.context + test.tokens, model.spec.context_length);
  }
  return absl::OkStatus();
}

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
    BRISK_RETURN_IF_ERROR(check_bench_test(test, model));
    batch_max = std::max(batch_max, test.batch);
    blocks = std::max(blocks,
                      test.batch * ceil_div<int64_t>(test.context + test.tokens, kKvBlockTokens));
  }
  ThreadTeam team(options.threads > 0 ? options.threads : usable_threads());
  BenchReport report;
  report.threads = team.size();
  report.isa = model.kernels->name;
  report.weight_bytes = weight_bytes_per_step(model);
  BRISK_ASSIGN_OR_RETURN(LimitsMeter meter, LimitsMeter::create(*model.kernels, team));
  const KvElement element = kv_element_for(model, options.kv_dtype);
  BRISK_ASSIGN_OR_RETURN(
      const std::unique_ptr<StepDriver> driver,
      StepDriver::create(model, team,
                         {.rows_max = std::max(options.tokens_per_step, batch_max),
                          .batch_max = batch_max,
                          .element = element,
                          .blocks = blocks}));
  for (const BenchTest& test : tests) {
    const Work work = total(work_of(model, test, options, element));
    BenchTest warm_up = test;
    warm_up.tokens = std::min(test.tokens, 16);
    warm_up.context = std::min(test.context, 16);
    std::vector<double> seconds;
    std::vector<MachineLimits> limits;
    progress(name_of(test));
    driver->prepare(warm_up);
    driver->run(warm_up);
    driver->prepare(test);
    limits.push_back(meter.measure());
    for (int i = 0; i < options.repetitions; ++i) {
      seconds.push_back(driver->run(test));
      limits.push_back(meter.measure(1));
    }
    report.results.push_back(summarise(test, std::move(seconds), work, median_of(limits)));
  }
  return report;
}

}  // namespace brisk
