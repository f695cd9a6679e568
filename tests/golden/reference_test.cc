// Every architecture, in every layout, against the float64 reference in tests/reference, on the
// tiny random checkpoints that it writes (tests/reference/generate.py, run by the build).
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include "base/json.h"
#include "compute/sys/mapped_file.h"
#include "model/model.h"
#include "tests/support/decoder_harness.h"

namespace brisk {
namespace {

namespace fs = std::filesystem;

const fs::path kCases = BRISK_BINARY_DIR "/reference";

// "llama3/hf", "llama3/model.gguf", ...
std::vector<std::string> checkpoints() {
  std::vector<std::string> found;
  if (!fs::exists(kCases)) return found;
  for (const auto& entry : fs::directory_iterator(kCases)) {
    if (!fs::exists(entry.path() / "expected.json")) continue;
    for (const char* file : {"hf", "model.gguf", "model.bin"}) {
      if (!fs::exists(entry.path() / file)) continue;
      found.push_back((entry.path().filename() / file).string());
    }
  }
  std::sort(found.begin(), found.end());
  return found;
}

class Reference : public testing::TestWithParam<std::string> {};

TEST_P(Reference, LogitsOfEveryPositionAndGreedyIdsAgree) {
  const fs::path path = kCases / GetParam();
  const Json expected =
      parse_json(read_file((path.parent_path() / "expected.json").string(), 64 << 20).value())
          .value();
  const auto loaded = load_model(path.string(), {.tokenizer_path = "",
                                                 .context_max = expected.value("context", 0),
                                                 .activations = Activations::kF32});
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  const Model& model = **loaded;
  DecoderHarness decoder(model, {});

  const auto prompt = expected["prompt_ids"].get<std::vector<int32_t>>();
  const std::vector<float> logits = decoder.feed(prompt);
  const auto rows = expected["logits"].get<std::vector<std::vector<double>>>();
  ASSERT_EQ(rows.size(), prompt.size());
  const auto vocab = static_cast<size_t>(model.spec.vocab_size);
  for (size_t r = 0; r < rows.size(); ++r) {
    ASSERT_EQ(rows[r].size(), vocab);
    for (size_t i = 0; i < vocab; ++i) {
      ASSERT_NEAR(logits[r * vocab + i], rows[r][i], 1e-3 * (1 + std::abs(rows[r][i]) / 10))
          << "position " << r << ", logit " << i;
    }
  }

  std::vector<float> last(logits.end() - static_cast<long>(vocab), logits.end());
  for (const int32_t token : expected["greedy_ids"].get<std::vector<int32_t>>()) {
    const auto best =
        static_cast<int32_t>(std::max_element(last.begin(), last.end()) - last.begin());
    ASSERT_EQ(best, token) << "smallest gap " << expected["min_top2_gap"];
    last = decoder.feed({&token, 1});
  }
}

INSTANTIATE_TEST_SUITE_P(Checkpoints, Reference, testing::ValuesIn(checkpoints()),
                         [](const auto& row) {
                           std::string name = row.param;
                           for (char& c : name) {
                             if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
                           }
                           return name;
                         });

TEST(ReferenceCases, AreThere) {
  EXPECT_GE(checkpoints().size(), 80u) << "tests/reference/generate.py did not write its cases";
}

}  // namespace
}  // namespace brisk
