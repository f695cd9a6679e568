// The steps of a recipe, run: each a command on the model that the one before it made. What they
// make is kept in a directory, so that an interrupted pipeline goes on where it was.
#pragma once

#include <absl/status/statusor.h>

#include <optional>
#include <string>
#include <vector>

#include "compress/recipe/recipe.h"

namespace brisk {

struct PipelineOptions {
  std::string recipe;  // its name, in messages
  std::string in;      // the model it starts from
  std::string work;    // directory of what steps make
  bool gguf = false;   // the result is a .gguf, not a directory
  bool json = false;   // steps print JSON, where they can
};

struct PipelineStep {
  std::string name;                // "2-distill", of what it leaves in `work`
  std::string command;             // as the recipe has it
  std::vector<std::string> words;  // the command line
  std::string made;                // the model it makes; empty: none
  std::optional<std::string> run;  // a training's directory, which it can go on from
  bool prints_json = false;        // it knows --json
};

struct StepResult {
  std::string command;
  std::string output;  // what it printed
  double seconds = 0;
  bool kept = false;  // made by an earlier call
};

// The command lines. Every flag but those of trainings is checked here, before anything runs.
absl::StatusOr<std::vector<PipelineStep>> plan_pipeline(const Recipe& recipe,
                                                        const PipelineOptions& options);

// Makes the directory, which may be removed with all that is in it when the pipeline is done.
// Errors: InvalidArgument where there is one with files that no pipeline has made.
absl::Status claim_work_directory(const std::string& work);

// Runs `step`, unless it was done by an earlier call: the same words, and the files they name
// unchanged. FailedPrecondition: it missed a gate of its own.
absl::StatusOr<StepResult> run_step(const PipelineStep& step, const PipelineOptions& options);

}  // namespace brisk
