// The numerics contract with adapters: what a request gets depends on its prompt and its adapter,
// never on who shares its steps under which other adapter, or under none.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/rng.h"
#include "compute/kernels/cpu/dispatch.h"
#include "engine/engine.h"
#include "model/model.h"
#include "tests/invariance/answers.h"
#include "tests/support/tiny_adapter.h"

namespace brisk {
namespace {

namespace fs = std::filesystem;

const char* const kCheckpoints[] = {
    "llama3/hf",         "llama2-bf16/hf",         "qwen2/model.gguf",
    "gemma3/model.gguf", "blocks-q4_k/model.gguf", "blocks-q8_0/model.gguf"};

// Different ranks, formats and modules, so that rows of a step need different work.
const TinyAdapter kAdapters[] = {
    {.rank = 1, .seed = 1, .modules = {"self_attn.q_proj", "self_attn.v_proj"}},
    {.rank = 16, .seed = 2, .dtype = DType::kBF16},
    {.rank = 35, .seed = 3, .dtype = DType::kF16},
    {.rank = 8, .seed = 4, .modules = {"self_attn.o_proj", "mlp.up_proj", "mlp.down_proj"}},
};

// The adapter's place in kAdapters; -1: none.
struct Job {
  Request request;
  int adapter = -1;
};

class AdapterInvariance : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    model_ = load(nullptr);
    directory_ = fs::path(testing::TempDir()) / ("lora-" + std::to_string(::getpid()));
    for (size_t i = 0; i < std::size(kAdapters); ++i) {
      write_tiny_adapter(path_of(static_cast<int>(i)), model_->spec, kAdapters[i]);
    }
    make_jobs();
    for (const Job& job : jobs_) alone_.push_back(run(model_, small_engine(), {job}).front());
  }
  void TearDown() override { fs::remove_all(directory_); }

  static std::shared_ptr<const Model> load(const KernelTable* kernels) {
    const std::string path = std::string(BRISK_BINARY_DIR "/reference/") + GetParam();
    LoadOptions options;
    options.context_max = 160;
    options.kernels = kernels;
    return load_model(path, options).value();
  }

  static EngineOptions small_engine() {
    EngineOptions options;
    options.threads = 1;
    options.kv_tokens = 4096;
    options.prefix_cache = false;
    return options;
  }

  fs::path path_of(int adapter) const { return directory_ / std::to_string(adapter); }

  // Prompts that begin alike, under every adapter and none.
  void make_jobs() {
    Rng rng(5);
    const auto vocab = static_cast<uint64_t>(model_->spec.vocab_size);
    std::vector<int32_t> shared(36);
    for (int32_t& token : shared) token = static_cast<int32_t>(rng.next_below(vocab));
    const int lengths[] = {1, 5, 40, 17, 33, 40, 40, 40, 40, 70};
    for (size_t i = 0; i < std::size(lengths); ++i) {
      Job& job = jobs_.emplace_back();
      job.adapter = static_cast<int>(i % 5) - 1;
      for (int t = 0; t < lengths[i]; ++t) {
        const auto own = static_cast<int32_t>(rng.next_below(vocab));
        const bool shares = lengths[i] == 40 && t < 36;
        job.request.prompt.push_back(shares ? shared[static_cast<size_t>(t)] : own);
      }
      job.request.max_tokens = 10;
      job.request.ignore_eos = true;
      job.request.sampling.temperature = i % 2 == 0 ? 0 : 0.9;
      job.request.sampling.seed = 100 + i;
      job.request.sampling.logprobs = 3;
      job.request.choices = i == 6 ? 3 : 1;
    }
  }

  // All at once through one engine, which loads the adapters that are named.
  std::vector<Answers> run(const std::shared_ptr<const Model>& model, const EngineOptions& options,
                           const std::vector<Job>& jobs, EngineStats* stats = nullptr) const {
    const auto engine = Engine::create(model, options).value();
    std::vector<std::shared_ptr<Generation>> generations;
    for (const Job& job : jobs) {
      Request request = job.request;
      const std::string name = std::to_string(job.adapter);
      if (job.adapter >= 0) {
        request.adapter = engine->adapters().find(name);
        if (request.adapter == nullptr) {
          request.adapter = engine->adapters().load(name, path_of(job.adapter)).value();
        }
      }
      generations.push_back(engine->submit(request).value());
    }
    std::vector<Answers> answers;
    for (size_t i = 0; i < jobs.size(); ++i) {
      answers.push_back(collect(*generations[i], jobs[i].request.choices));
    }
    engine->drain(10);
    if (stats != nullptr) *stats = engine->stats();
    return answers;
  }

