// brisk-train export: the model of a run, at its newest checkpoint.
#include "train/export.h"

#include <fmt/format.h>

#include <memory>
#include <string>
#include <utility>

#include "apps/train/train_command.h"
#include "base/status.h"
#include "train/checkpoint.h"
#include "train/llama.h"

namespace brisk {
namespace {

struct Options {
  std::string run;
  std::string out;
  std::string tokenizer;
  std::string chat_template;
  std::string format = "bf16";
  bool ema = false;
};

absl::Status export_run(const Options& options) {
  BRISK_ASSIGN_OR_RETURN(const train::FoundStep found, train::find_step(options.run));
  BRISK_ASSIGN_OR_RETURN(const train::DecoderShape shape,
                         train::shape_from_json(found.state.model));
  BRISK_ASSIGN_OR_RETURN(const train::RunTokenizer tokenizer,
                         train::open_tokenizer(options.tokenizer, options.chat_template));
  if (tokenizer.tokenizer->vocab_size() != shape.vocab) {
    return invalid_input("{} has {} tokens, the model of {} {}", options.tokenizer,
                         tokenizer.tokenizer->vocab_size(), options.run, shape.vocab);
  }
  if (found.state.settings.value("kind", "") == "lora") {
    return invalid_input("{}: the adapter of a LoRA training is written when it ends", options.run);
  }
  const auto model = train::LlamaModel::create(shape, train::ComputeType::kF32, 1, 0.02);
  BRISK_RETURN_IF_ERROR(train::load_weights(found.path, model->weights(), options.ema));
  model->refresh();
  if (const std::string trained = found.state.settings.value("format", ""); trained == "ternary") {
    BRISK_ASSIGN_OR_RETURN(train::QuantFormat format, train::quant_format(trained));
    model->quantize_as(std::move(format.rounding), false);
  }
  BRISK_RETURN_IF_ERROR(train::export_model(options.out, shape, model->weights(), tokenizer,
                                            {.format = options.format}));
  fmt::print("{}: step {} of {}\n", options.out, found.state.step, options.run);
  return absl::OkStatus();
}

}  // namespace

CommandAction add_export(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_option("run", options->run, "The --out of a training, also while it runs")->required();
  app.add_option("out", options->out, "A directory, or a name ending in .gguf")->required();
  app.add_option("--tokenizer", options->tokenizer, "As the training was given")->required();
  app.add_option("--chat-template", options->chat_template, "As the training was given");
  app.add_option("--format", options->format,
                 "bf16, f16 or f32; for .gguf also q8_0, q4_0 and the like")
      ->capture_default_str();
  app.add_flag("--ema", options->ema, "The moving average of the weights instead");
  return [options] { return export_run(*options); };
}

}  // namespace brisk
