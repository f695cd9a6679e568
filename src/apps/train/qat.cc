// brisk-train qat: a model learns to be quantised.
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
  TrainingFlags flags;
  ModelFlags model;
  TeacherFlags teacher;
  std::string format = "q4_0";
  std::string activations = "int8";
  std::string clip = "search";
};

absl::Status qat(Options& options) {
  TrainingFlags& flags = options.flags;
  BRISK_ASSIGN_OR_RETURN(const train::RunTokenizer tokenizer,
                         open_tokenizer_of(flags, options.model.start, options.teacher.teacher));
  BRISK_ASSIGN_OR_RETURN(
      train::QuantFormat format,
      train::quant_format(options.format, options.clip == "none" ? train::Clipping::kNone
                                                                 : train::Clipping::kSearch));
  BRISK_ASSIGN_OR_RETURN(const auto model, make_trained_model(options.model, flags, tokenizer));
  const train::DecoderShape& shape = model->shape();
  const bool int8 = options.activations == "int8";
  if (shape.dim % 32 != 0 || shape.ffn % 32 != 0 || shape.heads * shape.head_dim % 32 != 0) {
    return invalid_input(
        "{}: rows of {} and {} weights do not fill the blocks of 32 that formats have",
        options.model.start, shape.dim, shape.ffn);
  }
  model->quantize_as(std::move(format.rounding), int8);
  BRISK_ASSIGN_OR_RETURN(TrainingData data, prepare(flags, tokenizer));
  BRISK_ASSIGN_OR_RETURN(const TeachingParts teaching,
                         make_objective(options.teacher, flags, *model, tokenizer, data));
  Json settings = settings_of(options.model);
  settings.update(settings_of(options.teacher));
  settings.update({{"format", options.format},
                   {"activations", options.activations},
                   {"weight-clip", options.clip}});
  TrainingRun run = {.kind = "qat",
                     .model = model.get(),
                     .objective = teaching.objective.get(),
                     .tokenizer = &tokenizer,
                     .data = &data,
                     .settings = std::move(settings),
                     .finish = nullptr};
  run.finish = [&]() -> absl::StatusOr<std::string> {
    const std::string out = flags.out + "/model.gguf";
    BRISK_RETURN_IF_ERROR(
        train::export_model(out, shape, model->weights(), tokenizer, {.format = format.stored_as}));
    return out;
  };
  return train_and_export(flags, run);
}

}  // namespace

CommandAction add_qat(CLI::App& app) {
  auto options = std::make_shared<Options>();
  add_training_flags(app, options->flags);
  app.add_option("--start", options->model.start, "A model's directory to begin from")->required();
  app.add_flag("--mask-zeros", options->model.mask_zeros,
               "Weights of layers that are zero at the start stay zero");
  app.add_option("--format", options->format,
                 "q4_0, q8_0 or another format of blocks that brisk encodes; or ternary, which is "
                 "stored as q8_0")
      ->capture_default_str();
  app.add_option("--activations", options->activations,
                 "Inputs of products: int8 in groups of 32, as the engine has them, or f32")
      ->check(CLI::IsMember({"int8", "f32"}))
      ->capture_default_str();
  app.add_option("--weight-clip", options->clip,
                 "How far codes reach: to the largest weight of a block (none), or as far as errs "
                 "least (search)")
      ->check(CLI::IsMember({"search", "none"}))
      ->capture_default_str();
  add_teacher_flags(app, options->teacher);
  app.footer(
      "Example: what `brisk convert --dtype q4_0` loses, most of it learned back. The result is\n"
      "OUT/model.gguf, which computes what the training did.\n"
      "  brisk-train qat --start run/model --teacher run/model --data stories.jsonl \\\n"
      "      --format q4_0 --steps 500 --lr 3e-4 --out quantised");
  return [options] { return qat(*options); };
}

}  // namespace brisk
