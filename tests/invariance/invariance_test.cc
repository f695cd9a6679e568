// The numerics contract (DESIGN 3): what a request gets, token by token and log-probability by
// log-probability, bit by bit, does not depend on who shares its steps, how its prompt was cut,
// whether its prefix was cached, whether it was preempted, or how many threads there are.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/rng.h"
#include "compute/kernels/cpu/dispatch.h"
#include "engine/engine.h"
#include "model/model.h"
#include "tests/invariance/answers.h"
#include "tests/support/factored_checkpoint.h"

namespace brisk {
namespace {

const char* const kCheckpoints[] = {"llama3/hf",
                                    "mistral/model.gguf",
                                    "mixtral/hf",
                                    "gemma3/model.gguf",
                                    "qwen2moe/hf",
                                    "gpt2/hf",
                                    "blocks-q4_k/model.gguf",
                                    "llama2-bf16/hf",
                                    "blocks-q4_0/model.gguf",
                                    "blocks-q8_0/model.gguf",
                                    "blocks-q6_k/model.gguf",
                                    "blocks-q5_k/model.gguf",
                                    "blocks-q4_1/model.gguf",
                                    "blocks-q2_k/model.gguf",
                                    "gptq-int4-shuffled/hf",
                                    "awq-int4/hf",
                                    "llama3/hf in factors",
                                    "llama2-bf16/hf in factors",
                                    "phi3-window/hf in factors",
                                    "qwen2moe/hf in factors",
                                    "gpt2/hf in factors",
                                    "blocks-q4_0/model.gguf in factors",
                                    "gptq-int4-shuffled/hf in factors"};

constexpr std::string_view kInFactors = " in factors";

std::vector<Request> make_requests(const Model& model) {
  const int lengths[] = {1, 5, 16, 17, 33, 70, 40, 40};
  Rng rng(11);
  std::vector<Request> requests;
  std::vector<int32_t> shared;
  for (int i = 0; i < 48; ++i) {
    shared.push_back(
        static_cast<int32_t>(rng.next_below(static_cast<uint64_t>(model.spec.vocab_size))));
  }
  for (size_t i = 0; i < std::size(lengths); ++i) {
    Request request;
    // The last ones begin alike, so that prefixes can be shared.
    for (int t = 0; t < lengths[i]; ++t) {
      const auto random =
          static_cast<int32_t>(rng.next_below(static_cast<uint64_t>(model.spec.vocab_size)));
      request.prompt.push_back(i >= 5 && t < 36 ? shared[static_cast<size_t>(t)] : random);
    }
    request.max_tokens = 12 + static_cast<int>(i);
    request.ignore_eos = true;
    request.sampling.temperature = i % 2 == 0 ? 0 : 0.9;
    request.sampling.top_k = i % 3 == 0 ? 0 : 20;
    request.sampling.repetition_penalty = i == 3 ? 1.3 : 1;
    request.sampling.seed = 100 + i;
    request.sampling.logprobs = 3;
    request.choices = i == 6 ? 3 : 1;
    requests.push_back(std::move(request));
  }
  return requests;
}

EngineOptions small_engine() {
  EngineOptions options;
  options.threads = 1;
  options.tokens_per_step_max = 512;
  options.kv_tokens = 4096;
  options.prefix_cache = false;
  return options;
}

// All requests at once through one engine.
std::vector<Answers> run_together(const std::shared_ptr<const Model>& model,
                                  const EngineOptions& options,
                                  const std::vector<Request>& requests,
                                  EngineStats* stats = nullptr) {
  const auto engine = Engine::create(model, options).value();
  std::vector<std::shared_ptr<Generation>> generations;
  for (const Request& request : requests) generations.push_back(engine->submit(request).value());
  std::vector<Answers> answers;
  for (size_t i = 0; i < requests.size(); ++i) {
    answers.push_back(collect(*generations[i], requests[i].choices));
  }
  engine->drain(10);
  if (stats != nullptr) *stats = engine->stats();
  return answers;
}

class Invariance : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    model_ = load(nullptr);
    for (Request& request : make_requests(*model_)) {
      const auto length = static_cast<int>(request.prompt.size()) + request.max_tokens;
      if (length <= model_->spec.context_length) requests_.push_back(std::move(request));
    }
    ASSERT_GE(requests_.size(), 5u);
    alone_ = each_alone(model_);
  }

