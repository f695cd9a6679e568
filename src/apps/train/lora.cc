// brisk-train lora: low-rank adapters on a model that stays as it is (Hu et al. 2021).
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
  train::LoraSettings lora;
};

absl::Status lora(Options& options) {
  TrainingFlags& flags = options.flags;
  BRISK_ASSIGN_OR_RETURN(const train::RunTokenizer tokenizer,
                         open_tokenizer_of(flags, options.model.start, ""));
  BRISK_ASSIGN_OR_RETURN(const auto model, make_trained_model(options.model, flags, tokenizer));
  model->train_weights(false);
  model->add_adapters(options.lora, flags.seed);
  BRISK_ASSIGN_OR_RETURN(TrainingData data, prepare(flags, tokenizer));
  train::NextToken objective;
  Json settings = settings_of(options.model);
  settings.update({{"rank", options.lora.rank}, {"lora-alpha", options.lora.alpha}});
  TrainingRun run = {.kind = "lora",
                     .model = model.get(),
                     .objective = &objective,
                     .tokenizer = &tokenizer,
                     .data = &data,
                     .settings = std::move(settings),
                     .finish = nullptr};
  run.finish = [&]() -> absl::StatusOr<std::string> {
    const std::string out = flags.out + "/adapter";
    BRISK_RETURN_IF_ERROR(
        train::export_adapter(out, model->weights(), options.lora, options.model.start));
    return out;
  };
  return train_and_export(flags, run);
}

}  // namespace

CommandAction add_lora(CLI::App& app) {
  auto options = std::make_shared<Options>();
  add_training_flags(app, options->flags);
  app.add_option("--start", options->model.start, "The directory of the model that is adapted")
      ->required();
  app.add_option("--rank", options->lora.rank)->check(CLI::Range(1, 512))->capture_default_str();
  app.add_option("--lora-alpha", options->lora.alpha, "The addition is scaled by alpha / rank")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.footer(
      "Example:\n"
      "  brisk-train lora --start run/model --data style.jsonl --rank 8 --steps 300 --out style\n"
      "  brisk run run/model --lora style/adapter -p \"Once upon a time\"");
  return [options] { return lora(*options); };
}

}  // namespace brisk
