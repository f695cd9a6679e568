// Pruned models: what zeros they have, and that they run sparse as they would densely.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "compute/quant/format.h"
#include "model/convert/compile.h"
#include "model/model.h"
#include "model/synth/synth.h"
#include "tests/support/decoder_harness.h"

namespace brisk {
namespace {

using ::testing::HasSubstr;

class SparseModel : public testing::Test {
 protected:
  SparseModel()
      : path_((std::filesystem::temp_directory_path() /
               ("brisk_sparse_test." + std::to_string(::getpid()) + ".gguf"))
                  .string()) {}
  ~SparseModel() override {
    std::filesystem::remove(path_);
    std::filesystem::remove(path_ + ".compiled");
  }

  void write(std::string_view shape_name, const char* format, const char* sparsity,
             bool sparse_head = false) {
    Shape shape = *find_shape(shape_name);
    shape.config.layers = 2;
    shape.config.hidden_size = 256;
    shape.config.heads = 4;
    shape.config.kv_heads = 2;
    shape.config.head_dim = shape.config.rotary_dim = 64;
    shape.config.ffn_size = 512;
    shape.config.expert_ffn_size = shape.config.experts > 0 ? 512 : 0;
    shape.config.vocab_size = 1000;
    SynthOptions options = {.format = format, .on_progress = {}};
    options.sparsity = Sparsity::parse(sparsity).value();
    options.sparse_head = sparse_head;
    const auto written = write_synthetic(shape, options, path_);
    ASSERT_TRUE(written.ok()) << written.status();
  }

  static std::shared_ptr<const Model> load(const std::string& path, SparseChoice sparse) {
    LoadOptions options;
    options.kernels = choose_kernels("avx512").value_or(&kKernelsScalar);
    options.sparse = sparse;
    return load_model(path, options).value();
  }

  static std::vector<float> logits(const Model& model) {
    DecoderHarness decoder(model, {.threads = 2});
    std::vector<int32_t> prompt(21);
    std::iota(prompt.begin(), prompt.end(), 100);
    std::vector<float> all = decoder.feed(prompt);
    const std::vector<float> next = decoder.feed(std::vector<int32_t>{7});
    all.insert(all.end(), next.begin(), next.end());
    return all;
  }

  // The share of zeros in every row, or -1 where rows differ.
  double zeros_of(const char* name) const {
    const auto checkpoint = open_checkpoint(path_).value();
    const Tensor& matrix = *checkpoint->find(name);
    std::vector<float> row(static_cast<size_t>(matrix.shape.back()));
    const auto width = std::ssize(row);
    std::vector<int64_t> zeros;
    for (int64_t r = 0; r < matrix.shape[0]; ++r) {
      decode_values(matrix, r * width, width, row.data());
      zeros.push_back(std::count(row.begin(), row.end(), 0.0f));
    }
    const bool alike =
        std::adjacent_find(zeros.begin(), zeros.end(), std::not_equal_to<>()) == zeros.end();
    return alike ? static_cast<double>(zeros[0]) / static_cast<double>(width) : -1;
  }

