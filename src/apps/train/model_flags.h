// Where a training's model and its teacher come from.
#pragma once

#include <absl/status/statusor.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "apps/train/training_flags.h"
#include "train/distill.h"

namespace brisk {

struct ModelFlags {
  std::string start;  // a Hugging Face directory; empty: random weights of `shape`
  train::DecoderShape shape;
  double init_deviation = 0.02;
  bool mask_zeros = false;
};

void add_shape_flags(CLI::App& app, ModelFlags& flags);
void add_start_flags(CLI::App& app, ModelFlags& flags);

struct TeacherFlags {
  std::string teacher;
  std::string cache;
  int64_t top_k = 32;
  train::DistillSettings settings;
};

void add_teacher_flags(CLI::App& app, TeacherFlags& flags);

// The tokenizer of a training: --tokenizer, or the first directory given that has one.
absl::StatusOr<train::RunTokenizer> open_tokenizer_of(const TrainingFlags& flags,
                                                      const std::string& start,
                                                      const std::string& teacher);

// Random or loaded. Errors: InvalidArgument when a loaded one has another vocabulary than the
// tokenizer, or reads fewer tokens than --context.
absl::StatusOr<std::unique_ptr<train::LlamaModel>> make_trained_model(
    const ModelFlags& flags, const TrainingFlags& training, const train::RunTokenizer& tokenizer);

// What a student learns from: a teacher, a cache of it, or neither. Not moved once in use.
struct TeachingParts {
  std::unique_ptr<train::LlamaModel> teacher;
  std::unique_ptr<train::TeacherCache> cache;
  std::unique_ptr<train::Objective> objective;
};

// Without a teacher: the next token. Errors: InvalidArgument for a teacher of another vocabulary.
absl::StatusOr<TeachingParts> make_objective(const TeacherFlags& flags,
                                             const TrainingFlags& training,
                                             const train::LlamaModel& student,
                                             const train::RunTokenizer& tokenizer,
                                             const TrainingData& data);

// What of these a resumed run must share.
Json settings_of(const ModelFlags& flags);
Json settings_of(const TeacherFlags& flags);

}  // namespace brisk
