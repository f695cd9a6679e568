// What tests of compression share: a small real model, texts that calibrate and others that judge,
// a directory to write to, and small checkpoints of every family.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <string>
#include <vector>

#include "base/status.h"
#include "compress/calibrate/windows.h"
#include "compress/evaluate/documents.h"
#include "compress/evaluate/quality.h"
#include "model/model.h"

namespace brisk {

inline const std::string kStories = BRISK_DATA_DIR "/models/stories260K/stories260Ktok512.gguf";

// A directory of its own, which goes with the test.
class OwnDirectory {
 public:
  OwnDirectory()
      : path_(std::filesystem::temp_directory_path() / fmt::format("brisk-test-{}", ::getpid())) {
    std::filesystem::create_directories(path_);
  }
  ~OwnDirectory() { std::filesystem::remove_all(path_); }
  OwnDirectory(const OwnDirectory&) = delete;
  OwnDirectory& operator=(const OwnDirectory&) = delete;

  std::string path(const std::string& name) const { return path_ / name; }

 private:
  const std::filesystem::path path_;
};

class StoriesTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(kStories)) {
      GTEST_SKIP() << "needs the models of " << BRISK_DATA_DIR;
    }
    const auto stories = read_documents(BRISK_DATA_DIR "/text/tinystories-500.jsonl").value();
    seen_.assign(stories.begin(), stories.begin() + 60);
    unseen_.assign(stories.begin() + 200, stories.begin() + 230);
  }

  std::string path(const std::string& name) const { return directory_.path(name); }

  // Of the model from kStories, on texts that calibration has not seen.
  TextQuality quality(const std::string& name, Activations activations = Activations::kF32) const {
    LoadOptions options;
    options.activations = activations;
    const auto model = load_model(path(name), options).value();
    const auto reference = load_model(kStories, options).value();
    return *measure_quality(*model, reference.get(), unseen_, {})->text;
  }
  double kl(const std::string& name, Activations activations = Activations::kF32) const {
    return quality(name, activations).divergence->kl.value;
  }

  const CalibrationOptions calibration_ = {.windows_max = 24, .window_tokens = 128};
  std::vector<Document> seen_, unseen_;

 private:
  const OwnDirectory directory_;
};

// Every family and layout that has a tokenizer and float weights: with biases, with normed heads,
// rotated by neighbours or by halves, stacked or not, with experts.
class FamilyTest : public testing::TestWithParam<std::string> {
 protected:
  std::string model() const { return BRISK_BINARY_DIR "/reference/" + GetParam(); }
  std::string path(const std::string& name) const { return directory_.path(name); }

  const std::vector<Document> texts_ = {"a b c d e f g h i j k l m n o p",
                                        "the quick brown fox, and 1 2 3"};

 private:
  const OwnDirectory directory_;
};

inline auto float_families() {
  return testing::Values("llama2/model.gguf", "llama3/hf", "mistral/hf", "qwen2/hf", "qwen3/hf",
                         "gemma2/hf", "gemma3/hf", "phi4-mini/hf", "mixtral/hf", "qwen2moe/hf");
}

inline std::string family_name(const testing::TestParamInfo<std::string>& test) {
  std::string name = test.param;
  std::ranges::replace_if(name, [](char c) { return std::isalnum(c) == 0; }, '_');
  return name;
}

}  // namespace brisk
