// brisk-train pretrain, distill and recover: every weight of a llama learns, from text and perhaps
// from a teacher.
#include <memory>
#include <string>
#include <utility>

#include "apps/train/model_flags.h"
#include "apps/train/train_command.h"
#include "apps/train/training_flags.h"
#include "base/status.h"

namespace brisk {
namespace {

struct Options {
  std::string kind;
  TrainingFlags flags;
  ModelFlags model;
  TeacherFlags teacher;
};

absl::Status train_all(Options& options) {
  TrainingFlags& flags = options.flags;
  BRISK_ASSIGN_OR_RETURN(const train::RunTokenizer tokenizer,
                         open_tokenizer_of(flags, options.model.start, options.teacher.teacher));
  BRISK_ASSIGN_OR_RETURN(const auto model, make_trained_model(options.model, flags, tokenizer));
  BRISK_ASSIGN_OR_RETURN(TrainingData data, prepare(flags, tokenizer));
  BRISK_ASSIGN_OR_RETURN(const TeachingParts teaching,
                         make_objective(options.teacher, flags, *model, tokenizer, data));
  Json settings = settings_of(options.model);
  settings.update(settings_of(options.teacher));
  return train_and_export(flags, {.kind = options.kind,
                                  .model = model.get(),
                                  .objective = teaching.objective.get(),
                                  .tokenizer = &tokenizer,
                                  .data = &data,
                                  .settings = std::move(settings),
                                  .finish = nullptr});
}

}  // namespace

CommandAction add_pretrain(CLI::App& app) {
  auto options = std::make_shared<Options>();
  options->kind = "pretrain";
  add_training_flags(app, options->flags);
  add_shape_flags(app, options->model);
  add_start_flags(app, options->model);
  app.footer(
      "Example, a story teller of 1 M parameters:\n"
      "  brisk-train pretrain --tokenizer tokenizer.json --data stories.jsonl \\\n"
      "      --dim 128 --layers 4 --heads 4 --kv-heads 2 --ffn 384 --steps 2000 --out run\n"
      "  brisk run run/model -p \"Once upon a time\"\n"
      "With --start the weights of that model learn on (fine-tuning), whatever --dim and the "
      "like.");
  return [options] { return train_all(*options); };
}

CommandAction add_distill(CLI::App& app) {
  auto options = std::make_shared<Options>();
  options->kind = "distill";
  add_training_flags(app, options->flags);
  add_teacher_flags(app, options->teacher);
  add_shape_flags(app, options->model);
  add_start_flags(app, options->model);
  app.footer(
      "Example, a student of 1 M parameters:\n"
      "  brisk-train distill --teacher run/model --data stories.jsonl --alpha 0.7 \\\n"
      "      --dim 128 --layers 4 --heads 4 --kv-heads 2 --ffn 384 --steps 2000 --out student\n"
      "To learn from what a teacher writes instead (sequence-level distillation), let it write "
      "with\n"
      "`brisk run` or `brisk serve`, and pretrain on that text.");
  return [options]() -> absl::Status {
    if (options->teacher.teacher.empty() && options->teacher.cache.empty()) {
      return invalid_input("give --teacher, the directory of a model, or a --teacher-cache");
    }
    return train_all(*options);
  };
}

CommandAction add_recover(CLI::App& app) {
  auto options = std::make_shared<Options>();
  options->kind = "recover";
  options->model.mask_zeros = true;
  add_training_flags(app, options->flags);
  app.add_option("--start", options->model.start, "The directory of the pruned model")->required();
  app.add_flag("!--fill-zeros", options->model.mask_zeros,
               "Let weights of layers that were pruned to zero grow again");
  add_teacher_flags(app, options->teacher);
  app.footer(
      "Example: a pruned model learns from the one it was made of; its zeros stay.\n"
      "  brisk-train recover --start pruned --teacher original --data stories.jsonl \\\n"
      "      --steps 500 --lr 3e-4 --out recovered");
  return [options] { return train_all(*options); };
}

}  // namespace brisk