  std::shared_ptr<const Model> model_;
  fs::path directory_;
  std::vector<Job> jobs_;
  std::vector<Answers> alone_;  // each in an engine of its own, one thread, whole prompts, no cache
};

TEST_P(AdapterInvariance, BatchedAndChunkedEqualsAlone) {
  for (const int budget : {1, 7, 50, 512}) {
    for (const int threads : {1, 2, 3}) {
      EngineOptions options = small_engine();
      options.tokens_per_step_max = budget;
      options.threads = threads;
      EXPECT_EQ(run(model_, options, jobs_), alone_)
          << "budget " << budget << ", threads " << threads;
    }
  }
}

TEST_P(AdapterInvariance, ManySequencesInAStepEqualOne) {
  std::vector<Job> many;
  std::vector<Answers> expected;
  for (size_t i = 0; i < 40; ++i) {
    many.push_back(jobs_[i * 7 % jobs_.size()]);
    expected.push_back(alone_[i * 7 % jobs_.size()]);
  }
  EngineOptions options = small_engine();
  options.kv_tokens = 16384;
  options.threads = 2;
  EXPECT_EQ(run(model_, options, many), expected);
}

TEST_P(AdapterInvariance, PrefixHitsAndPreemptionsEqualNeither) {
  std::vector<Job> twice = jobs_;
  twice.insert(twice.end(), jobs_.begin(), jobs_.end());
  std::vector<Answers> expected = alone_;
  expected.insert(expected.end(), alone_.begin(), alone_.end());
  EngineOptions options = small_engine();
  options.prefix_cache = true;
  options.tokens_per_step_max = 24;
  options.sequences_max = 2;
  EngineStats stats;
  EXPECT_EQ(run(model_, options, twice, &stats), expected);
  EXPECT_GT(stats.prefix_hit_tokens, 0);
  options = small_engine();
  options.kv_tokens = 7 * 16;
  options.tokens_per_step_max = 32;
  EXPECT_EQ(run(model_, options, jobs_, &stats), alone_);
  EXPECT_GT(stats.preemptions, 0);
}

TEST_P(AdapterInvariance, EveryInstructionSetGivesTheSame) {
  for (const KernelTable* kernels : usable_kernels()) {
    if (kernels->tiles != nullptr) continue;  // numerics of their own
    EXPECT_EQ(run(load(kernels), small_engine(), jobs_), alone_) << kernels->name;
  }
}

TEST_P(AdapterInvariance, TilesKeepTheContractToo) {
  const auto emulated = choose_kernels("amx-emulated");
  if (!emulated.ok()) GTEST_SKIP() << emulated.status();
  const auto model = load(*emulated);
  std::vector<Answers> alone;
  for (const Job& job : jobs_) alone.push_back(run(model, small_engine(), {job}).front());
  EngineOptions options = small_engine();
  options.threads = 2;
  options.tokens_per_step_max = 13;
  EXPECT_EQ(run(model, options, jobs_), alone);
}

TEST_P(AdapterInvariance, AdaptersDifferFromEachOtherAndFromNone) {
  Job job = jobs_[2];
  std::vector<Answers> seen;
  for (job.adapter = -1; job.adapter < static_cast<int>(std::size(kAdapters)); ++job.adapter) {
    const Answers answers = run(model_, small_engine(), {job}).front();
    EXPECT_EQ(std::count(seen.begin(), seen.end(), answers), 0) << "adapter " << job.adapter;
    seen.push_back(answers);
  }
}

TEST_P(AdapterInvariance, AZeroAdapterGivesTheBitsOfTheBase) {
  write_tiny_adapter(path_of(0), model_->spec, {.rank = 20, .b_gain = 0});
  for (Job job : jobs_) {
    job.adapter = 0;
    const Answers adapted = run(model_, small_engine(), {job}).front();
    job.adapter = -1;
    EXPECT_EQ(adapted, run(model_, small_engine(), {job}).front());
  }
}

