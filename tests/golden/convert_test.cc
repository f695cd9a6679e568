// A converted checkpoint is the same model: every case of the reference, through the other layout.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "compute/sys/mapped_file.h"
#include "model/convert/convert.h"
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
    for (const char* file : {"hf", "model.gguf", "model.bin"}) {
      if (!fs::exists(entry.path() / "expected.json")) continue;
      if (!fs::exists(entry.path() / file)) continue;
      found.push_back((entry.path().filename() / file).string());
    }
  }
  std::sort(found.begin(), found.end());
  return found;
}

class Convert : public testing::TestWithParam<std::string> {
 protected:
  Convert() {
    std::string name = GetParam();
    std::replace(name.begin(), name.end(), '/', '_');
    directory_ = fs::temp_directory_path() / fmt::format("brisk_convert.{}.{}", ::getpid(), name);
    fs::create_directories(directory_);
  }
  ~Convert() override { fs::remove_all(directory_); }

  // Every position's logits for the case's prompt.
  static std::vector<float> logits_of(const fs::path& path, const Json& expected) {
    const auto model = load_model(path.string(), {.tokenizer_path = "",
                                                  .context_max = expected.value("context", 0),
                                                  .activations = Activations::kF32});
    if (!model.ok()) {
      ADD_FAILURE() << model.status();
      return {};
    }
    DecoderHarness decoder(**model, {});
    return decoder.feed(expected["prompt_ids"].get<std::vector<int32_t>>());
  }

  fs::path directory_;
};

TEST_P(Convert, ToTheOtherLayoutAndBackIsTheSameModel) {
  const fs::path source = kCases / GetParam();
  const Json expected =
      parse_json(read_file((source.parent_path() / "expected.json").string(), 64 << 20).value())
          .value();
  const std::string hf = (directory_ / "hf").string(), gguf = (directory_ / "m.gguf").string();
  const bool from_gguf = GetParam().ends_with(".gguf");
  const std::string first = from_gguf ? hf : gguf, second = from_gguf ? gguf : hf;
  ConvertOptions exact;
  exact.dtype = "f32";
  const auto there = convert_checkpoint(source.string(), first, exact);
  if (!there.ok() && absl::IsUnimplemented(there.status())) {
    // What a layout has no words for is refused, not written wrongly.
    const char* const refused[] = {"qwen2-window/hf", "qwen2moe-mixed/hf"};
    EXPECT_TRUE(std::any_of(std::begin(refused), std::end(refused), [](const char* name) {
      return GetParam().find(name) != std::string::npos;
    })) << there.status();
    return;
  }
  ASSERT_TRUE(there.ok()) << there.status();
  EXPECT_EQ(there->unplaced, GetParam().find("gpt2") != std::string::npos ? there->unplaced : 0);
  const auto back = convert_checkpoint(first, second, exact);
  ASSERT_TRUE(back.ok()) << back.status();

  const std::vector<float> logits = logits_of(source, expected);
  for (const std::string& converted : {first, second}) {
    const std::vector<float> others = logits_of(converted, expected);
    ASSERT_EQ(others.size(), logits.size());
    for (size_t i = 0; i < logits.size(); ++i) {
      ASSERT_NEAR(others[i], logits[i], 1e-3 * (1 + std::abs(logits[i]) / 10)) << converted;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Checkpoints, Convert, testing::ValuesIn(checkpoints()),
                         [](const auto& row) {
                           std::string name = row.param;
                           for (char& c : name) {
                             if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
                           }
                           return name;
                         });

}  // namespace
}  // namespace brisk
