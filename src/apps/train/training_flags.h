// The options that every kind of training shares, and what is done with them.
#pragma once

#include <absl/status/statusor.h>

#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "train/corpus.h"
#include "train/export.h"
#include "train/llama.h"
#include "train/trainer.h"

namespace brisk {

struct TrainingFlags {
  std::vector<std::string> data;
  std::string validation;
  std::string tokenizer;
  std::string chat_template;
  std::string out;
  std::string precision = "auto";
  std::string export_as = "bf16";
  int64_t context = 256;
  uint64_t seed = 1;
  int threads = 0;
  bool resume = false;
  bool learn_prompts = false;
  bool json = false;
  train::TrainSettings train;
};

// Of whatever reads a corpus: the data, how it is read, and how it becomes sequences.
void add_data_flags(CLI::App& app, TrainingFlags& flags);
// Those, and of everything that trains.
void add_training_flags(CLI::App& app, TrainingFlags& flags);

// Errors: InvalidArgument for other names.
absl::StatusOr<train::ComputeType> parse_precision(const std::string& precision);

// Corpora in memory and streams over them. Made by prepare(); not moved afterwards.
struct TrainingData {
  std::unique_ptr<train::Corpus> corpus, validation_corpus;
  std::unique_ptr<train::PackedStream> stream, validation;
};

// Reads and tokenises, with progress. Sets the number of threads. Errors: InvalidArgument for
// corpora too small to fill one sequence.
absl::StatusOr<TrainingData> prepare(const TrainingFlags& flags,
                                     const train::RunTokenizer& tokenizer);

// What a run does, once its parts are there.
struct TrainingRun {
  std::string kind;  // "pretrain"
  train::LlamaModel* model = nullptr;
  train::Objective* objective = nullptr;
  const train::RunTokenizer* tokenizer = nullptr;
  TrainingData* data = nullptr;
  Json settings = Json::object();  // of this kind, that a resumed run must share
  // Writes what comes of it; null: export_model into OUT/model.
  std::function<absl::StatusOr<std::string>()> finish;
};

// Trains, shows how far it is, exports, and reports.
absl::Status train_and_export(const TrainingFlags& flags, const TrainingRun& run);

}  // namespace brisk
