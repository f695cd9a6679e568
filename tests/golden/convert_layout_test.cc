// A converted checkpoint is what other programs write in that layout: the names, shapes and keys of
// the reference's own files, which follow llama.cpp's converter and Hugging Face's classes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "compute/quant/format.h"
#include "compute/sys/mapped_file.h"
#include "model/checkpoint/checkpoint.h"
#include "model/checkpoint/gguf_writer.h"
#include "model/convert/convert.h"

namespace brisk {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

const fs::path kCases = BRISK_BINARY_DIR "/reference";

// Cases that the reference writes in both layouts.
std::vector<std::string> cases() {
  std::vector<std::string> found;
  if (!fs::exists(kCases)) return found;
  for (const auto& entry : fs::directory_iterator(kCases)) {
    if (fs::exists(entry.path() / "hf") && fs::exists(entry.path() / "model.gguf")) {
      found.push_back(entry.path().filename().string());
    }
  }
  std::sort(found.begin(), found.end());
  return found;
}

class Scratch {
 public:
  explicit Scratch(const std::string& name)
      : path_(fs::temp_directory_path() / fmt::format("brisk_layout.{}.{}", ::getpid(), name)) {
    fs::create_directories(path_);
  }
  ~Scratch() { fs::remove_all(path_); }
  std::string operator/(const char* name) const { return (path_ / name).string(); }

