// brisk tokenizer: a vocabulary learnt from one's own text.
#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "apps/command.h"
#include "apps/progress.h"
#include "base/json.h"
#include "base/status.h"
#include "base/units.h"
#include "compute/sys/mapped_file.h"
#include "model/tokenizer/train/sentencepiece_trainer.h"
#include "model/tokenizer/train/train_tokenizer.h"

namespace brisk {
namespace {

struct Options {
  TokenizerTraining training;
  std::string type = "bpe";
  std::string output;
  bool json = false;
};

absl::Status make_directory(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) return system_error("{}: cannot be made: {}", path, error.message());
  return absl::OkStatus();
}

absl::Status train_sentencepiece(const Options& options) {
  BRISK_RETURN_IF_ERROR(make_directory(options.output));
  BRISK_RETURN_IF_ERROR(run_sentencepiece_trainer({.corpora = options.training.corpora,
                                                   .vocab_size = options.training.vocab_size,
                                                   .special = options.training.special,
                                                   .directory = options.output}));
  return write_file_atomically(options.output + "/tokenizer_config.json",
                               make_tokenizer_config(options.training.special));
}

void print_report(const Options& options, const TrainedTokenizer& trained) {
  const double bytes_per_token =
      static_cast<double>(trained.bytes) / static_cast<double>(trained.tokens);
  if (options.json) {
    fmt::print("{}\n", to_text({{"directory", options.output},
                                {"vocab_size", trained.vocab_size},
                                {"texts", trained.texts},
                                {"words", trained.words},
                                {"bytes", trained.bytes},
                                {"tokens", trained.tokens},
                                {"bytes_per_token", bytes_per_token}}));
    return;
  }
  fmt::print("{}: {} tokens, from {} with {} different words\n", options.output, trained.vocab_size,
             human_bytes(static_cast<uint64_t>(trained.bytes)), trained.words);
  fmt::print("the corpus is {} tokens with it: {:.3f} bytes per token\n", trained.tokens,
             bytes_per_token);
}

absl::Status train(Options& options) {
  if (options.type == "sentencepiece") return train_sentencepiece(options);
  std::optional<Progress> progress;
  std::string shown;
  options.training.progress = [&](std::string_view what, uint64_t done, uint64_t total) {
    if (shown != what) progress.emplace(shown = what);
    if (what == "merges") {
      progress->show_items(done, total);
    } else {
      progress->show(done, total);
    }
  };
  BRISK_ASSIGN_OR_RETURN(const TrainedTokenizer trained, train_tokenizer(options.training));
  progress.reset();
  BRISK_RETURN_IF_ERROR(make_directory(options.output));
  BRISK_RETURN_IF_ERROR(
      write_file_atomically(options.output + "/tokenizer.json", trained.tokenizer_json));
  BRISK_RETURN_IF_ERROR(
      write_file_atomically(options.output + "/tokenizer_config.json", trained.tokenizer_config));
  print_report(options, trained);
  return absl::OkStatus();
}

}  // namespace

CommandAction add_tokenizer(CLI::App& app) {
  app.require_subcommand(1);
  app.footer(
      "brisk tokenizer train train.jsonl book.txt --vocab-size 2048 -o my-tokenizer\n"
      "brisk tokenize my-tokenizer \"Once upon a time\"");
  auto options = std::make_shared<Options>();
  CLI::App* training = app.add_subcommand(
      "train", "Learns a vocabulary, and writes tokenizer.json and tokenizer_config.json");
  training
      ->add_option("corpus", options->training.corpora,
                   "Files to learn from: a .jsonl of texts (\"text\") and conversations "
                   "(\"messages\"), or plain text")
      ->required();
  training->add_option("-o,--output", options->output, "Directory that gets the files")->required();
  training
      ->add_option("--vocab-size", options->training.vocab_size,
                   "Tokens in all, with the 256 bytes and the special tokens")
      ->capture_default_str();
  training
      ->add_option("--special", options->training.special,
                   "Special tokens, which get the last ids; \"<|im_end|>\" or else the first of "
                   "them ends an answer")
      ->delimiter(',')
      ->capture_default_str();
  training
      ->add_option("--min-count", options->training.count_min,
                   "How often a pair of tokens must occur to become one")
      ->check(CLI::Range(1, 1 << 30))
      ->capture_default_str();
  training
      ->add_option("--type", options->type,
                   "bpe: byte-level, as in GPT and Qwen; sentencepiece: runs spm_train, which must "
                   "be installed")
      ->check(CLI::IsMember({"bpe", "sentencepiece"}))
      ->capture_default_str();
  training->add_flag("--json", options->json, "Print a JSON object");
  return [options] { return train(*options); };
}

}  // namespace brisk
