// Pooled hidden states of the engine against the float64 reference in tests/reference.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include "base/json.h"
#include "compute/sys/mapped_file.h"
#include "engine/engine.h"

namespace brisk {
namespace {

namespace fs = std::filesystem;

Json expected_of(const fs::path& directory) {
  return parse_json(read_file((directory / "expected.json").string(), 64 << 20).value()).value();
}

std::shared_ptr<Generation> submit(Engine& engine, const Json& prompt, Pooling pooling) {
  Request request;
  request.prompt = prompt.get<std::vector<int32_t>>();
  request.max_tokens = 1;
  request.embed = pooling;
  return engine.submit(std::move(request)).value();
}

std::vector<float> wait(Generation& generation) {
  while (!generation.done()) generation.wait_and_take();
  return generation.embedding();
}

TEST(Embeddings, AreThePooledStatesOfTheReference) {
  int cases = 0;
  for (const auto& entry : fs::directory_iterator(BRISK_BINARY_DIR "/reference")) {
    if (!fs::exists(entry.path() / "expected.json")) continue;
    const Json expected = expected_of(entry.path());
    if (!expected.contains("states")) continue;
    ++cases;
    const auto model =
        load_model((entry.path() / "hf").string(), {.tokenizer_path = "",
                                                    .context_max = expected.value("context", 0),
                                                    .activations = Activations::kF32});
    ASSERT_TRUE(model.ok()) << model.status();
    EngineOptions options;
    options.threads = 2;
    options.kv_tokens = 1024;
    options.kv_dtype = KvDType::kF32;
    options.tokens_per_step_max = 5;  // prompts are cut into slices
    const auto engine = Engine::create(*model, options).value();
    for (const auto& [name, pooling] :
         {std::pair("mean", Pooling::kMean), std::pair("last", Pooling::kLast)}) {
      const auto alone = wait(*submit(*engine, expected["prompt_ids"], pooling));
      const auto states = expected["states"][name].get<std::vector<double>>();
      ASSERT_EQ(alone.size(), states.size()) << entry.path();
      for (size_t i = 0; i < states.size(); ++i) {
        ASSERT_NEAR(alone[i], states[i], 2e-3 * (1 + std::abs(states[i])))
            << entry.path() << " " << name << " " << i;
      }
      // The same bits in company, and where the prompt is cached already.
      const auto one = submit(*engine, expected["prompt_ids"], pooling);
      const auto two = submit(*engine, expected["prompt_ids"], pooling);
      const auto other = submit(*engine, expected["greedy_ids"], pooling);
      EXPECT_EQ(wait(*one), alone) << entry.path();
      EXPECT_EQ(wait(*two), alone) << entry.path();
      EXPECT_NE(wait(*other), alone) << entry.path();
    }
  }
  EXPECT_GE(cases, 10) << "tests/reference/generate.py did not write the states";
}

}  // namespace
}  // namespace brisk