 private:
  fs::path path_;
};

std::shared_ptr<const Checkpoint> converted(const fs::path& in, const std::string& out) {
  ConvertOptions options;
  options.dtype = "f32";
  const auto result = convert_checkpoint(in.string(), out, options);
  EXPECT_TRUE(result.ok()) << result.status();
  if (!result.ok()) return nullptr;
  auto opened = open_checkpoint(out);
  EXPECT_TRUE(opened.ok()) << opened.status();
  return opened.ok() ? *opened : nullptr;
}

std::vector<float> values_of(const Tensor& tensor) {
  std::vector<float> values(static_cast<size_t>(tensor.values()));
  decode_values(tensor, 0, tensor.values(), values.data());
  return values;
}

// GPT-2's original files carry causal masks, which nobody else has.
bool is_mask(const NamedTensor& named) { return named.name.ends_with(".attn.bias"); }

void expect_same_tensors(const Checkpoint& actual, const Checkpoint& expected) {
  size_t count = 0;
  for (const NamedTensor& named : expected.tensors) {
    if (is_mask(named) && named.tensor.shape.size() > 1) continue;
    ++count;
    const Tensor* tensor = actual.find(named.name);
    ASSERT_NE(tensor, nullptr) << named.name;
    ASSERT_EQ(tensor->shape, named.tensor.shape) << named.name;
    const std::vector<float> values = values_of(*tensor), wanted = values_of(named.tensor);
    for (size_t i = 0; i < values.size(); ++i) {
      ASSERT_NEAR(values[i], wanted[i], 1e-6 * (1 + std::abs(wanted[i]))) << named.name;
    }
  }
  EXPECT_EQ(actual.tensors.size(), count);
}

class ConvertLayout : public testing::TestWithParam<std::string> {};

TEST_P(ConvertLayout, TensorsAndKeysOfGgufAreLlamaCpps) {
  const Scratch scratch(GetParam());
  const auto actual = converted(kCases / GetParam() / "hf", scratch / "m.gguf");
  const auto expected = open_checkpoint((kCases / GetParam() / "model.gguf").string());
  ASSERT_TRUE(actual != nullptr && expected.ok());
  expect_same_tensors(*actual, **expected);
  const std::string own = actual->config.architecture + ".";
  for (const auto& [key, value] : (*expected)->metadata.items()) {
    if (!key.starts_with(own)) continue;
    const auto found = actual->metadata.find(key);
    // The size of a head is said only where it does not follow from the others.
    if (found == actual->metadata.end() && key.find("_length") != std::string::npos) continue;
    ASSERT_NE(found, actual->metadata.end()) << key;
    if (value.is_number()) {
      EXPECT_NEAR(found->get<double>(), value.get<double>(), 1e-6 * std::abs(value.get<double>()))
          << key;
    } else {
      EXPECT_EQ(*found, value) << key;
    }
  }
}

TEST_P(ConvertLayout, TensorsOfADirectoryAreTransformers) {
  const Scratch scratch(GetParam());
  const auto actual = converted(kCases / GetParam() / "model.gguf", scratch / "hf");
  const auto expected = open_checkpoint((kCases / GetParam() / "hf").string());
  ASSERT_TRUE(actual != nullptr && expected.ok());
  expect_same_tensors(*actual, **expected);
  EXPECT_EQ(actual->config.architecture, (*expected)->config.architecture);
  const RopeScaling &scaling = actual->config.rope_scaling,
                    &wanted = (*expected)->config.rope_scaling;
  EXPECT_EQ(scaling.kind, wanted.kind);
  EXPECT_EQ(scaling.factor, wanted.factor);
  EXPECT_EQ(scaling.low_freq_factor, wanted.low_freq_factor);
  EXPECT_EQ(scaling.high_freq_factor, wanted.high_freq_factor);
  EXPECT_EQ(scaling.short_factors, wanted.short_factors);
  EXPECT_EQ(scaling.long_factors, wanted.long_factors);
  if (wanted.kind == RopeScaling::Kind::kLlama3 || wanted.kind == RopeScaling::Kind::kLongRope) {
    EXPECT_EQ(scaling.original_context_length, wanted.original_context_length);
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, ConvertLayout, testing::ValuesIn(cases()), [](const auto& row) {
  std::string name = row.param;
  for (char& c : name) {
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  }
  return name;
});

TEST(ConvertBitNet, HasTheNormsThatReadersOfTheseLayoutsAskFor) {
  const Scratch scratch("bitnet");
  const auto gguf = converted(kCases / "bitnet" / "model.bin", scratch / "m.gguf");
  ASSERT_NE(gguf, nullptr);
  for (const char* norm : {"attn_norm", "attn_sub_norm", "ffn_norm", "ffn_sub_norm"}) {
    const Tensor* tensor = gguf->find(fmt::format("blk.0.{}.weight", norm));
    ASSERT_NE(tensor, nullptr) << norm;
    for (const float value : values_of(*tensor)) {
      ASSERT_FLOAT_EQ(value, 1 / static_cast<float>(tensor->values())) << norm;
    }
  }
  EXPECT_NEAR(gguf->metadata["bitnet.attention.layer_norm_rms_epsilon"].get<double>(), 1e-12,
              1e-15);
  EXPECT_DOUBLE_EQ(gguf->config.norm_eps, static_cast<double>(1e-5f));
  const auto hf = converted(scratch / "m.gguf", scratch / "hf");
  ASSERT_NE(hf, nullptr);
  EXPECT_EQ(hf->metadata["config"]["quantization_config"]["linear_class"], "autobitlinear");
  EXPECT_NE(hf->find("model.layers.0.self_attn.attn_sub_norm.weight"), nullptr);
  EXPECT_NE(hf->find("model.layers.1.mlp.down_proj.weight_scale"), nullptr);
  EXPECT_NEAR(hf->config.norm_eps, 1e-5, 1e-12);
}

absl::Status status_of(const std::string& in, const std::string& out) {
  return convert_checkpoint(in, out, {}).status();
}

// Changes the f32 values of one tensor of a GGUF file in place.
void spoil(const std::string& file, const char* name, float value) {
  const auto opened = open_checkpoint(file);
  ASSERT_TRUE(opened.ok()) << opened.status();
  const Tensor* tensor = (*opened)->find(name);
  ASSERT_NE(tensor, nullptr) << name;
  const auto at = tensor->data.data() - (*opened)->files.front().bytes().data();
  std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
  stream.seekp(at);
  stream.write(reinterpret_cast<const char*>(&value), sizeof(value));
}

TEST(ConvertRefuses, FactorsOfNoKnownRule) {
  const Scratch scratch("strange");
  fs::copy_file(kCases / "llama3" / "model.gguf", scratch / "m.gguf");
  spoil(scratch / "m.gguf", "rope_freqs.weight", 3.25f);
  const absl::Status status = status_of(scratch / "m.gguf", scratch / "hf");
  EXPECT_TRUE(absl::IsUnimplemented(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("keep this model in GGUF"));
  EXPECT_FALSE(fs::exists(scratch / "hf"));
  EXPECT_TRUE(status_of(scratch / "m.gguf", scratch / "again.gguf").ok()) << "GGUF can say it";
}

TEST(ConvertRefuses, BitNetWithLearnedNorms) {
  const Scratch scratch("learned");
  ASSERT_NE(converted(kCases / "bitnet" / "model.bin", scratch / "m.gguf"), nullptr);
  spoil(scratch / "m.gguf", "blk.1.ffn_sub_norm.weight", 0.5f);
  const absl::Status status = status_of(scratch / "m.gguf", scratch / "hf");
  EXPECT_TRUE(absl::IsUnimplemented(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("blk.1.ffn_sub_norm.weight"));
}

TEST(ConvertRefuses, FilesThatEndEarly) {
  const Scratch scratch("cut");
  for (const char* name : {"mixtral/model.gguf", "phi4-mini/model.gguf", "bitnet/model.bin"}) {
    const std::string whole = read_file((kCases / name).string(), 64 << 20).value();
    for (int part = 0; part < 40; ++part) {
      const size_t bytes = whole.size() * static_cast<size_t>(part) / 40;
      std::ofstream(scratch / "cut.x", std::ios::binary) << whole.substr(0, bytes);
      const absl::Status status = status_of(scratch / "cut.x", scratch / "out.gguf");
      ASSERT_FALSE(status.ok()) << name << " cut to " << bytes;
      ASSERT_EQ(status.message().find('\n'), absl::string_view::npos) << status;
      ASSERT_FALSE(fs::exists(scratch / "out.gguf"));
      ASSERT_FALSE(status_of(scratch / "cut.x", scratch / "hf").ok());
    }
  }
}

TEST(ConvertRefuses, PlacesItCannotWriteTo) {
  const Scratch scratch("places");
  const std::string source = (kCases / "llama2" / "model.gguf").string();
  EXPECT_FALSE(status_of(source, scratch / "no/such/m.gguf").ok());
  std::ofstream(scratch / "file") << "x";
  EXPECT_FALSE(status_of(source, scratch / "file").ok());
  fs::copy(kCases / "llama2" / "hf", scratch / "hf");
  EXPECT_FALSE(status_of(scratch / "hf", scratch / "hf").ok());
}

}  // namespace
}  // namespace brisk