  // The tiny checkpoints declare short contexts; rotations go further (learned positions do not).
  static std::shared_ptr<const Model> load(const KernelTable* kernels,
                                           SparseChoice sparse = SparseChoice::kWhereFaster) {
    std::string path = std::string(BRISK_BINARY_DIR "/reference/") + GetParam();
    const bool in_factors = path.ends_with(kInFactors);
    if (in_factors) path.resize(path.size() - kInFactors.size());
    auto checkpoint = open_checkpoint(path).value();
    if (in_factors) checkpoint = FactoredCheckpoint::from(checkpoint);
    LoadOptions options;
    options.kernels = kernels;
    options.sparse = sparse;
    auto model = make_model(checkpoint, path, options).value();
    EXPECT_EQ(model->spec.rank_max > 0, in_factors);
    if (model->spec.learned_positions) return model;
    options.context_max = 160;
    return make_model(checkpoint, path, options).value();
  }

  std::vector<Answers> each_alone(const std::shared_ptr<const Model>& model) const {
    std::vector<Answers> alone;
    for (const Request& request : requests_) {
      alone.push_back(run_together(model, small_engine(), {request}).front());
    }
    return alone;
  }

  std::shared_ptr<const Model> model_;
  std::vector<Request> requests_;
  std::vector<Answers> alone_;  // each in an engine of its own, one thread, whole prompts, no cache
};

TEST_P(Invariance, BatchedAndChunkedEqualsAlone) {
  for (const int budget : {1, 7, 16, 50, 512}) {
    for (const int threads : {1, 2, 3, 4}) {
      EngineOptions options = small_engine();
      options.tokens_per_step_max = budget;
      options.threads = threads;
      EXPECT_EQ(run_together(model_, options, requests_), alone_)
          << "budget " << budget << ", threads " << threads;
    }
  }
}

TEST_P(Invariance, FortySequencesInAStepEqualOne) {
  for (const size_t sequences : {size_t{13}, size_t{40}}) {
    std::vector<Request> many;
    std::vector<Answers> expected;
    for (size_t i = 0; i < sequences; ++i) {
      many.push_back(requests_[i % requests_.size()]);
      expected.push_back(alone_[i % requests_.size()]);
    }
    EngineOptions options = small_engine();
    options.kv_tokens = 16384;
    options.threads = 2;
    EXPECT_EQ(run_together(model_, options, many), expected) << sequences << " sequences";
  }
}

TEST_P(Invariance, PrefixHitsEqualMisses) {
  EngineOptions options = small_engine();
  options.prefix_cache = true;
  options.tokens_per_step_max = 24;
  std::vector<Request> twice = requests_;
  twice.insert(twice.end(), requests_.begin(), requests_.end());
  std::vector<Answers> expected = alone_;
  expected.insert(expected.end(), alone_.begin(), alone_.end());
  options.sequences_max = 2;  // so that later requests find what earlier ones left
  EngineStats stats;
  EXPECT_EQ(run_together(model_, options, twice, &stats), expected);
  EXPECT_GT(stats.prefix_hit_tokens, 0);
}

TEST_P(Invariance, PreemptedEqualsUndisturbed) {
  EngineOptions options = small_engine();
  options.kv_tokens = 7 * 16;  // one long sequence and little more
  options.tokens_per_step_max = 32;
  EngineStats stats;
  EXPECT_EQ(run_together(model_, options, requests_, &stats), alone_);
  EXPECT_GT(stats.preemptions, 0);
  EXPECT_EQ(stats.kv_blocks_used, 0);
}

TEST_P(Invariance, EveryInstructionSetGivesTheSame) {
  const std::vector<Answers> expected = each_alone(load(&kKernelsScalar));
  for (const KernelTable* kernels : usable_kernels()) {
    if (kernels->tiles != nullptr) continue;  // numerics of their own
    EXPECT_EQ(run_together(load(kernels), small_engine(), requests_), expected) << kernels->name;
  }
}