TEST_P(AdapterInvariance, PrefixesAreSharedOnlyUnderOneAdapter) {
  EngineOptions options = small_engine();
  options.prefix_cache = true;
  const auto engine = Engine::create(model_, options).value();
  Request request = jobs_[2].request;
  request.choices = 1;
  const auto cached_tokens = [&](std::shared_ptr<const Adapter> adapter) {
    request.adapter = std::move(adapter);
    const auto generation = engine->submit(request).value();
    collect(*generation, 1);
    return generation->stats().cached_tokens;
  };
  const auto first = engine->adapters().load("first", path_of(1)).value();
  const auto second = engine->adapters().load("second", path_of(2)).value();
  EXPECT_EQ(cached_tokens(nullptr), 0);
  EXPECT_EQ(cached_tokens(first), 0);
  EXPECT_EQ(cached_tokens(second), 0);
  EXPECT_EQ(cached_tokens(nullptr), 32);
  EXPECT_EQ(cached_tokens(first), 32);
  // The same files under the same name are another adapter.
  ASSERT_TRUE(engine->adapters().unload("first").ok());
  EXPECT_EQ(cached_tokens(engine->adapters().load("first", path_of(1)).value()), 0);
}

// Adapters' ids say nothing to another run.
TEST_P(AdapterInvariance, TheDiskHasPrefixesOfTheBaseOnly) {
  EngineOptions options = small_engine();
  options.prefix_cache = true;
  options.store_directory = (directory_ / "store").string();
  Request request = jobs_[9].request;
  const auto cached_tokens = [&](bool adapted) {
    const auto engine = Engine::create(model_, options).value();
    request.adapter = adapted ? engine->adapters().load("lora", path_of(1)).value() : nullptr;
    const auto generation = engine->submit(request).value();
    collect(*generation, 1);
    const int cached = generation->stats().cached_tokens;
    engine->drain(10);
    request.adapter = nullptr;
    return cached;
  };
  EXPECT_EQ(cached_tokens(true), 0);
  EXPECT_EQ(cached_tokens(false), 0);
  EXPECT_EQ(cached_tokens(true), 0);
  EXPECT_GT(cached_tokens(false), 0);
}

TEST_P(AdapterInvariance, AnUnloadedAdapterLivesUntilItsRequestsEnd) {
  const auto engine = Engine::create(model_, small_engine()).value();
  auto adapter = engine->adapters().load("lora", path_of(1)).value();
  const std::weak_ptr<const LoraAdapter> weights = adapter->weights;
  Job job = jobs_[2];
  job.adapter = 1;
  const Answers alone = run(model_, small_engine(), {job}).front();
  Request request = job.request;
  request.adapter = std::exchange(adapter, nullptr);
  auto generation = engine->submit(std::exchange(request, {})).value();
  ASSERT_TRUE(engine->adapters().unload("lora").ok());
  EXPECT_EQ(engine->adapters().find("lora"), nullptr);
  EXPECT_FALSE(engine->adapters().unload("lora").ok());
  EXPECT_EQ(collect(*generation, 1).front(), alone.front());
  generation.reset();
  engine->drain(10);
  for (int i = 0; i < 1000 && !weights.expired(); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_TRUE(weights.expired());
}

TEST_P(AdapterInvariance, TheRegistryHasALimit) {
  EngineOptions options = small_engine();
  options.adapters_max = 2;
  const auto engine = Engine::create(model_, options).value();
  AdapterRegistry& adapters = engine->adapters();
  const int32_t first = adapters.load("a", path_of(0)).value()->id;
  ASSERT_TRUE(adapters.load("b", path_of(1)).ok());
  EXPECT_TRUE(absl::IsInvalidArgument(adapters.load("a", path_of(2)).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(adapters.load("", path_of(2)).status()));
  EXPECT_TRUE(absl::IsResourceExhausted(adapters.load("c", path_of(2)).status()));
  ASSERT_TRUE(adapters.unload("a").ok());
  EXPECT_TRUE(absl::IsNotFound(adapters.load("c", directory_ / "absent").status()));
  EXPECT_GT(adapters.load("a", path_of(0)).value()->id, first) << "ids are never used again";
  EXPECT_EQ(adapters.list().front()->name, "b");
}

INSTANTIATE_TEST_SUITE_P(Models, AdapterInvariance, testing::ValuesIn(kCheckpoints),
                         [](const auto& row) {
                           std::string name = row.param;
                           for (char& c : name) {
                             if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
                           }
                           return name;
                         });

}  // namespace
}  // namespace brisk
