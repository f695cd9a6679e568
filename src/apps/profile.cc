// brisk profile: the machine's limits, and where a model's time goes against them.
#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "apps/command.h"
#include "apps/engine_flags.h"
#include "base/json.h"
#include "base/status.h"
#include "base/units.h"
#include "compute/kernels/cpu/dispatch.h"
#include "compute/sys/mapped_file.h"
#include "plan/bench/profile.h"

namespace brisk {
namespace {

struct Options {
  std::string model;
  std::string tokenizer;
  std::string test = "tg32";
  std::string trace;
  int batch = 1;
  BenchOptions bench;
  Activations activations = Activations::kInt8;
  bool limits = false;
  bool json = false;
};

Json to_json(const MachineLimits& limits) {
  return {{"read_bytes_per_s", limits.read_bytes_per_s},
          {"int8_ops_per_s", limits.int8_ops_per_s},
          {"int4_ops_per_s", limits.int4_ops_per_s},
          {"int8_tile_ops_per_s", limits.int8_tile_ops_per_s},
          {"bf16_tile_ops_per_s", limits.bf16_tile_ops_per_s},
          {"flops_per_s", limits.flops_per_s}};
}

std::string tile_peak(double per_s, const char* unit) {
  return per_s > 0 ? human_count(per_s) + unit : "-";
}

// One line a thread count and instruction set.
absl::Status show_limits(const Options& options) {
  Json list = Json::array();
  if (!options.json) {
    fmt::print("{:<8} {:>7} {:>14} {:>16} {:>16} {:>16} {:>16} {:>16}\n", "isa", "threads", "read",
               "int8", "int4", "f32", "int8 tiles", "bf16 tiles");
  }
  const int most = options.bench.threads > 0 ? options.bench.threads : usable_threads();
  std::vector<int> counts = {1};
  if (most > 1) counts.push_back(most);
  for (const KernelTable* kernels : usable_kernels()) {
    if (kernels->isa == Isa::kScalar) continue;
    for (const int threads : counts) {
      ThreadTeam team(threads);
      BRISK_ASSIGN_OR_RETURN(LimitsMeter meter, LimitsMeter::create(*kernels, team));
      const MachineLimits limits = meter.measure();
      if (options.json) {
        Json entry = to_json(limits);
        entry["isa"] = kernels->name;
        entry["threads"] = threads;
        list.push_back(std::move(entry));
        continue;
      }
      fmt::print(
          "{:<8} {:>7} {:>12}/s {:>14}/s {:>14}/s {:>14}/s {:>16} {:>16}\n", kernels->name, threads,
          human_bytes(static_cast<uint64_t>(limits.read_bytes_per_s)),
          human_count(limits.int8_ops_per_s) + "OP", human_count(limits.int4_ops_per_s) + "OP",
          human_count(limits.flops_per_s) + "FLOP", tile_peak(limits.int8_tile_ops_per_s, "OP/s"),
          tile_peak(limits.bf16_tile_ops_per_s, "FLOP/s"));
    }
  }
  if (options.json) fmt::print("{}\n", to_text(list));
  return absl::OkStatus();
}

std::string of_limit(const ProfileRow& row, const MachineLimits& limits) {
  if (row.work.seconds(limits) == 0) return "";
  const bool memory = row.work.memory_seconds(limits) >= row.work.arithmetic_seconds(limits);
  return fmt::format("{:.0f}% of {}", 100 * row.fraction_of_limit,
                     memory ? "memory" : "arithmetic");
}

void print_report(const Model& model, const ProfileReport& report) {
  fmt::print("{}: {} with batch {} in {}, {} threads, {}\n", model.name, report.test, report.batch,
             human_seconds(report.seconds), report.threads, report.isa);
  if (const SparseBytes sparse = sparse_bytes(model); sparse.bytes > 0) {
    fmt::print("sparse weights: {} instead of {}\n",
               human_bytes(static_cast<uint64_t>(sparse.bytes)),
               human_bytes(static_cast<uint64_t>(sparse.dense_bytes)));
  }
  fmt::print(
      "measured limits: read {}/s, int8 {}OP/s, int4 {}OP/s, f32 {}FLOP/s, bf16 tiles {}\n\n",
      human_bytes(static_cast<uint64_t>(report.limits.read_bytes_per_s)),
      human_count(report.limits.int8_ops_per_s), human_count(report.limits.int4_ops_per_s),
      human_count(report.limits.flops_per_s),
      tile_peak(report.limits.bf16_tile_ops_per_s, "FLOP/s"));
  fmt::print("{:<18} {:>8} {:>10} {:>7} {:>12} {:>12} {:>18}\n", "operation", "calls", "time",
             "share", "read", "arithmetic", "limit");
  for (const ProfileRow& row : report.rows) {
    const double operations = row.work.operations();
    fmt::print("{:<18} {:>8} {:>10} {:>6.1f}% {:>12} {:>12} {:>18}\n", name_of(row.kind), row.calls,
               human_seconds(row.seconds), 100 * row.share,
               row.work.bytes > 0 ? human_bytes(static_cast<uint64_t>(row.work.bytes)) : "",
               operations > 0 ? human_count(operations) + "OP" : "", of_limit(row, report.limits));
  }
}

Json to_json(const ProfileReport& report) {
  Json rows = Json::array();
  for (const ProfileRow& row : report.rows) {
    rows.push_back({{"operation", name_of(row.kind)},
                    {"calls", row.calls},
                    {"seconds", row.seconds},
                    {"share", row.share},
                    {"bytes", row.work.bytes},
                    {"int8_ops", row.work.int8_ops},
                    {"int4_ops", row.work.int4_ops},
                    {"tile_ops", row.work.tile_ops},
                    {"flops", row.work.flops},
                    {"fraction_of_limit", row.fraction_of_limit}});
  }
  return {{"test", report.test}, {"batch", report.batch},     {"threads", report.threads},
          {"isa", report.isa},   {"seconds", report.seconds}, {"limits", to_json(report.limits)},
          {"operations", rows}};
}

absl::Status profile(const Options& options) {
  if (options.limits) return show_limits(options);
  if (options.model.empty()) {
    return invalid_input("name a model, or ask for the machine's --limits alone");
  }
  BRISK_ASSIGN_OR_RETURN(BenchTest test, parse_bench_test(options.test));
  test.batch = options.batch;
  BRISK_ASSIGN_OR_RETURN(const std::shared_ptr<const Model> model,
                         load_model(options.model, {.tokenizer_path = options.tokenizer,
                                                    .activations = options.activations,
                                                    .threads = options.bench.threads}));
  const bool show_progress = isatty(STDERR_FILENO) != 0;
  BRISK_ASSIGN_OR_RETURN(const ProfileReport report,
                         profile_model(*model, test, options.bench, [&](const std::string& what) {
                           if (show_progress) fmt::print(stderr, "\r\033[Kmeasuring {}", what);
                         }));
  if (show_progress) fmt::print(stderr, "\r\033[K");
  if (!options.trace.empty()) {
    BRISK_RETURN_IF_ERROR(write_file_atomically(options.trace, to_chrome_trace(*report.trace)));
  }
  if (options.json) {
    fmt::print("{}\n", to_text(to_json(report)));
  } else {
    print_report(*model, report);
  }
  return absl::OkStatus();
}

}  // namespace

CommandAction add_profile(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_option("model", options->model, "A .gguf, a Hugging Face directory or a llama2.c .bin");
  app.add_flag("--limits", options->limits,
               "Only measure the machine: read bandwidth and peak arithmetic");
  app.add_option("--test", options->test,
                 "What to run: pp512 (a prompt of 512), tg32 (generate 32), tg32@2048")
      ->capture_default_str();
  app.add_option("--batch", options->batch, "Sequences that step together")->capture_default_str();
  app.add_option("--trace", options->trace,
                 "Write every operation of every thread to this file, for ui.perfetto.dev");
  app.add_option("--tokenizer", options->tokenizer, "Tokenizer file, for models without one");
  app.add_option("--threads", options->bench.threads, "Threads (0: all)")->capture_default_str();
  app.add_option("--tokens-per-step", options->bench.tokens_per_step, "Rows of a prefill step")
      ->check(CLI::Range(1, 1 << 16))
      ->capture_default_str();
  add_activations_option(app, &options->activations);
  add_kv_dtype_option(app, &options->bench.kv_dtype);
  app.add_flag("--json", options->json, "Print JSON");
  return [options] { return profile(*options); };
}

}  // namespace brisk