// Whatever is zero or not: in sparse panels a weight is the same weight.
TEST_P(Invariance, SparseEqualsDense) {
  std::vector<Answers> expected;  // of any instruction set: they agree
  for (const KernelTable* kernels : usable_kernels()) {
    if (kernels->sparse == nullptr) continue;
    const auto model = load(kernels, SparseChoice::kAlways);
    const LayerWeights& layer = model->weights.layers.front();
    if (!layer.q.weight.sparse.has_value()) GTEST_SKIP() << "no zeros of their own";
    if (expected.empty()) expected = each_alone(load(kernels, SparseChoice::kNever));
    for (const int budget : {7, 512}) {
      EngineOptions options = small_engine();
      options.tokens_per_step_max = budget;
      options.threads = 2;
      EXPECT_EQ(run_together(model, options, requests_), expected)
          << kernels->name << ", budget " << budget;
    }
  }
}

TEST_P(Invariance, TilesKeepTheContractToo) {
  const auto emulated = choose_kernels("amx-emulated");
  if (!emulated.ok()) GTEST_SKIP() << emulated.status();
  const std::shared_ptr<const Model> model = load(*emulated);
  const auto own = choose_kernels("amx");
  // Attention is in tiles over some caches.
  for (const KvDType dtype : {KvDType::kAuto, KvDType::kBF16, KvDType::kInt8}) {
    EngineOptions options = small_engine();
    options.kv_dtype = dtype;
    std::vector<Answers> alone;
    for (const Request& request : requests_) {
      alone.push_back(run_together(model, options, {request}).front());
    }
    for (const int budget : {7, 50, 512}) {
      options.tokens_per_step_max = budget;
      options.threads = 2;
      EXPECT_EQ(run_together(model, options, requests_), alone) << budget;
    }
    if (own.ok()) {
      EXPECT_EQ(run_together(load(*own), options, requests_), alone);
    }
  }
}

TEST_P(Invariance, SixteenBitCachesKeepTheContractToo) {
  for (const KvDType dtype :
       {KvDType::kF16, KvDType::kBF16, KvDType::kInt8, KvDType::kFp8, KvDType::kInt4}) {
    EngineOptions options = small_engine();
    options.kv_dtype = dtype;
    std::vector<Answers> alone;
    for (const Request& request : requests_) {
      alone.push_back(run_together(model_, options, {request}).front());
    }
    options.tokens_per_step_max = 11;
    options.threads = 2;
    options.prefix_cache = true;
    EXPECT_EQ(run_together(model_, options, requests_), alone);
  }
}

// Prompts of 64 tokens and more are stored; a second engine, as after a restart, finds them.
TEST_P(Invariance, PrefixesFromTheDiskEqualComputedOnes) {
  for (const KvDType dtype : {KvDType::kAuto, KvDType::kBF16, KvDType::kInt8, KvDType::kInt4}) {
    const std::string directory =
        fmt::format("{}brisk_invariance_store_{}", testing::TempDir(), ::getpid());
    std::filesystem::remove_all(directory);
    EngineOptions options = small_engine();
    options.kv_dtype = dtype;
    const std::vector<Answers> computed = run_together(model_, options, requests_);
    options.prefix_cache = true;
    options.store_directory = directory;
    options.tokens_per_step_max = 16;
    options.threads = 2;
    EXPECT_EQ(run_together(model_, options, requests_), computed);
    EngineStats stats;
    EXPECT_EQ(run_together(model_, options, requests_, &stats), computed);
    const bool has_long = std::ranges::any_of(
        requests_, [](const Request& request) { return request.prompt.size() >= 64; });
    EXPECT_EQ(stats.restored_tokens > 0, has_long);
    std::filesystem::remove_all(directory);
  }
}

TEST_P(Invariance, PoliciesAndPausesChangeNothing) {
  for (const BatchPolicy policy :
       {BatchPolicy::kSplitFuse, BatchPolicy::kIteration, BatchPolicy::kStatic}) {
    EngineOptions options = small_engine();
    options.policy = policy;
    options.stretch_percent = 110;
    options.tokens_per_step_max = 64;
    options.unread_events_max = 3;  // the answers are read one after the other
    options.prefix_cache = true;
    EXPECT_EQ(run_together(model_, options, requests_), alone_) << static_cast<int>(policy);
  }
}

INSTANTIATE_TEST_SUITE_P(Models, Invariance, testing::ValuesIn(kCheckpoints), [](const auto& row) {
  const std::string name = row.param;
  std::string plain;
  for (const char c : name) {
    plain += std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
  }
  return plain;
});

}  // namespace
}  // namespace brisk
