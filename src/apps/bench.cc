// brisk bench: how fast a model runs here, and how far that is from what the machine allows.
#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "apps/command.h"
#include "apps/engine_flags.h"
#include "base/json.h"
#include "base/status.h"
#include "base/units.h"
#include "plan/bench/model_bench.h"
#include "plan/bench/work.h"

namespace brisk {
namespace {

struct Options {
  std::string model;
  std::string tokenizer;
  std::vector<std::string> tests = {"pp512", "tg128"};
  std::vector<int> batches = {1};
  Activations activations = Activations::kInt8;
  BenchOptions bench;
  bool json = false;
};

Json to_json(const Model& model, const BenchReport& report) {
  const SparseBytes sparse = sparse_bytes(model);
  Json list = Json::array();
  for (const BenchResult& result : report.results) {
    list.push_back({{"test", result.name},
                    {"batch", result.batch},
                    {"tokens_per_s", result.tokens_per_s},
                    {"tokens_per_s_min", result.tokens_per_s_min},
                    {"tokens_per_s_max", result.tokens_per_s_max},
                    {"limit", result.limit},
                    {"fraction_of_limit", result.fraction_of_limit},
                    {"bound", result.bound},
                    {"read_bytes_per_s", result.limits.read_bytes_per_s},
                    {"int8_ops_per_s", result.limits.int8_ops_per_s},
                    {"int4_ops_per_s", result.limits.int4_ops_per_s},
                    {"bf16_tile_ops_per_s", result.limits.bf16_tile_ops_per_s},
                    {"flops_per_s", result.limits.flops_per_s},
                    {"weight_bytes", report.weight_bytes},
                    {"sparse_bytes", sparse.bytes},
                    {"sparse_dense_bytes", sparse.dense_bytes},
                    {"threads", report.threads},
                    {"isa", report.isa}});
  }
  return list;
}

// What the limit is made of, as it was around the test.
std::string bound_text(const BenchResult& result) {
  const MachineLimits& limits = result.limits;
  if (result.bound == std::string_view("memory")) {
    return fmt::format("memory, {}/s", human_bytes(static_cast<uint64_t>(limits.read_bytes_per_s)));
  }
  std::string text =
      fmt::format("arithmetic, int8 {}OP/s, f32 {}FLOP/s", human_count(limits.int8_ops_per_s),
                  human_count(limits.flops_per_s));
  if (limits.int4_ops_per_s != limits.int8_ops_per_s) {
    text += fmt::format(", int4 {}OP/s", human_count(limits.int4_ops_per_s));
  }
  if (limits.bf16_tile_ops_per_s > 0) {
    text += fmt::format(", bf16 tiles {}FLOP/s", human_count(limits.bf16_tile_ops_per_s));
  }
  return text;
}

void print_table(const Model& model, const BenchReport& report) {
  fmt::print("{}: {} read per token, {} threads, {}\n", model.name,
             human_bytes(static_cast<uint64_t>(report.weight_bytes)), report.threads, report.isa);
  if (const SparseBytes sparse = sparse_bytes(model); sparse.bytes > 0) {
    fmt::print("sparse weights: {} instead of {}\n",
               human_bytes(static_cast<uint64_t>(sparse.bytes)),
               human_bytes(static_cast<uint64_t>(sparse.dense_bytes)));
  }
  fmt::print("\n{:<14} {:>5} {:>12} {:>22} {:>12} {:>9}\n", "test", "batch", "tokens/s",
             "min - max", "limit", "fraction");
  for (const BenchResult& result : report.results) {
    fmt::print("{:<14} {:>5} {:>12.1f} {:>22} {:>12.1f} {:>8.1f}%  of {}\n", result.name,
               result.batch, result.tokens_per_s,
               fmt::format("{:.1f} - {:.1f}", result.tokens_per_s_min, result.tokens_per_s_max),
               result.limit, 100 * result.fraction_of_limit, bound_text(result));
  }
}

absl::Status bench(const Options& options) {
  std::vector<BenchTest> tests;
  for (const std::string& name : options.tests) {
    BRISK_ASSIGN_OR_RETURN(BenchTest test, parse_bench_test(name));
    for (const int batch : options.batches) {
      test.batch = batch;
      tests.push_back(test);
    }
  }
  BRISK_ASSIGN_OR_RETURN(const std::shared_ptr<const Model> model,
                         load_model(options.model, {.tokenizer_path = options.tokenizer,
                                                    .activations = options.activations,
                                                    .threads = options.bench.threads}));
  const bool show_progress = isatty(STDERR_FILENO) != 0;
  BRISK_ASSIGN_OR_RETURN(const BenchReport report,
                         bench_model(*model, tests, options.bench, [&](const std::string& what) {
                           if (show_progress) fmt::print(stderr, "\r\033[Kmeasuring {}", what);
                         }));
  if (show_progress) fmt::print(stderr, "\r\033[K");
  if (options.json) {
    fmt::print("{}\n", to_text(to_json(*model, report)));
  } else {
    print_table(*model, report);
  }
  return absl::OkStatus();
}

}  // namespace

CommandAction add_bench(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* serve =
      app.add_subcommand("serve", "batching policies behind a server, on the same requests");
  const CommandAction bench_serve = add_bench_serve(*serve);
  CLI::App* sparse = app.add_subcommand(
      "sparse", "from how many zeros on sparse weights are faster, format by format");
  const CommandAction bench_sparse = add_bench_sparse(*sparse);
  app.add_option("model", options->model, "A .gguf, a Hugging Face directory or a llama2.c .bin");
  app.add_option("--tokenizer", options->tokenizer, "Tokenizer file, for models without one");
  app.add_option("--test", options->tests,
                 "Tests: pp512 (a prompt of 512), tg128 (generate 128), tg128@2048 (after 2,048)")
      ->delimiter(',')
      ->capture_default_str();
  app.add_option("--batch", options->batches, "Sequences that step together, e.g. 1,8,32")
      ->delimiter(',')
      ->capture_default_str();
  app.add_option("--threads", options->bench.threads, "Threads (0: all)")->capture_default_str();
  app.add_option("--repetitions", options->bench.repetitions,
                 "Runs of each test; the median counts")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  app.add_option("--tokens-per-step", options->bench.tokens_per_step, "Rows of a prefill step")
      ->check(CLI::Range(1, 1 << 16))
      ->capture_default_str();
  add_activations_option(app, &options->activations);
  add_kv_dtype_option(app, &options->bench.kv_dtype);
  app.add_flag("--json", options->json, "Print a JSON list");
  return [options, serve, bench_serve, sparse, bench_sparse]() -> absl::Status {
    if (serve->parsed()) return bench_serve();
    if (sparse->parsed()) return bench_sparse();
    if (options->model.empty()) return invalid_input("name a model: brisk bench MODEL");
    return bench(*options);
  };
}

}  // namespace brisk
