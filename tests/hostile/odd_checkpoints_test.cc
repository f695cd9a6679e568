// Checkpoints that are whole, but whose parts do not fit each other. Each test is a bug that was.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "compress/evaluate/quality.h"
#include "compute/sys/mapped_file.h"
#include "engine/engine.h"
#include "model/pack_weights.h"
#include "tests/support/factored_checkpoint.h"
#include "tests/support/read_small_checkpoint.h"
#include "tests/support/use_checkpoint.h"

namespace brisk {
namespace {

using ::testing::HasSubstr;

// A seed of the fuzzers and the bytes it lies in.
struct Opened {
  std::string bytes;
  std::shared_ptr<Checkpoint> checkpoint;
};

Opened open_seed(const std::string& name) {
  Opened opened;
  opened.bytes = read_file(BRISK_SOURCE_DIR "/fuzz/corpus/gguf/" + name, 1 << 20).value();
  opened.checkpoint = read_gguf_bytes(std::as_bytes(std::span(opened.bytes))).value();
  return opened;
}

EngineOptions small_engine() {
  EngineOptions options;
  options.threads = 1;
  options.sequences_max = 2;
  return options;
}

TEST(OddCheckpoints, EndTokensBeyondTheVocabularyAreNeverBanned) {
  const Opened seed = open_seed("llama");
  seed.checkpoint->config.eos_tokens = {2, 5, 1 << 30, -7};
  seed.checkpoint->tokenizer = {};
  const auto model = make_model(seed.checkpoint, "odd");
  ASSERT_TRUE(model.ok()) << model.status();
  const auto engine = Engine::create(*model, small_engine());
  ASSERT_TRUE(engine.ok()) << engine.status();
  Request request;
  request.prompt = {1, 3};
  request.max_tokens = 6;
  request.min_tokens = 6;
  const auto generation = (*engine)->submit(request);
  ASSERT_TRUE(generation.ok()) << generation.status();
  int tokens = 0;
  while (!(*generation)->done()) {
    for (const TokenEvent& event : (*generation)->wait_and_take()) {
      tokens += event.token >= 0 ? 1 : 0;
      EXPECT_NE(event.token, 2) << "banned until min_tokens are there";
    }
  }
  EXPECT_EQ(tokens, 6);
}

TEST(OddCheckpoints, TokenizersLargerThanTheModelAreNotRead) {
  const Opened seed = open_seed("llama");
  TokenizerData& tokenizer = seed.checkpoint->tokenizer;
  tokenizer.tokens.emplace_back("b");
  tokenizer.scores.push_back(-1);
  tokenizer.types.push_back(TokenType::kNormal);
  const auto model = make_model(seed.checkpoint, "odd");
  ASSERT_TRUE(model.ok()) << model.status();
  const auto report = measure_quality(**model, nullptr, {"a b a b"}, {});
  ASSERT_FALSE(report.ok());
  EXPECT_THAT(std::string(message_of(report.status())), HasSubstr("another model"));
}

TEST(OddCheckpoints, AContextOfOneBlockRuns) {
  const Opened seed = open_seed("llama");
  const auto model = make_model(seed.checkpoint, "odd", {.tokenizer_path = "", .context_max = 5});
  ASSERT_TRUE(model.ok()) << model.status();
  EngineOptions options = small_engine();
  options.sequences_max = 1;
  const auto engine = Engine::create(*model, options);
  ASSERT_TRUE(engine.ok()) << engine.status();
  Request request;
  request.prompt = {1, 3};
  request.max_tokens = 100;
  request.choices = 2;
  request.ignore_eos = true;
  const auto generation = (*engine)->submit(request);
  ASSERT_TRUE(generation.ok()) << generation.status();
  int tokens = 0;
  while (!(*generation)->done()) {
    for (const TokenEvent& event : (*generation)->wait_and_take()) tokens += event.token >= 0;
  }
  EXPECT_EQ(tokens, 6) << "two choices of three tokens each";
}

TEST(OddCheckpoints, LongRopeNeedsAnOriginalContextOfTwoTokens) {
  const Opened seed = open_seed("phi3");
  seed.checkpoint->config.rope_scaling.original_context_length = 1;
  const auto model = make_model(seed.checkpoint, "odd");
  ASSERT_FALSE(model.ok());
  EXPECT_THAT(std::string(message_of(model.status())), HasSubstr("original context"));
}

// Letting go of a file's pages empties memory that is none.
TEST(OddCheckpoints, PackingLeavesMemoryThatIsNoFileAlone) {
  std::vector<std::byte> bytes(size_t{256} * 8 * 34, std::byte{1});
  Weights weights;
  weights.head.weight.dtype = DType::kQ8_0;
  weights.head.weight.shape = {256, 256};
  weights.head.weight.data = bytes;
  ASSERT_TRUE(pack_weights(kKernelsScalar, {.threads = 1, .is_file = false}, &weights).ok());
  EXPECT_TRUE(weights.packed.has_value());
  EXPECT_EQ(std::count(bytes.begin(), bytes.end(), std::byte{1}), std::ssize(bytes));
}

// Nothing in the file is as large as a configuration may claim.
TEST(OddCheckpoints, TakeNoMemoryForAnMlpThatNoLayerHas) {
  const Opened seed = open_seed("mixtral");
  const auto honest = make_model(seed.checkpoint, "odd");
  ASSERT_TRUE(honest.ok()) << honest.status();
  ModelSpec spec = (*honest)->spec;
  const int64_t bytes = step_memory_bytes(spec, {}, 1);
  spec.ffn_size = 1 << 22;
  EXPECT_EQ(step_memory_bytes(spec, {}, 1), bytes);
}

TEST(OddCheckpoints, StepsThatNoMachineCanHoldAreRefused) {
  ModelSpec spec;
  spec.hidden_size = 1;
  spec.heads = spec.kv_heads = spec.head_dim = 4096;
  spec.vocab_size = 1 << 24;
  spec.layers.resize(1);
  const absl::Status status = check_step_memory(spec, {.rows_max = 1 << 20}, 1);
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_THAT(std::string(message_of(status)), HasSubstr("working memory"));
}

// `change` adds to a checkpoint that has no blk.0.attn_q.weight, of (out, in); what is said then.
std::string said_of_factors(
    const std::function<void(FactoredCheckpoint&, int64_t out, int64_t in)>& change) {
  const Opened seed = open_seed("llama");
  auto odd = std::make_shared<FactoredCheckpoint>();
  odd->config = seed.checkpoint->config;
  const Tensor* whole = seed.checkpoint->find("blk.0.attn_q.weight");
  for (const NamedTensor& named : seed.checkpoint->tensors) {
    if (&named.tensor != whole) odd->put(named.name, named.tensor);
  }
  change(*odd, whole->shape[0], whole->shape[1]);
  const auto model = make_model(odd, "odd");
  return model.ok() ? "" : std::string(message_of(model.status()));
}

TEST(OddCheckpoints, FactorsThatDoNotFitAreRefusedByName) {
  const std::string a = "blk.0.attn_q.low_rank_a.weight", b = "blk.0.attn_q.low_rank_b.weight";
  const auto said = [&](int64_t rank_a, int64_t rank_b) {
    return said_of_factors([&](FactoredCheckpoint& odd, int64_t out, int64_t in) {
      odd.put(a, odd.matrix(DType::kF32, rank_a, in));
      odd.put(b, odd.matrix(DType::kF32, out, rank_b));
    });
  };
  EXPECT_EQ(said(1, 1), "");
  EXPECT_EQ(said(2, 2), "");
  EXPECT_THAT(said(2, 3), HasSubstr(b));
  EXPECT_THAT(said(0, 0), HasSubstr(a));
  EXPECT_THAT(said(1 << 16, 1 << 16), HasSubstr("rank"));
  EXPECT_THAT(said_of_factors([&](FactoredCheckpoint& odd, int64_t, int64_t in) {
                odd.put(a, odd.matrix(DType::kF32, 2, in));
              }),
              HasSubstr("without its other factor, " + b));
  EXPECT_THAT(said_of_factors([&](FactoredCheckpoint& odd, int64_t out, int64_t) {
                odd.put(b, odd.matrix(DType::kF32, out, 2));
              }),
              HasSubstr("without its other factor, " + a));
  EXPECT_THAT(said_of_factors([&](FactoredCheckpoint& odd, int64_t out, int64_t in) {
                odd.put(a, odd.matrix(DType::kF32, 2, in));
                odd.put(b, odd.matrix(DType::kF32, out, 2));
                odd.put("blk.0.attn_q.weight", odd.matrix(DType::kF32, out, in));
              }),
              HasSubstr("which is meant?"));
  EXPECT_THAT(said_of_factors([&](FactoredCheckpoint& odd, int64_t out, int64_t in) {
                Tensor vector = odd.matrix(DType::kF32, 2, in);
                vector.shape = {2 * in};
                odd.put(a, vector);
                odd.put(b, odd.matrix(DType::kF32, out, 2));
              }),
              HasSubstr("expected (rank, "));
}

}  // namespace
}  // namespace brisk
