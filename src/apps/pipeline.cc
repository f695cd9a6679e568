#include "apps/pipeline.h"

#include <xxhash.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <chrono>
#include <filesystem>
#include <system_error>
#include <utility>

#include "apps/command.h"
#include "apps/process.h"
#include "base/file_stamp.h"
#include "base/json.h"
#include "base/status.h"
#include "compute/sys/mapped_file.h"

namespace brisk {
namespace {

namespace fs = std::filesystem;

constexpr size_t kRecordBytesMax = size_t{65} << 20;

// What a step may be.
struct StepCommand {
  const char* name;
  AddCommand add;            // null: brisk-train's
  bool takes_model = true;   // brisk's own: IN OUT; brisk-train's: --start and --out
  bool prints_json = true;   // --json
  bool always_gguf = false;  // what it makes, where that is not a choice
};

constexpr std::array kCommands = {
    StepCommand{.name = "prune", .add = add_prune},
    StepCommand{.name = "quantize", .add = add_quantize, .always_gguf = true},
    StepCommand{.name = "factorize", .add = add_factorize},
    StepCommand{.name = "trim-vocab", .add = add_trim_vocab},
    StepCommand{.name = "convert", .add = add_convert, .prints_json = false},
    StepCommand{.name = "pretrain", .add = nullptr},
    StepCommand{.name = "distill", .add = nullptr},
    StepCommand{.name = "recover", .add = nullptr},
    StepCommand{.name = "qat", .add = nullptr, .always_gguf = true},
    StepCommand{
        .name = "tasks generate", .add = add_tasks, .takes_model = false, .prints_json = false},
};

absl::StatusOr<const StepCommand*> find_command(const std::string& name) {
  std::string all;
  for (const StepCommand& command : kCommands) {
    if (command.name == name) return &command;
    all += (all.empty() ? "" : ", ") + std::string(command.name);
  }
  return invalid_input("run: \"{}\" is none of {}", name, all);
}

std::vector<std::string> split_words(const std::string& text) {
  const size_t space = text.find(' ');
  if (space == std::string::npos) return {text};
  return {text.substr(0, space), text.substr(space + 1)};
}

// As the command itself would check its command line.
absl::Status check_flags(const StepCommand& command, const std::vector<std::string>& words) {
  CLI::App app;
  const CommandAction owns_the_options = command.add(app);
  // Without the program's and the command's names, and the last first.
  std::vector<std::string> arguments(words.rbegin(), words.rend() - 2);
  try {
    app.parse(std::move(arguments));
  } catch (const CLI::ParseError& error) {
    return invalid_input("{}", error.what());
  }
  return absl::OkStatus();
}

class Planner {
 public:
  explicit Planner(const PipelineOptions& options) : options_(options), model_(options.in) {}

  absl::StatusOr<PipelineStep> plan(const RecipeStep& step, bool last) {
    BRISK_ASSIGN_OR_RETURN(const StepCommand* command, find_command(step.command));
    for (const RecipeFlag& flag : step.flags) {
      if (flag.name == "json" || flag.name == "out" || flag.name == "resume") {
        return invalid_input("{}: is not a step's to choose", flag.name);
      }
    }
    PipelineStep planned;
    const std::vector<std::string> name = split_words(step.command);
    planned.name = fmt::format("{}-{}", ++count_, name.front());
    planned.command = step.command;
    const std::string path = (fs::path(options_.work) / planned.name).string();
    if (command->add == nullptr) {
      BRISK_RETURN_IF_ERROR(plan_training(*command, step, path, last, &planned));
    } else {
      planned.words = {program_beside("brisk")};
      planned.words.insert(planned.words.end(), name.begin(), name.end());
      if (command->takes_model) {
        const bool gguf = last ? options_.gguf : command->always_gguf;
        planned.made = gguf ? path + ".gguf" : path;
        planned.words.insert(planned.words.end(), {model_, planned.made});
      }
      append_flags(step.flags, &planned);
      BRISK_RETURN_IF_ERROR(check_flags(*command, planned.words));
    }
    planned.prints_json = command->prints_json;
    if (!planned.made.empty()) model_ = planned.made;
    return planned;
  }

 private:
  // A training begins from the model so far, or from `start`; an empty one: from nothing.
  absl::Status plan_training(const StepCommand& command, const RecipeStep& step,
                             const std::string& path, bool last, PipelineStep* planned) const {
    planned->words = {program_beside("brisk-train"), step.command};
    planned->run = path;
    planned->made = path + (command.always_gguf ? "/model.gguf" : "/model");
    if (last && command.always_gguf != options_.gguf) {
      return invalid_input(
          "makes {}, so OUT must {}end in .gguf (or end the recipe with a step \"convert\")",
          options_.gguf ? "a directory" : "a .gguf file", options_.gguf ? "not " : "");
    }
    std::vector<RecipeFlag> flags = step.flags;
    const auto start = std::ranges::find(flags, "start", &RecipeFlag::name);
    if (start == flags.end()) {
      planned->words.push_back("--start=" + model_);
    } else if (start->values == std::vector<std::string>{""}) {
      flags.erase(start);
    }
    planned->words.push_back("--out=" + path);
    append_flags(flags, planned);
    return absl::OkStatus();
  }

