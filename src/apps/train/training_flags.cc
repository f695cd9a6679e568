#include "apps/train/training_flags.h"

#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <cstdio>
#include <filesystem>
#include <utility>

#include "apps/progress.h"
#include "base/status.h"
#include "base/units.h"
#include "compute/sys/thread_team.h"
#include "train/gemm.h"

namespace brisk {
namespace {

using train::Corpus;

absl::StatusOr<std::unique_ptr<Corpus>> read_corpus(const std::vector<std::string>& files,
                                                    const TrainingFlags& flags,
                                                    const train::RunTokenizer& tokenizer) {
  std::vector<train::DataSource> sources;
  for (const std::string& file : files) {
    BRISK_ASSIGN_OR_RETURN(train::DataSource source, train::parse_data_source(file));
    sources.push_back(std::move(source));
  }
  BRISK_ASSIGN_OR_RETURN(const auto chat_template, ChatTemplate::parse(tokenizer.chat_template));
  Progress progress("tokenising " + sources.front().path);
  Corpus::Options options = {
      .tokenizer = tokenizer.tokenizer.get(),
      .chat_template = chat_template.get(),
      .learn_prompts = flags.learn_prompts,
      .on_progress = [&](uint64_t done, uint64_t total) { progress.show(done, total); }};
  BRISK_ASSIGN_OR_RETURN(Corpus corpus, Corpus::read(sources, options));
  return std::make_unique<Corpus>(std::move(corpus));
}

void add_optimizer_flags(CLI::App& app, train::OptimizerSettings& settings) {
  app.add_option("--steps", settings.steps, "Steps of the optimizer")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--lr", settings.learning_rate, "The highest learning rate")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--lr-end", settings.learning_rate_end, "The last one, as a share of it")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  app.add_option("--warmup", settings.warmup_steps, "Steps of linear warm-up; then half a cosine")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--weight-decay", settings.weight_decay, "Of the matrices in layers")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--beta1", settings.beta1)->check(CLI::Range(0.0, 0.9999))->capture_default_str();
  app.add_option("--beta2", settings.beta2)->check(CLI::Range(0.0, 0.9999))->capture_default_str();
  app.add_option("--clip", settings.clip, "The largest norm of all gradients; 0: any")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--ema", settings.average_decay,
                 "Decay of a moving average of the weights, which is then exported; 0: none")
      ->check(CLI::Range(0.0, 0.999999))
      ->capture_default_str();
}

Json settings_of(const TrainingFlags& flags, const TrainingRun& run) {
  const train::OptimizerSettings& optimizer = flags.train.optimizer;
  Json json = {{"kind", run.kind},
               {"steps", optimizer.steps},
               {"lr", optimizer.learning_rate},
               {"lr-end", optimizer.learning_rate_end},
               {"warmup", optimizer.warmup_steps},
               {"weight-decay", optimizer.weight_decay},
               {"beta1", optimizer.beta1},
               {"beta2", optimizer.beta2},
               {"clip", optimizer.clip},
               {"ema", optimizer.average_decay},
               {"batch", flags.train.batch},
               {"micro-batch", flags.train.micro_batch},
               {"context", flags.context},
               {"seed", flags.seed},
               {"precision", run.model->type() == train::ComputeType::kF32 ? "f32" : "bf16"},
               {"threads", at::get_num_threads()},
               {"model", to_json(run.model->shape())},
               {"data", fmt::format("{:016x}", run.data->corpus->fingerprint())}};
  json.update(run.settings);
  return json;
}

std::string time_left(double seconds) {
  const auto whole = static_cast<int64_t>(seconds);
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  return fmt::format("{} h {:02} min", whole / 3600, whole / 60 % 60);
}

std::string progress_line(const train::TrainProgress& p) {
  std::string line = fmt::format("step {} of {}  loss {:.4f}", p.step, p.steps, p.loss);
  if (p.validation_loss > 0) line += fmt::format("  validation {:.4f}", p.validation_loss);
  return line + fmt::format("  {}tokens/s  {} left", human_count(p.tokens_per_second),
                            time_left(p.seconds_left));
}

void print_data(const TrainingRun& run) {
  const Corpus& corpus = *run.data->corpus;
  fmt::print(
      stderr, "{}: {} parameters; {} documents, {} tokens ({} learned), sequences {:.1f} % full\n",
      run.kind, human_count(static_cast<double>(run.model->shape().parameters())),
      corpus.documents().size(), human_count(static_cast<double>(corpus.tokens())),
      human_count(static_cast<double>(corpus.learned_tokens())), 100 * run.data->stream->fill());
}

void print_result(const TrainingFlags& flags, const TrainingRun& run,
                  const train::TrainResult& result, const std::string& exported) {
  const double operations = 3 * run.model->shape().operations_per_token();
  const double flops = result.tokens_per_second * operations;
  if (flags.json) {
    fmt::print("{}\n", to_text({{"kind", run.kind},
                                {"steps", result.steps},
                                {"first_loss", result.first_loss},
                                {"loss", result.loss},
                                {"validation_loss", result.validation_loss},
                                {"tokens_per_second", result.tokens_per_second},
                                {"flops_per_second", flops},
                                {"seconds", result.seconds},
                                {"parameters", run.model->shape().parameters()},
                                {"exported", exported}}));
    return;
  }
  fmt::print("{} steps in {}: loss {:.4f}", result.steps, human_seconds(result.seconds),
             result.loss);
  if (result.validation_loss > 0) fmt::print(", validation {:.4f}", result.validation_loss);
  fmt::print("; {}tokens/s, {:.0f} GFLOP/s\n{}\n", human_count(result.tokens_per_second),
             flops * 1e-9, exported);
}

}  // namespace

