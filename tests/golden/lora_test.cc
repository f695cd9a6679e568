// Adapters against the float64 reference, which merges them into the weights: every family, either
// layout of the checkpoint with either layout of the adapter (tests/reference/lora.py).
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include "base/json.h"
#include "compute/sys/mapped_file.h"
#include "model/lora/adapter.h"
#include "tests/support/decoder_harness.h"

namespace brisk {
namespace {

namespace fs = std::filesystem;

const fs::path kCases = BRISK_BINARY_DIR "/reference";

std::vector<std::string> adapted_cases() {
  std::vector<std::string> found;
  if (!fs::exists(kCases)) return found;
  for (const auto& entry : fs::directory_iterator(kCases)) {
    if (fs::exists(entry.path() / "adapter")) found.push_back(entry.path().filename().string());
  }
  std::sort(found.begin(), found.end());
  return found;
}

Json expected_of(const std::string& name) {
  const std::string path = (kCases / name / "expected.json").string();
  return parse_json(read_file(path, 64 << 20).value()).value();
}

class Adapted : public testing::TestWithParam<std::string> {
 protected:
  static void compare(const Model& model, const LoraAdapter& adapter, const Json& expected) {
    DecoderHarness decoder(model, {});
    decoder.adapt(&adapter);
    const auto prompt = expected["prompt_ids"].get<std::vector<int32_t>>();
    const std::vector<float> logits = decoder.feed(prompt);
    const auto rows = expected["logits"].get<std::vector<std::vector<double>>>();
    ASSERT_EQ(rows.size(), prompt.size());
    const auto vocab = static_cast<size_t>(model.spec.vocab_size);
    for (size_t r = 0; r < rows.size(); ++r) {
      for (size_t i = 0; i < vocab; ++i) {
        ASSERT_NEAR(logits[r * vocab + i], rows[r][i], 1e-3 * (1 + std::abs(rows[r][i]) / 10))
            << "position " << r << ", logit " << i;
      }
    }
    std::vector<float> last(logits.end() - static_cast<long>(vocab), logits.end());
    for (const int32_t token : expected["greedy_ids"].get<std::vector<int32_t>>()) {
      const auto best = std::max_element(last.begin(), last.end()) - last.begin();
      ASSERT_EQ(static_cast<int32_t>(best), token);
      last = decoder.feed({&token, 1});
    }
  }
};

TEST_P(Adapted, LogitsEqualThoseOfMergedWeights) {
  const Json expected = expected_of(GetParam());
  for (const Json& layout : expected["layouts"]) {
    const fs::path base = kCases / expected["base"].get<std::string>() / layout.get<std::string>();
    const auto model = load_model(base.string(), {.tokenizer_path = "",
                                                  .context_max = expected.value("context", 0),
                                                  .activations = Activations::kF32});
    ASSERT_TRUE(model.ok()) << model.status();
    for (const Json& file : expected["adapters"]) {
      SCOPED_TRACE(layout.get<std::string>() + " with " + file.get<std::string>());
      const fs::path path = kCases / GetParam() / file.get<std::string>();
      const auto adapter = load_lora(path.string(), **model);
      ASSERT_TRUE(adapter.ok()) << adapter.status();
      compare(**model, **adapter, expected);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, Adapted, testing::ValuesIn(adapted_cases()), [](const auto& row) {
  std::string name = row.param;
  for (char& c : name) {
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  }
  return name;
});

TEST(AdaptedCases, AreThere) { EXPECT_GE(adapted_cases().size(), 10u); }

}  // namespace
}  // namespace brisk