  void append_flags(const std::vector<RecipeFlag>& flags, PipelineStep* planned) const {
    for (std::string& word :
         command_line_of(flags, {{"{in}", options_.in}, {"{work}", options_.work}})) {
      planned->words.push_back(std::move(word));
    }
  }

  const PipelineOptions& options_;
  std::string model_;
  int count_ = 0;
};

// Of the files that a word of a command line names, if it does.
std::string stamp_of(const std::string& word) {
  const size_t value = word.starts_with("--") ? word.find('=') : std::string::npos;
  const std::string path = value == std::string::npos ? word : word.substr(value + 1);
  const std::string stamp = file_stamp(path);
  return stamp.empty() ? file_stamp(path.substr(0, path.rfind(':'))) : stamp;  // FILE:weight
}

// Of the command line and of the files it reads, but of the program itself and what it makes.
std::string fingerprint_of(const PipelineStep& step) {
  std::string text;
  for (size_t i = 1; i < step.words.size(); ++i) {
    const std::string& word = step.words[i];
    const bool makes = word == step.made || (step.run && word == "--out=" + *step.run);
    text += fmt::format("{}\n{}\n", word, makes ? "" : stamp_of(word));
  }
  return fmt::format("{:016x}", XXH3_64bits(text.data(), text.size()));
}

std::optional<StepResult> read_record(const std::string& path, const std::string& fingerprint) {
  const auto text = read_file(path, kRecordBytesMax);
  if (!text.ok()) return std::nullopt;
  const auto record = parse_json(*text);
  if (!record.ok() || !record->is_object() || record->value("fingerprint", Json()) != fingerprint) {
    return std::nullopt;
  }
  const Json output = record->value("output", Json());
  const Json seconds = record->value("seconds", Json());
  if (!output.is_string() || !seconds.is_number()) return std::nullopt;
  return StepResult{.command = {}, .output = output, .seconds = seconds, .kept = true};
}

absl::Status failed(const PipelineStep& step, int exit_code) {
  if (exit_code == 2) return absl::FailedPreconditionError("missed its gate");
  if (exit_code > 128) return system_error("was ended by signal {}", exit_code - 128);
  return invalid_input("failed; what it printed says why. Its command line: {}",
                       fmt::join(step.words, " "));
}

}  // namespace

absl::StatusOr<std::vector<PipelineStep>> plan_pipeline(const Recipe& recipe,
                                                        const PipelineOptions& options) {
  // The last that makes a model decides what is published.
  size_t last = recipe.steps.size();
  for (size_t i = 0; i < recipe.steps.size(); ++i) {
    const auto command = find_command(recipe.steps[i].command);
    if (command.ok() && (*command)->takes_model) last = i;
  }
  Planner planner(options);
  std::vector<PipelineStep> steps;
  for (size_t i = 0; i < recipe.steps.size(); ++i) {
    auto planned = planner.plan(recipe.steps[i], i == last);
    if (!planned.ok()) {
      return annotate(planned.status(), fmt::format("{}: step {} ({})", options.recipe, i + 1,
                                                    recipe.steps[i].command));
    }
    steps.push_back(*std::move(planned));
  }
  if (last == recipe.steps.size())
    return invalid_input("{}: no step makes a model", options.recipe);
  return steps;
}

absl::Status claim_work_directory(const std::string& work) {
  const std::string mark = (fs::path(work) / "made-by-brisk-compress").string();
  std::error_code error;
  fs::create_directories(work, error);
  if (error) return system_error("{}: cannot be created: {}", work, error.message());
  if (fs::exists(mark, error)) return absl::OkStatus();
  if (!fs::is_empty(work, error)) {
    return invalid_input("{} holds files of somebody else; move it, or give OUT another name",
                         work);
  }
  return write_file_atomically(mark, "");
}

absl::StatusOr<StepResult> run_step(const PipelineStep& step, const PipelineOptions& options) {
  std::error_code error;
  const std::string base = (fs::path(options.work) / step.name).string();
  const std::string fingerprint = fingerprint_of(step);
  if (auto done = read_record(base + ".done", fingerprint);
      done && (step.made.empty() || fs::exists(step.made, error))) {
    done->command = step.command;
    return *std::move(done);
  }
  fs::remove(base + ".done", error);
  std::vector<std::string> words = step.words;
  if (options.json && step.prints_json) words.emplace_back("--json");
  if (step.run) {
    const auto started = read_file(base + ".started", kRecordBytesMax);
    const bool same = started.ok() && *started == fingerprint;
    if (same && fs::exists(*step.run + "/checkpoints", error)) {
      words.emplace_back("--resume");
    } else {
      fs::remove_all(*step.run, error);
    }
    BRISK_RETURN_IF_ERROR(write_file_atomically(base + ".started", fingerprint));
  }
  const auto begin = std::chrono::steady_clock::now();
  BRISK_ASSIGN_OR_RETURN(ProcessResult process, run_process(words));
  if (process.exit_code != 0) return failed(step, process.exit_code);
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - begin;
  const Json record = {
      {"fingerprint", fingerprint}, {"output", process.output}, {"seconds", elapsed.count()}};
  BRISK_RETURN_IF_ERROR(write_file_atomically(base + ".done", to_text(record)));
  return StepResult{.command = step.command,
                    .output = std::move(process.output),
                    .seconds = elapsed.count(),
                    .kept = false};
}

}  // namespace brisk
