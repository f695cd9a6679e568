// Models that others quantised (tests/reference/packed.py), with their weights packed: the same
// bits on every instruction set, with any number of threads and however the tokens arrive, and near
// what f32 gives.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "base/json.h"
#include "compute/kernels/cpu/dispatch.h"
#include "compute/sys/mapped_file.h"
#include "engine/store/fingerprint.h"
#include "model/model.h"
#include "tests/support/decoder_harness.h"

namespace brisk {
namespace {

namespace fs = std::filesystem;

const fs::path kCases = BRISK_BINARY_DIR "/reference";

std::vector<std::string> cases() {
  std::vector<std::string> found;
  if (!fs::exists(kCases)) return found;
  for (const auto& entry : fs::directory_iterator(kCases)) {
    const std::string name = entry.path().filename().string();
    for (const char* prefix : {"gptq-", "awq-", "ct-", "fp8-"}) {
      if (name.starts_with(prefix)) found.push_back(name);
    }
  }
  std::sort(found.begin(), found.end());
  return found;
}

class QuantisedDirectory : public testing::TestWithParam<std::string> {
 protected:
  std::shared_ptr<const Model> load(const KernelTable* kernels, Activations activations) const {
    LoadOptions options;
    options.activations = activations;
    options.kernels = kernels;
    return load_model((kCases / GetParam() / "hf").string(), options).value();
  }

  std::vector<int32_t> prompt() const {
    const std::string path = (kCases / GetParam() / "expected.json").string();
    return parse_json(read_file(path, 64 << 20).value())
        .value()["prompt_ids"]
        .get<std::vector<int32_t>>();
  }
};

double relative_error(const std::vector<float>& exact, const std::vector<float>& other) {
  double error = 0, total = 0;
  for (size_t i = 0; i < exact.size(); ++i) {
    error += std::pow(static_cast<double>(exact[i] - other[i]), 2);
    total += std::pow(static_cast<double>(exact[i]), 2);
  }
  return std::sqrt(error / total);
}

TEST_P(QuantisedDirectory, HasTheSameBitsEverywhere) {
  const std::vector<int32_t> tokens = prompt();
  const KernelTable* const scalar = choose_kernels("scalar").value();
  const auto exact_model = load(scalar, Activations::kF32);
  const std::vector<float> exact = DecoderHarness(*exact_model, {}).feed(tokens);
  std::vector<float> packed;  // on the first set without tiles
  std::vector<const KernelTable*> levels = usable_kernels();
  if (const auto emulated = choose_kernels("amx-emulated"); emulated.ok()) {
    levels.push_back(*emulated);
  }
  for (const KernelTable* kernels : levels) {
    const auto model = load(kernels, Activations::kInt8);
    const std::vector<float> together = DecoderHarness(*model, {.threads = 3}).feed(tokens);
    DecoderHarness alone(*model, {});
    std::vector<float> one_by_one;
    for (const int32_t token : tokens) {
      const std::vector<float> row = alone.feed({&token, 1});
      one_by_one.insert(one_by_one.end(), row.begin(), row.end());
    }
    EXPECT_TRUE(together == one_by_one) << kernels->name;
    EXPECT_LT(relative_error(exact, together), 0.1) << kernels->name;
    if (kernels->tiles != nullptr) continue;
    if (packed.empty()) packed = together;
    EXPECT_TRUE(together == packed) << kernels->name;
  }
}

TEST_P(QuantisedDirectory, IsPackedWhereItCanBe) {
  const auto model = load(choose_kernels("scalar").value(), Activations::kInt8);
  const Tensor& weight = model->weights.layers[0].v.weight;
  // fp8 has no integer codes, 48 inputs are not whole 32s, and f32 scales times zero points would
  // be rounded.
  const bool decoded = GetParam().find("fp8") != std::string::npos ||
                       GetParam() == "ct-int4-uneven" || GetParam() == "ct-int8-experts" ||
                       GetParam() == "ct-int8-zeros";
  EXPECT_EQ(weight.panels.has_value(), !decoded);
  EXPECT_EQ(model->weights.reorders, GetParam().find("shuffled") != std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(Cases, QuantisedDirectory, testing::ValuesIn(cases()),
                         [](const auto& row) {
                           std::string name = row.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

// What packing takes the place of is counted once.
TEST(FusedProjections, ShareTheirBytes) {
  LoadOptions options;
  options.activations = Activations::kF32;
  const auto model = load_model((kCases / "awq-int4-fused" / "hf").string(), options);
  ASSERT_TRUE(model.ok()) << model.status();
  const LayerWeights& layer = (*model)->weights.layers[0];
  const Tensor* fused = (*model)->checkpoint->find("model.layers.0.self_attn.qkv_proj.weight");
  ASSERT_NE(fused, nullptr);
  EXPECT_EQ(layer.q.weight.data.size() + layer.k.weight.data.size() + layer.v.weight.data.size(),
            fused->data.size());
}

// Stored prefixes belong to the weights, and not only to their codes.
TEST(KvFingerprint, KnowsScalesThatLieApart) {
  const fs::path source = kCases / "gptq-int4" / "hf";
  const fs::path copy =
      fs::temp_directory_path() / ("brisk_fingerprint." + std::to_string(::getpid()));
  fs::copy(source, copy, fs::copy_options::recursive);
  const auto model = load_model(source.string(), {});
  ASSERT_TRUE(model.ok()) << model.status();
  const Checkpoint& checkpoint = *(*model)->checkpoint;
  const Tensor* matrix = checkpoint.find("model.layers.0.self_attn.q_proj.weight");
  ASSERT_NE(matrix, nullptr);
  const auto same = load_model(copy.string(), {});
  EXPECT_EQ(kv_fingerprint(**model, KvElement::kF32), kv_fingerprint(**same, KvElement::kF32));
  {
    std::fstream file(copy / "model.safetensors", std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(matrix->scaled->scales - checkpoint.files.front().bytes().data());
    file.put('\x01');
  }
  const auto other = load_model(copy.string(), {});
  ASSERT_TRUE(other.ok()) << other.status();
  EXPECT_NE(kv_fingerprint(**model, KvElement::kF32), kv_fingerprint(**other, KvElement::kF32));
  fs::remove_all(copy);
}

}  // namespace
}  // namespace brisk
