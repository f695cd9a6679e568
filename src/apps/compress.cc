// brisk compress: the steps of a recipe one after the other, and what came of them published when
// it holds the recipe's gate.
#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "apps/command.h"
#include "apps/pipeline.h"
#include "apps/publish.h"
#include "base/json.h"
#include "base/status.h"
#include "base/units.h"
#include "compute/sys/mapped_file.h"

namespace brisk {
namespace {

namespace fs = std::filesystem;

constexpr size_t kRecipeBytesMax = 1 << 20;

struct Options {
  std::string recipe;
  std::string in;
  std::string out;
  bool keep = false;
  bool json = false;
};

// The gate's table, read as a command reads its command line.
absl::StatusOr<PublishOptions> read_gate(const Recipe& recipe, const PipelineOptions& pipeline) {
  PublishOptions options;
  CLI::App app;
  add_publish_options(app, &options);
  std::vector<std::string> words =
      command_line_of(recipe.gate, {{"{in}", pipeline.in}, {"{work}", pipeline.work}});
  try {
    app.parse(std::vector<std::string>(words.rbegin(), words.rend()));
  } catch (const CLI::ParseError& error) {
    return invalid_input("{}: gate: {}", pipeline.recipe, error.what());
  }
  for (const RecipeStep& step : recipe.steps) {
    if (step.command == "trim-vocab") options.same_vocabulary = false;
  }
  return options;
}

// Relative paths of a recipe are meant from where it lies.
absl::StatusOr<PipelineOptions> enter_directory(Options& options) {
  PipelineOptions pipeline;
  std::error_code error;
  if (!fs::exists(options.in, error)) return not_found("{} does not exist", options.in);
  options.out = fs::absolute(options.out).lexically_normal().string();
  if (options.out.ends_with('/')) options.out.pop_back();
  pipeline.recipe = options.recipe;
  pipeline.in = fs::absolute(options.in).lexically_normal().string();
  pipeline.work = options.out + ".work";
  pipeline.gguf = fs::path(options.out).extension() == ".gguf";
  pipeline.json = options.json;
  const fs::path directory = fs::absolute(options.recipe).parent_path();
  fs::current_path(directory, error);
  if (error) return system_error("{}: {}", directory.string(), error.message());
  return pipeline;
}

// Copies, so that what steps made stays until the result is published.
absl::Status copy_model(const std::string& from, const std::string& to) {
  std::error_code error;
  fs::copy(from, to, fs::copy_options::recursive, error);
  return error ? system_error("{}: cannot be written: {}", to, error.message()) : absl::OkStatus();
}

absl::StatusOr<std::vector<StepResult>> run_steps(const std::vector<PipelineStep>& steps,
                                                  const PipelineOptions& pipeline) {
  std::vector<StepResult> results;
  for (const PipelineStep& step : steps) {
    fmt::print(stderr, "[{}/{}] {}\n", results.size() + 1, steps.size(), step.command);
    absl::StatusOr<StepResult> result = run_step(step, pipeline);
    if (!result.ok()) {
      return annotate(result.status(), fmt::format("{}: step {} ({})", pipeline.recipe,
                                                   results.size() + 1, step.command));
    }
    if (!pipeline.json) {
      if (result->kept) fmt::print("kept from {}:\n", pipeline.work);
      fmt::print("{}", result->output);
      std::fflush(stdout);
    }
    results.push_back(*std::move(result));
  }
  return results;
}

Json to_json(const StepResult& step) {
  const auto output = parse_json(step.output);
  return {{"run", step.command},
          {"seconds", step.seconds},
          {"kept", step.kept},
          {"output", output.ok() ? *output : Json(step.output)}};
}

void print_result(const Options& options, const std::vector<StepResult>& steps,
                  const std::optional<QualityReport>& quality, double seconds) {
  Json json = {{"out", options.out}, {"seconds", seconds}, {"steps", Json::array()}};
  for (const StepResult& step : steps) json["steps"].push_back(to_json(step));
  print_published(
      options.json, std::move(json),
      fmt::format("{}: {} steps in {}", options.out, steps.size(), human_seconds(seconds)),
      quality);
}

absl::Status compress(Options& options) {
  BRISK_ASSIGN_OR_RETURN(const std::string text, read_file(options.recipe, kRecipeBytesMax));
  BRISK_ASSIGN_OR_RETURN(const Recipe recipe, parse_recipe(text, options.recipe));
  BRISK_ASSIGN_OR_RETURN(const PipelineOptions pipeline, enter_directory(options));
  BRISK_ASSIGN_OR_RETURN(const std::vector<PipelineStep> steps, plan_pipeline(recipe, pipeline));
  BRISK_ASSIGN_OR_RETURN(const PublishOptions gate, read_gate(recipe, pipeline));
  const auto start = std::chrono::steady_clock::now();
  std::vector<StepResult> results;
  const auto make = [&](const std::string& path) -> absl::Status {
    BRISK_RETURN_IF_ERROR(claim_work_directory(pipeline.work));
    BRISK_ASSIGN_OR_RETURN(results, run_steps(steps, pipeline));
    std::string made;
    for (const PipelineStep& step : steps) {
      if (!step.made.empty()) made = step.made;
    }
    return copy_model(made, path);
  };
  const auto quality = publish(pipeline.in, options.out, gate, make);
  if (!quality.ok()) {
    std::error_code error;
    if (!fs::exists(pipeline.work, error)) return quality.status();
    return absl::Status(quality.status().code(),
                        fmt::format("{}; what steps made stays in {}, from which the same command "
                                    "goes on",
                                    message_of(quality.status()), pipeline.work));
  }
  std::error_code ignored;
  if (!options.keep) fs::remove_all(pipeline.work, ignored);
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  print_result(options, results, *quality, elapsed.count());
  return absl::OkStatus();
}

}  // namespace

CommandAction add_compress(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.footer(
      "brisk compress recipe.toml model small.gguf\n"
      "\n"
      "A recipe (relative paths are meant from where it lies; {in} is the model it starts from,\n"
      "{work} the directory of what steps make):\n"
      "\n"
      "  [[step]]\n"
      "  run = \"prune\"              # prune, factorize, trim-vocab, quantize, convert,\n"
      "  channels = 0.5             # tasks generate; recover, distill, pretrain, qat\n"
      "  calibration = \"texts.jsonl\"\n"
      "\n"
      "  [[step]]                   # every other key is a flag of the command\n"
      "  run = \"recover\"\n"
      "  teacher = \"{in}\"\n"
      "  data = [\"texts.jsonl\", \"more.jsonl\"]\n"
      "  steps = 1000\n"
      "\n"
      "  [[step]]\n"
      "  run = \"quantize\"\n"
      "  scheme = \"q4_0\"\n"
      "\n"
      "  [gate]                     # missed: nothing is published, exit code 2\n"
      "  evaluate = \"held-out.jsonl\"\n"
      "  max-kl = 0.2\n"
      "  max-size = \"1MiB\"");
  app.add_option("recipe", options->recipe, "A TOML file, see below")->required();
  app.add_option("in", options->in, "A .gguf, or a Hugging Face directory")->required();
  app.add_option("out", options->out,
                 "A name ending in .gguf, or a directory. Until it is published, what steps make "
                 "is kept in OUT.work")
      ->required();
  app.add_flag("--keep", options->keep, "Keep OUT.work also when all went well");
  app.add_flag("--json", options->json, "Print a JSON object, with what each step printed");
  return [options] { return compress(*options); };
}

}  // namespace brisk