void add_data_flags(CLI::App& app, TrainingFlags& flags) {
  app.add_option(
         "--data", flags.data,
         "FILE[:weight], repeated: .jsonl with {\"text\"} or {\"messages\"} a line, or text "
         "(documents between lines of <|endoftext|>); the weight is passes an epoch")
      ->required();
  app.add_option("--tokenizer", flags.tokenizer,
                 "tokenizer.json, another tokenizer file, or a model's directory");
  app.add_option("--chat-template", flags.chat_template,
                 "A Jinja file for \"messages\" (default: the tokenizer's directory's, or ChatML)");
  app.add_flag("--learn-prompts", flags.learn_prompts,
               "In conversations learn every token, not the assistant's only");
  app.add_option("--context", flags.context, "Tokens of a sequence")
      ->check(CLI::Range(2, 1 << 16))
      ->capture_default_str();
  app.add_option("--seed", flags.seed, "Of initial weights and of the order of the data")
      ->capture_default_str();
  app.add_option("-t,--threads", flags.threads, "0: as many as the process may use")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
  app.add_flag("--json", flags.json, "Print the result as JSON");
}

void add_training_flags(CLI::App& app, TrainingFlags& flags) {
  add_data_flags(app, flags);
  app.add_option("--validation", flags.validation, "A file of the same kind, held out");
  app.add_option("-o,--out", flags.out, "Directory of the run: checkpoints, log, curves, model")
      ->required();
  app.add_flag("--resume", flags.resume, "Go on from the newest checkpoint in --out");
  app.add_option("--batch", flags.train.batch, "Sequences a step")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--micro-batch", flags.train.micro_batch,
                 "Sequences that are computed at once; gradients of a step add up")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  add_optimizer_flags(app, flags.train.optimizer);
  app.add_option("--precision", flags.precision,
                 "Of products: f32, bf16 (weights and sums stay f32), or auto: bf16 where the CPU "
                 "multiplies it")
      ->check(CLI::IsMember({"auto", "f32", "bf16"}))
      ->capture_default_str();
  app.add_option("--export-as", flags.export_as, "The model's format: bf16, f16 or f32")
      ->check(CLI::IsMember({"bf16", "f16", "f32"}))
      ->capture_default_str();
  app.add_option("--validate-every", flags.train.validate_every, "Steps")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--checkpoint-every", flags.train.checkpoint_every, "Steps")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--keep", flags.train.keep, "Checkpoints that are kept")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
}

absl::StatusOr<train::ComputeType> parse_precision(const std::string& precision) {
  if (precision == "f32") return train::ComputeType::kF32;
  if (precision == "bf16") return train::ComputeType::kBF16;
  return train::has_fast_bf16() ? train::ComputeType::kBF16 : train::ComputeType::kF32;
}

absl::StatusOr<TrainingData> prepare(const TrainingFlags& flags,
                                     const train::RunTokenizer& tokenizer) {
  at::set_num_threads(flags.threads > 0 ? flags.threads : usable_threads());
  TrainingData data;
  BRISK_ASSIGN_OR_RETURN(data.corpus, read_corpus(flags.data, flags, tokenizer));
  const uint64_t needed = static_cast<uint64_t>(flags.context);
  if (data.corpus->tokens() < needed) {
    return invalid_input(
        "--data has {} tokens, less than one sequence of {}: give more text, or a smaller "
        "--context",
        data.corpus->tokens(), needed);
  }
  if (data.corpus->learned_tokens() == 0) {
    return invalid_input("--data has no token to learn: no answer of an assistant, no text");
  }
  data.stream = std::make_unique<train::PackedStream>(
      *data.corpus, train::PackingOptions{.length = flags.context, .seed = flags.seed});
  if (flags.validation.empty()) return data;
  BRISK_ASSIGN_OR_RETURN(data.validation_corpus, read_corpus({flags.validation}, flags, tokenizer));
  data.validation = std::make_unique<train::PackedStream>(
      *data.validation_corpus, train::PackingOptions{.length = flags.context, .shuffle = false});
  return data;
}

absl::Status train_and_export(const TrainingFlags& flags, const TrainingRun& run) {
  namespace fs = std::filesystem;
  if (!flags.resume && !train::steps_of(flags.out).empty()) {
    return invalid_input("{}: there is a run already; --resume it, or choose another --out",
                         flags.out);
  }
  std::error_code error;
  fs::create_directories(flags.out, error);
  if (error) return system_error("{}: cannot create: {}", flags.out, error.message());
  train::Trainer trainer({.model = run.model,
                          .objective = run.objective,
                          .stream = run.data->stream.get(),
                          .validation = run.data->validation.get(),
                          .run = flags.out,
                          .settings = settings_of(flags, run)},
                         flags.train);
  if (flags.resume) BRISK_RETURN_IF_ERROR(trainer.resume());
  print_data(run);
  train::TrainResult result;
  {
    Progress progress(run.kind);
    BRISK_ASSIGN_OR_RETURN(result, trainer.run([&](const train::TrainProgress& p) {
      progress.show_text([&] { return progress_line(p); });
    }));
  }
  if (flags.train.optimizer.average_decay > 0) {
    trainer.optimizer().use_averages();
    run.model->refresh();
  }
  std::string exported = flags.out + "/model";
  if (run.finish) {
    BRISK_ASSIGN_OR_RETURN(exported, run.finish());
  } else {
    BRISK_RETURN_IF_ERROR(export_model(exported, run.model->shape(), run.model->weights(),
                                       *run.tokenizer, {.format = flags.export_as}));
  }
  print_result(flags, run, result, exported);
  return absl::OkStatus();
}

}  // namespace brisk
