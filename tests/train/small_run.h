// A directory for a test, with a tokenizer of some hundred tokens and texts to learn.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/json.h"
#include "base/rng.h"
#include "compute/sys/mapped_file.h"
#include "model/convert/hf_tokenizer.h"
#include "model/tokenizer/byte_alphabet.h"
#include "tests/support/decoder_harness.h"
#include "train/corpus.h"
#include "train/export.h"
#include "train/llama.h"
#include "train/trainer.h"

namespace brisk::train {

// Removed with everything in it at the end.
class TestDirectory {
 public:
  explicit TestDirectory(const std::string& name)
      : path_(std::filesystem::temp_directory_path() /
              ("brisk-train-" + name + "-" + std::to_string(::getpid()))) {
    std::filesystem::remove_all(path_);
    std::filesystem::create_directories(path_);
  }
  ~TestDirectory() {
    std::error_code error;
    std::filesystem::remove_all(path_, error);
  }

  std::string operator/(const std::string& name) const { return (path_ / name).string(); }

  std::string write(const std::string& name, const std::string& contents) const {
    EXPECT_TRUE(write_file_atomically(*this / name, contents).ok());
    return *this / name;
  }

 private:
  std::filesystem::path path_;
};

// Bytes, and the control tokens of ChatML; 260 tokens.
inline TokenizerData byte_tokenizer() {
  TokenizerData data;
  data.kind = TokenizerKind::kByteLevelBpe;
  data.pre_tokenizer = "gpt-2";
  for (const char* control : {"<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|pad|>"}) {
    data.tokens.emplace_back(control);
    data.types.push_back(TokenType::kControl);
  }
  for (int byte = 0; byte < 256; ++byte) {
    data.tokens.emplace_back(1, static_cast<char>(byte));
    data.types.push_back(TokenType::kNormal);
  }
  data.rules.eos = 0;
  return data;
}

// Writes tokenizer.json and what goes with it into `directory`.
inline std::string write_byte_tokenizer(const TestDirectory& directory) {
  Checkpoint source;
  source.tokenizer = byte_tokenizer();
  const std::string out = directory / "tokenizer";
  std::filesystem::create_directories(out);
  EXPECT_TRUE(write_hf_tokenizer("", out, source).ok());
  return out;
}

// Sums of two digits, as conversations: something a tiny model can learn.
inline std::string sums_jsonl(int count, uint64_t seed) {
  Rng rng(seed);
  std::string lines;
  for (int i = 0; i < count; ++i) {
    const auto a = static_cast<int>(rng.next_below(5)), b = static_cast<int>(rng.next_below(5));
    const Json line = {
        {"messages",
         {{{"role", "user"}, {"content", std::to_string(a) + "+" + std::to_string(b)}},
          {{"role", "assistant"}, {"content", std::to_string(a + b)}}}}};
    lines += line.dump() + "\n";
  }
  return lines;
}

inline DecoderShape tiny_shape() {
  DecoderShape shape;
  shape.vocab = 260;
  shape.dim = 64;
  shape.layers = 2;
  shape.heads = 4;
  shape.kv_heads = 2;
  shape.ffn = 96;
  shape.context = 64;
  EXPECT_TRUE(complete(shape).ok());
  return shape;
}

// One sequence of one document.
inline Batch one_document(const std::vector<int32_t>& tokens) {
  Batch batch;
  batch.sequences = 1;
  batch.length = static_cast<int64_t>(tokens.size());
  batch.tokens = tokens;
  batch.starts.assign(tokens.size(), 0);
  for (size_t i = 0; i < tokens.size(); ++i) {
    batch.positions.push_back(static_cast<int32_t>(i));
    batch.targets.push_back(i + 1 < tokens.size() ? tokens[i + 1] : -1);
  }
  return batch;
}

inline std::vector<int32_t> random_tokens(int count, uint64_t seed) {
  Rng rng(seed);
  std::vector<int32_t> tokens;
  for (int i = 0; i < count; ++i) tokens.push_back(static_cast<int32_t>(rng.next_below(260)));
  return tokens;
}

inline std::vector<float> trainer_logits(LlamaModel& model, const std::vector<int32_t>& tokens) {
  const at::Tensor logits = model.logits(model.input_of(one_document(tokens)));
  return {logits.data_ptr<float>(), logits.data_ptr<float>() + logits.numel()};
}

inline std::vector<float> engine_logits(const std::string& path, const std::vector<int32_t>& tokens,
                                        const std::string& adapter = "") {
  const auto model = load_model(path, {.tokenizer_path = "", .threads = 1});
  EXPECT_TRUE(model.ok()) << model.status();
  DecoderHarness harness(**model, {.rows_max = 64});
  std::shared_ptr<const LoraAdapter> lora;
  if (!adapter.empty()) {
    lora = load_lora(adapter, **model).value();
    harness.adapt(lora.get());
  }
  return harness.feed(tokens);
}

inline float largest_difference(const std::vector<float>& a, const std::vector<float>& b) {
  EXPECT_EQ(a.size(), b.size());
  float largest = 0;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    largest = std::max(largest, std::abs(a[i] - b[i]));
  }
  return largest;
}

// Everything a training in the test's own process needs.
struct SmallTraining {
  RunTokenizer tokenizer;
  std::unique_ptr<Corpus> corpus;
  std::unique_ptr<PackedStream> stream;
  NextToken objective;

  explicit SmallTraining(const TestDirectory& directory) {
    tokenizer = open_tokenizer(write_byte_tokenizer(directory), "").value();
    const std::string data = directory.write("sums.jsonl", sums_jsonl(300, 1));
    const auto chat = ChatTemplate::parse(tokenizer.chat_template).value();
    corpus = std::make_unique<Corpus>(
        Corpus::read({{.path = data}}, {.tokenizer = tokenizer.tokenizer.get(),
                                        .chat_template = chat.get(),
                                        .learn_prompts = false,
                                        .on_progress = nullptr})
            .value());
    stream = std::make_unique<PackedStream>(*corpus, PackingOptions{.length = 64, .seed = 3});
  }

  // Trains `model` for some steps and returns what came of it.
  TrainResult train(LlamaModel& model, Objective& towards, int64_t steps, const std::string& run) {
    TrainSettings settings;
    settings.optimizer.steps = steps;
    settings.optimizer.warmup_steps = 5;
    settings.optimizer.learning_rate = 3e-3;
    settings.batch = 8;
    settings.micro_batch = 4;
    std::filesystem::create_directories(run);
    stream->seek({});
    Trainer trainer({.model = &model,
                     .objective = &towards,
                     .stream = stream.get(),
                     .validation = nullptr,
                     .run = run,
                     .settings = Json::object()},
                    settings);
    const auto result = trainer.run(nullptr);
    EXPECT_TRUE(result.ok()) << result.status();
    return result.value_or(TrainResult{});
  }
};

}  // namespace brisk::train
