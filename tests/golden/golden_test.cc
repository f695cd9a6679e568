// Real checkpoints against outputs that another implementation made (../shared/data/models/golden).
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "base/json.h"
#include "compute/sys/mapped_file.h"
#include "model/model.h"
#include "tests/support/decoder_harness.h"

namespace brisk {
namespace {

struct Case {
  const char* model;
  const char* golden;
  const char* tokenizer;
  double tolerance = 1e-3;
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.model; }

std::string data(const std::string& path) { return std::string(BRISK_DATA_DIR "/models/") + path; }

class Golden : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(data(GetParam().golden))) GTEST_SKIP() << "no shared data here";
  }
};

int32_t argmax(std::span<const float> logits) {
  return static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

TEST_P(Golden, GreedyIdsAreEqualAndFirstLogitsAgree) {
  const std::string tokenizer = *GetParam().tokenizer ? data(GetParam().tokenizer) : "";
  const auto model = load_model(data(GetParam().model),
                                {.tokenizer_path = tokenizer, .activations = Activations::kF32});
  ASSERT_TRUE(model.ok()) << model.status();
  const Json golden = parse_json(read_file(data(GetParam().golden), 1 << 20).value()).value();
  const auto vocab = static_cast<size_t>((*model)->spec.vocab_size);
  for (const Json& entry : golden) {
    DecoderHarness decoder(**model, {});
    const auto prompt = entry["prompt_ids"].get<std::vector<int32_t>>();
    std::vector<float> logits = decoder.feed(prompt);
    std::vector<float> last(logits.end() - static_cast<long>(vocab), logits.end());
    const auto expected = entry["first_logits"].get<std::vector<float>>();
    ASSERT_EQ(expected.size(), vocab);
    for (size_t i = 0; i < vocab; ++i)
      ASSERT_NEAR(last[i], expected[i], GetParam().tolerance) << "logit " << i;

    const auto greedy = entry["greedy_ids"].get<std::vector<int32_t>>();
    for (size_t i = 0; i < greedy.size(); ++i) {
      const int32_t token = argmax(last);
      ASSERT_EQ(token, greedy[i]) << "at " << i << "; smallest gap " << entry["min_top2_gap"];
      last = decoder.feed({&token, 1});
    }
  }
}

// As models run when nothing else is asked for. CPUs with a tile unit pack the float weights of
// these models; elsewhere none of them is packed, and what int8 activations cost is
// activations_test's.
TEST_P(Golden, TextsStayWithTheProductsOfThisMachine) {
  const std::string tokenizer = *GetParam().tokenizer ? data(GetParam().tokenizer) : "";
  const auto model = load_model(data(GetParam().model), {.tokenizer_path = tokenizer});
  ASSERT_TRUE(model.ok()) << model.status();
  const Json golden = parse_json(read_file(data(GetParam().golden), 1 << 20).value()).value();
  const auto vocab = static_cast<size_t>((*model)->spec.vocab_size);
  for (const Json& entry : golden) {
    DecoderHarness decoder(**model, {});
    const std::vector<float> logits = decoder.feed(entry["prompt_ids"].get<std::vector<int32_t>>());
    std::vector<float> last(logits.end() - static_cast<long>(vocab), logits.end());
    const auto greedy = entry["greedy_ids"].get<std::vector<int32_t>>();
    for (size_t i = 0; i < greedy.size(); ++i) {
      const int32_t token = argmax(last);
      ASSERT_EQ(token, greedy[i]) << "at " << i << "; smallest gap " << entry["min_top2_gap"];
      last = decoder.feed({&token, 1});
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Models, Golden,
    testing::Values(
        Case{"stories260K/stories260K.bin", "golden/stories260K-f32.json",
             "stories260K/tok512.bin"},
        Case{"stories260K/stories260Ktok512.gguf", "golden/stories260K-f32.json", ""},
        Case{"stories260K/stories260K-q8.bin", "golden/stories260K-q8-gs8-dequant.json",
             "stories260K/tok512.bin"},
        Case{"stories3M/stories3M-q80.bin", "golden/stories3M-q80-gs64-dequant.json",
             "stories3M/tok4096.bin"},
        // Rounding activations makes the logits jump: in the first prompt one activation
        // lies 4e-7 of a step from a tie, and the other side of it is 0.07 away. The
        // tiny BitNet of reference_test has no such tie and is compared closely.
        Case{"bitllama3M/model.bin", "golden/bitllama-3M.json", "stories260K/tok512.bin", 0.15}));

}  // namespace
}  // namespace brisk