  const std::string path_;
};

TEST_F(SparseModel, SynthPrunesTheMatricesOfTheLayersOnly) {
  write("llama-3.2-1b", "bf16", "0.75");
  EXPECT_EQ(zeros_of("blk.0.attn_q.weight"), 0.75);
  EXPECT_EQ(zeros_of("blk.1.ffn_down.weight"), 0.75);
  EXPECT_EQ(zeros_of("token_embd.weight"), 0);
  write("llama-3.2-1b", "bf16", "2:4");
  EXPECT_EQ(zeros_of("blk.1.ffn_up.weight"), 0.5);
}

TEST_F(SparseModel, RunsAsItsDenseSelfDoes) {
  for (const char* shape : {"llama-3.2-1b", "mixtral-tiny"}) {
    for (const char* format : {"bf16", "f16", "f32", "q8_0", "q4_0"}) {
      write(shape, format, "0.9");
      const auto sparse = load(path_, SparseChoice::kAlways);
      const auto dense = load(path_, SparseChoice::kNever);
      ASSERT_TRUE(sparse->weights.layers[0].q.weight.sparse.has_value());
      ASSERT_FALSE(dense->weights.layers[0].q.weight.sparse.has_value());
      EXPECT_EQ(logits(*sparse), logits(*dense)) << shape << " " << format;
    }
  }
}

// A tied one: its rows are read as the embedding too.
TEST_F(SparseModel, TheHeadMayBeSparseToo) {
  for (const char* format : {"bf16", "q8_0"}) {
    write("llama-3.2-1b", format, "2:4", /*sparse_head=*/true);
    EXPECT_EQ(zeros_of("token_embd.weight"), 0.5);
    const auto sparse = load(path_, SparseChoice::kAlways);
    const auto dense = load(path_, SparseChoice::kNever);
    ASSERT_TRUE(sparse->weights.head.weight.sparse.has_value());
    EXPECT_EQ(logits(*sparse), logits(*dense)) << format;
  }
}

TEST_F(SparseModel, IsRecognisedByItsZerosMatrixByMatrix) {
  if (!choose_kernels("avx512").ok()) GTEST_SKIP() << "thresholds are the instruction set's";
  for (const char* format : {"bf16", "q8_0", "q4_0"}) {
    write("llama-3.2-1b", format, "0.9");
    const auto pruned = load(path_, SparseChoice::kWhereFaster);
    EXPECT_TRUE(pruned->weights.layers[1].down.weight.sparse.has_value()) << format;
    EXPECT_FALSE(pruned->weights.head.weight.sparse.has_value()) << format;
    write("llama-3.2-1b", format, "0.1");
    const auto hardly = load(path_, SparseChoice::kWhereFaster);
    EXPECT_FALSE(hardly->weights.layers[1].down.weight.sparse.has_value()) << format;
  }
}

TEST_F(SparseModel, OutlineKnowsItsMemory) {
  write("llama-3.2-1b", "q8_0", "0.7");
  LoadOptions options;
  options.kernels = choose_kernels("avx512").value_or(&kKernelsScalar);
  options.sparse = SparseChoice::kAlways;
  const auto outline = outline_model(path_, options).value();
  const auto model = load_model(path_, options).value();
  const auto bytes = static_cast<double>(model->weights.packed->bytes().size());
  EXPECT_NEAR(static_cast<double>(outline.packed_bytes), bytes, 0.02 * bytes);
}

TEST_F(SparseModel, StaysSparseWhenTheRestIsCompiled) {
  if (!kernels_from_environment().ok() || (*kernels_from_environment())->sparse == nullptr ||
      (*kernels_from_environment())
              ->sparse->formats[static_cast<size_t>(SparseFormat::kQ8_0)]
              .zeros_min > 90) {
    GTEST_SKIP() << "q8_0 runs densely here";
  }
  write("llama-3.2-1b", "q8_0", "0.9");
  const auto result = compile_checkpoint(path_, path_ + ".compiled", {});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->sparse, 2 * 7);
  EXPECT_EQ(result->packed, 1);  // the head
  const auto compiled = load(path_ + ".compiled", SparseChoice::kWhereFaster);
  EXPECT_TRUE(compiled->weights.layers[0].up.weight.sparse.has_value());
  EXPECT_TRUE(compiled->weights.head.weight.panels.has_value());
  EXPECT_EQ(logits(*compiled), logits(*load(path_, SparseChoice::kNever)));
}

TEST(SparseChoice, IsTheEnvironments) {
  const std::pair<const char*, SparseChoice> choices[] = {{"", SparseChoice::kWhereFaster},
                                                          {"auto", SparseChoice::kWhereFaster},
                                                          {"never", SparseChoice::kNever},
                                                          {"always", SparseChoice::kAlways}};
  for (const auto& [text, expected] : choices) {
    ASSERT_EQ(::setenv("BRISK_SPARSE", text, 1), 0);
    EXPECT_EQ(sparse_choice_from_environment().value(), expected) << text;
  }
  ASSERT_EQ(::setenv("BRISK_SPARSE", "sometimes", 1), 0);
  const auto wrong = sparse_choice_from_environment();
  ::unsetenv("BRISK_SPARSE");
  EXPECT_TRUE(absl::IsInvalidArgument(wrong.status()));
  EXPECT_THAT(std::string(message_of(wrong.status())), HasSubstr("auto, never or always"));
}

TEST(Sparsity, ReadsSharesAndPatterns) {
  EXPECT_EQ(Sparsity::parse("0.7")->share, 0.7);
  EXPECT_EQ(Sparsity::parse("2:4")->keep, 2);
  EXPECT_EQ(Sparsity::parse("4:8")->of, 8);
  for (const char* wrong :
       {"", "x", "1.5", "-0.1", "nan", "3:2", "-1:4", "1:0", "1:65", "2:4x", ":"}) {
    const auto sparsity = Sparsity::parse(wrong);
    ASSERT_FALSE(sparsity.ok()) << wrong;
    EXPECT_THAT(std::string(message_of(sparsity.status())), HasSubstr("2:4"));
  }
}

TEST(Sparsity, ZerosTheSmallestAndAsManyAsAsked) {
  std::vector<float> row = {3, -1, 2, -4, 5, 5, 5, 5, -6, 1};
  Sparsity::parse("2:4")->prune(row);
  EXPECT_EQ(row, (std::vector<float>{3, 0, 0, -4, 0, 0, 5, 5, -6, 1}));
  Sparsity::parse("0.8")->prune(row);
  EXPECT_EQ(row, (std::vector<float>{0, 0, 0, 0, 0, 0, 0, 5, -6, 0}));
}

}  // namespace
}  // namespace brisk
