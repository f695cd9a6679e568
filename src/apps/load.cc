// brisk load: puts a server that speaks OpenAI's API under load, and measures what its users see.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "apps/command.h"
#include "apps/command_line.h"
#include "apps/progress.h"
#include "apps/table.h"
#include "apps/workload_flags.h"
#include "base/status.h"
#include "compute/sys/mapped_file.h"
#include "plan/load/load_run.h"
#include "plan/load/report_html.h"
#include "plan/load/report_text.h"
#include "plan/load/server_probe.h"
#include "plan/load/slo.h"
#include "plan/load/sweep.h"

namespace brisk {
namespace {

constexpr int32_t kVocabSizeUnknown = 10000;
constexpr double kGoodputMin = 0.9;

struct Options {
  std::string url = "http://127.0.0.1:8000";
  std::string api_key;
  std::string model;
  std::string endpoint = "completions";
  std::string prompt_as = "ids";
  int32_t vocab_size = 0;
  WorkloadFlags asked;
  bool stop_at_eos = false;
  std::string slo;
  double goodput_min = 0;  // 0: not given
  std::string sweep;
  bool json = false;
  std::string html_file;
  LoadRunOptions load;
};

absl::Status check(const Options& options) {
  if (options.endpoint == "chat" && options.vocab_size > 0) {
    return invalid_input("chat takes words, so that --vocab-size has no use there");
  }
  if (!options.sweep.empty() && options.asked.workload.rate > 0) {
    return invalid_input("give either --rate or --sweep");
  }
  return absl::OkStatus();
}

// What prompts are made of: what was asked for, else what the server itself says it understands.
PromptAlphabet choose_alphabet(const Options& options) {
  if (options.endpoint == "chat" || options.prompt_as == "words") return PromptAlphabet::of_words();
  if (options.vocab_size > 0) return PromptAlphabet::ids_below(options.vocab_size);
  if (auto learnt = learn_ids(options.load.target, options.load.model)) return *std::move(learnt);
  return PromptAlphabet::ids_below(kVocabSizeUnknown);
}

// Fills in what the strings of the command line stand for.
absl::Status complete(Options& options) {
  BRISK_RETURN_IF_ERROR(check(options));
  LoadRunOptions& load = options.load;
  BRISK_ASSIGN_OR_RETURN(load.target, parse_target(options.url, options.api_key));
  BRISK_RETURN_IF_ERROR(options.asked.complete());
  options.asked.workload.trace_times = options.asked.concurrency == 0 && options.sweep.empty();
  if (!options.slo.empty()) {
    BRISK_ASSIGN_OR_RETURN(load.slo, parse_slo(options.slo));
  }
  load.endpoint = options.endpoint == "chat" ? LoadEndpoint::kChat : LoadEndpoint::kCompletions;
  load.ignore_eos = !options.stop_at_eos;
  load.model = options.model;
  if (load.model.empty()) {
    BRISK_ASSIGN_OR_RETURN(load.model, first_model(load.target));
  }
  load.alphabet = choose_alphabet(options);
  return absl::OkStatus();
}

absl::StatusOr<LoadReport> run_once(const Options& options, const WorkloadFlags& asked) {
  const Workload made = make_workload(asked.workload);
  LoadRunOptions load = options.load;
  load.concurrency_max = asked.concurrency_for(made);
  Progress progress("requests");
  return run_load(load, made, [&](const LoadProgress& now) {
    progress.show_items(static_cast<uint64_t>(now.ended), static_cast<uint64_t>(now.total));
  });
}

absl::StatusOr<SweepReport> sweep(const Options& options) {
  BRISK_ASSIGN_OR_RETURN(const SweepSpec spec, parse_sweep(options.sweep));
  const double goodput_min = options.goodput_min > 0 ? options.goodput_min : kGoodputMin;
  uint64_t step = 0;
  return run_sweep(spec, goodput_min, [&](double value) {
    WorkloadFlags asked = options.asked;
    // Contents of its own, that no cache has seen at the value before.
    asked.workload.seed += step++ << 32;
    if (spec.over == SweepOver::kRate) {
      asked.workload.rate = value;
    } else {
      asked.concurrency = static_cast<int>(value);
    }
    return run_once(options, asked);
  });
}

void print_sweep(const SweepReport& report) {
  std::vector<std::vector<std::string>> rows = {{name_of(report.over), "requests/s", "output tok/s",
                                                 "P50 TTFT ms", "P99 TTFT ms", "P99 TPOT ms",
                                                 "refused", "failed", "good %"}};
  for (const auto& [value, point] : report.points) {
    rows.push_back({fmt::format("{:g}", value), fmt::format("{:.2f}", point.requests_per_s),
                    fmt::format("{:.1f}", point.output_tokens_per_s),
                    fmt::format("{:.1f}", 1e3 * point.ttft.median),
                    fmt::format("{:.1f}", 1e3 * point.ttft.p99),
                    fmt::format("{:.1f}", 1e3 * point.tpot.p99), std::to_string(point.refused),
                    std::to_string(point.failed),
                    fmt::format("{:.1f}", 100 * point.goodput_fraction)});
  }
  fmt::print("{}", table(rows, std::vector<Align>(rows[0].size(), Align::kRight)));
  if (report.last_good) {
    fmt::print("last good {}: {:g}\n", name_of(report.over), *report.last_good);
  } else {
    fmt::print("no {} was good\n", name_of(report.over));
  }
}

Json to_json(const SweepReport& report) {
  Json points = Json::array();
  for (const auto& [value, point] : report.points) {
    points.push_back(to_report_json(point));
    points.back()[name_of(report.over)] = value;
  }
  return {{"sweep", name_of(report.over)},
          {"last_good", report.last_good ? Json(*report.last_good) : Json()},
          {"points", std::move(points)}};
}

// What the gate and the exit code say about a run.
absl::Status verdict(const Options& options, const LoadReport& report) {
  if (report.served == 0) {
    const auto& errors = report.record.errors;
    return system_error("no request was served{}{}", errors.empty() ? "" : ": ",
                        errors.empty() ? "" : errors.begin()->first);
  }
  if (report.goodput_fraction < options.goodput_min) {
    return absl::FailedPreconditionError(
        fmt::format("{:.1f} % of the requests were good, and --goodput-min asks for {:.1f} %",
                    100 * report.goodput_fraction, 100 * options.goodput_min));
  }
  return absl::OkStatus();
}

absl::Status load(Options& options, const std::string& command) {
  BRISK_RETURN_IF_ERROR(complete(options));
  const ReportSettings settings = {.has_slo = !options.slo.empty()};
  HtmlReport html = {
      .title = fmt::format("{} at {}", options.load.model, to_url(options.load.target)),
      .command = command,
      .settings = settings};
  SweepReport swept;
  if (options.sweep.empty()) {
    BRISK_ASSIGN_OR_RETURN(LoadReport report, run_once(options, options.asked));
    swept.points.push_back({.value = 0, .report = std::move(report)});
  } else {
    BRISK_ASSIGN_OR_RETURN(swept, sweep(options));
    html.sweep = &swept;
  }
  const LoadReport& last = swept.points.back().report;
  html.report = &last;
  if (options.json) {
    fmt::print("{}\n", to_text(html.sweep == nullptr ? to_report_json(last) : to_json(swept)));
  } else if (html.sweep == nullptr) {
    fmt::print("{}", to_report_text(last, settings));
  } else {
    print_sweep(swept);
  }
  std::fflush(stdout);
  if (!options.html_file.empty()) {
    BRISK_RETURN_IF_ERROR(write_file_atomically(options.html_file, to_html(html)));
  }
  return html.sweep == nullptr ? verdict(options, last) : absl::OkStatus();
}

void add_server_options(CLI::App& app, Options& options) {
  app.add_option("--url", options.url, "The server, http://host:port")->capture_default_str();
  app.add_option("--api-key", options.api_key, "Key to send")->envname("BRISK_API_KEY");
  app.add_option("--model", options.model, "Model to ask for; else the first of /v1/models");
  app.add_option("--endpoint", options.endpoint, "completions or chat")
      ->check(CLI::IsMember({"completions", "chat"}))
      ->capture_default_str();
  app.add_option("--timeout", options.load.timeout_s, "Seconds after which a request has failed")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
}

void add_content_options(CLI::App& app, Options& options) {
  add_length_options(app, options.asked);
  app.add_option("--prompt-as", options.prompt_as,
                 "ids (exact lengths) or words (about a token each; chat always takes words)")
      ->check(CLI::IsMember({"ids", "words"}))
      ->capture_default_str();
  app.add_option("--vocab-size", options.vocab_size,
                 "Draw ids below this; else from what the server's /tokenize gives to English")
      ->check(CLI::Range(1, 1 << 30));
  app.add_flag("--stop-at-eos", options.stop_at_eos,
               "Let the model end its outputs, instead of sending ignore_eos");
}

void add_report_options(CLI::App& app, Options& options) {
  app.add_option("--slo", options.slo, "What is good enough: ttft=500ms,tpot=50ms,e2e=10s");
  app.add_option("--goodput-min", options.goodput_min,
                 "Share of requests that must be good: ends a sweep (0.9 there), and without one "
                 "the exit code is 2 below it")
      ->check(CLI::Range(0.0, 1.0));
  app.add_option("--sweep", options.sweep,
                 "Repeat at rate=1,2,4 or concurrency=1,8,64 until too few requests are good");
  app.add_flag("--json", options.json, "Print JSON, under vLLM's names");
  app.add_option("--html", options.html_file, "Write a page with plots to this file");
}

}  // namespace

CommandAction add_load(CLI::App& app) {
  auto options = std::make_shared<Options>();
  add_server_options(app, *options);
  add_content_options(app, *options);
  add_arrival_options(app, options->asked);
  app.add_option("--warmup", options->load.warmup, "Requests that are sent before and not counted")
      ->check(CLI::Range(int64_t{0}, kLoadRequestsMax))
      ->capture_default_str();
  add_report_options(app, *options);
  return [options, &app] {
    replay_whole_trace(app, options->asked);
    return load(*options, command_line(app));
  };
}

}  // namespace brisk
