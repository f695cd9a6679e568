// brisk-train pretrain: a llama from random weights.
#include <memory>
#include <string>

#include "apps/train/train_command.h"
#include "apps/train/training_flags.h"
#include "base/status.h"

namespace brisk {
namespace {

struct Options {
  TrainingFlags flags;
  train::DecoderShape shape;
  double init_deviation = 0.02;
};

absl::Status pretrain(Options& options) {
  TrainingFlags& flags = options.flags;
  BRISK_ASSIGN_OR_RETURN(const train::RunTokenizer tokenizer,
                         train::open_tokenizer(flags.tokenizer, flags.chat_template));
  options.shape.vocab = tokenizer.tokenizer->vocab_size();
  options.shape.context = flags.context;
  BRISK_RETURN_IF_ERROR(complete(options.shape));
  BRISK_ASSIGN_OR_RETURN(const train::ComputeType type, parse_precision(flags.precision));
  BRISK_ASSIGN_OR_RETURN(TrainingData data, prepare(flags, tokenizer));
  const auto model =
      train::LlamaModel::create(options.shape, type, flags.seed, options.init_deviation);
  train::NextToken objective;
  return train_and_export(flags, {.kind = "pretrain",
                                  .model = model.get(),
                                  .objective = &objective,
                                  .tokenizer = &tokenizer,
                                  .data = &data,
                                  .settings = {{"init-std", options.init_deviation}},
                                  .finish = nullptr});
}

}  // namespace

CommandAction add_pretrain(CLI::App& app) {
  auto options = std::make_shared<Options>();
  add_training_flags(app, options->flags);
  app.get_option("--tokenizer")->required();
  train::DecoderShape& shape = options->shape;
  app.add_option("--dim", shape.dim, "Width of the hidden states")->capture_default_str();
  app.add_option("--layers", shape.layers)->capture_default_str();
  app.add_option("--heads", shape.heads, "Of queries")->capture_default_str();
  app.add_option("--kv-heads", shape.kv_heads, "Of keys and values")->capture_default_str();
  app.add_option("--head-dim", shape.head_dim, "0: dim / heads")->capture_default_str();
  app.add_option("--ffn", shape.ffn, "Width of the feed-forward network")->capture_default_str();
  app.add_option("--rope-theta", shape.rope_theta)->capture_default_str();
  app.add_flag("--tied,!--untied", shape.tied, "Whether the head is the embedding (default: tied)");
  app.add_option("--init-std", options->init_deviation, "Deviation of initial weights")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.footer(
      "Example, a story teller of 1 M parameters:\n"
      "  brisk-train pretrain --tokenizer tokenizer.json --data stories.jsonl \\\n"
      "      --dim 128 --layers 4 --heads 4 --kv-heads 2 --ffn 384 --steps 2000 --out run\n"
      "  brisk run run/model -p \"Once upon a time\"");
  return [options] { return pretrain(*options); };
}

}  // namespace brisk
