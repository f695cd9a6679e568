// brisk bench serve: what each step of the serving engine brings, on the same requests: static
// batches, iteration-level batching, prompts beside decoding, shared prefixes.
#include <fmt/format.h>

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "apps/command.h"
#include "apps/engine_flags.h"
#include "apps/progress.h"
#include "apps/table.h"
#include "apps/workload_flags.h"
#include "base/json.h"
#include "base/status.h"
#include "engine/engine.h"
#include "plan/load/load_run.h"
#include "plan/load/report_text.h"
#include "plan/load/server_probe.h"
#include "serve/api/service.h"
#include "serve/http/server.h"

namespace brisk {
namespace {

struct Options {
  std::string model;
  std::string tokenizer;
  Activations activations = Activations::kInt8;
  EngineOptions engine;
  WorkloadFlags asked;
  bool json = false;
};

struct Configuration {
  const char* name;
  BatchPolicy policy;
  bool split_prompts;  // else they take the whole budget
  bool prefix_cache;
};

constexpr Configuration kConfigurations[] = {
    {"static", BatchPolicy::kStatic, false, false},
    {"iteration-level", BatchPolicy::kIteration, false, false},
    {"+ SplitFuse", BatchPolicy::kSplitFuse, true, false},
    {"+ prefix cache", BatchPolicy::kSplitFuse, true, true},
};

struct Measured {
  const char* name = "";
  LoadReport report;
  EngineStats stats;
};

// One configuration behind a server on a port of its own.
absl::StatusOr<Measured> measure(const std::shared_ptr<const Model>& model, const Options& options,
                                 const Configuration& configuration) {
  EngineOptions engine_options = options.engine;
  engine_options.policy = configuration.policy;
  engine_options.prefix_cache = configuration.prefix_cache;
  if (!configuration.split_prompts) engine_options.stretch_percent = 0;
  BRISK_ASSIGN_OR_RETURN(const std::shared_ptr<Engine> engine,
                         Engine::create(model, engine_options));
  api::ServedModel served;
  served.engine = engine;
  served.tokenizer = model->tokenizer.get();
  served.names = {"model"};
  api::Metrics metrics;
  api::ModelRepository models(metrics);
  models.add(std::move(served));
  api::Service service(models, metrics);
  const http::Router router(service.routes(), std::vector<http::ApiKey>{}, api::error_in_style);
  BRISK_ASSIGN_OR_RETURN(const std::unique_ptr<http::Server> server,
                         http::Server::start({.host = "127.0.0.1", .port = 0}, router));

  LoadRunOptions load;
  load.target.host = "127.0.0.1";
  load.target.port = static_cast<uint16_t>(server->port());
  load.model = "model";
  load.alphabet = learn_ids(load.target, load.model)
                      .value_or(PromptAlphabet::ids_below(model->spec.vocab_size));
  const Workload workload = make_workload(options.asked.workload);
  load.concurrency_max = options.asked.concurrency_for(workload);
  Measured measured;
  measured.name = configuration.name;
  Progress progress(fmt::format("{}: requests", configuration.name));
  BRISK_ASSIGN_OR_RETURN(measured.report, run_load(load, workload, [&](const LoadProgress& now) {
                           progress.show_items(static_cast<uint64_t>(now.ended),
                                               static_cast<uint64_t>(now.total));
                         }));
  measured.stats = engine->stats();
  server->stop();
  const auto& errors = measured.report.record.errors;
  if (measured.report.served == 0) {
    return system_error("{}: no request was served{}{}", configuration.name,
                        errors.empty() ? "" : ": ", errors.empty() ? "" : errors.begin()->first);
  }
  return measured;
}

std::string percent_of_run(double seconds, const EngineStats& stats) {
  const double all = stats.run_seconds + stats.sample_seconds + stats.schedule_seconds;
  return fmt::format("{:.2f}", all > 0 ? 100 * seconds / all : 0.0);
}

void print_table(const std::vector<Measured>& all) {
  std::vector<std::vector<std::string>> rows = {
      {"policy", "requests/s", "output tok/s", "P50 TTFT s", "P99 TTFT s", "P50 ITL ms",
       "P99 ITL ms", "cached %", "failed", "scheduling %", "sampling %"}};
  for (const Measured& one : all) {
    const LoadReport& report = one.report;
    const double cached = report.prompt_tokens == 0
                              ? 0
                              : 100.0 * static_cast<double>(report.cached_tokens) /
                                    static_cast<double>(report.prompt_tokens);
    rows.push_back({one.name, fmt::format("{:.2f}", report.requests_per_s),
                    fmt::format("{:.1f}", report.output_tokens_per_s),
                    fmt::format("{:.2f}", report.ttft.median),
                    fmt::format("{:.2f}", report.ttft.p99),
                    fmt::format("{:.1f}", 1e3 * report.itl.median),
                    fmt::format("{:.1f}", 1e3 * report.itl.p99), fmt::format("{:.1f}", cached),
                    std::to_string(report.failed + report.refused),
                    percent_of_run(one.stats.schedule_seconds, one.stats),
                    percent_of_run(one.stats.sample_seconds, one.stats)});
  }
  std::vector<Align> align(rows[0].size(), Align::kRight);
  align[0] = Align::kLeft;
  fmt::print("{}", table(rows, align));
}

absl::Status bench_serve(Options& options) {
  BRISK_RETURN_IF_ERROR(options.asked.complete());
  options.asked.workload.trace_times = options.asked.concurrency == 0;
  BRISK_ASSIGN_OR_RETURN(const std::shared_ptr<const Model> model,
                         load_model(options.model, {.tokenizer_path = options.tokenizer,
                                                    .context_max = options.engine.context_max,
                                                    .activations = options.activations,
                                                    .threads = options.engine.threads}));
  if (model->tokenizer == nullptr) {
    return invalid_input("{} has no tokenizer; name one with --tokenizer", options.model);
  }
  std::vector<Measured> all;
  for (const Configuration& configuration : kConfigurations) {
    BRISK_ASSIGN_OR_RETURN(all.emplace_back(), measure(model, options, configuration));
  }
  if (!options.json) {
    print_table(all);
    return absl::OkStatus();
  }
  Json list = Json::array();
  for (const Measured& one : all) {
    list.push_back(to_report_json(one.report));
    list.back()["policy"] = one.name;
  }
  fmt::print("{}\n", to_text(list));
  return absl::OkStatus();
}

}  // namespace

CommandAction add_bench_serve(CLI::App& app) {
  auto options = std::make_shared<Options>();
  EngineOptions& engine = options->engine;
  app.add_option("model", options->model, "A .gguf, a Hugging Face directory or a llama2.c .bin")
      ->required();
  app.add_option("--tokenizer", options->tokenizer, "Tokenizer file, for models without one");
  app.add_option("--threads", engine.threads, "Compute threads (0: all)")->capture_default_str();
  app.add_option("--tokens-per-step", engine.tokens_per_step_max, "Token budget of a step")
      ->capture_default_str();
  app.add_option("--sequences-max", engine.sequences_max, "Sequences in one step")
      ->capture_default_str();
  app.add_option("--stretch", engine.stretch_percent,
                 "Percent of its time that prompts may stretch a step to while others generate")
      ->capture_default_str();
  app.add_option("--context", engine.context_max, "Tokens of a sequence (0: the model's)");
  app.add_option("--kv-tokens", engine.kv_tokens,
                 "Tokens the KV cache holds (0: as memory allows)");
  add_kv_dtype_option(app, &engine.kv_dtype);
  add_activations_option(app, &options->activations);
  add_length_options(app, options->asked);
  add_arrival_options(app, options->asked);
  app.add_flag("--json", options->json, "Print JSON, under vLLM's names");
  return [options, &app] {
    replay_whole_trace(app, options->asked);
    return bench_serve(*options);
  };
}

}  // namespace brisk
