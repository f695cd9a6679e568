// A compiled model is the same model, to the bit: every GGUF case of the reference.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "compute/kernels/cpu/dispatch.h"
#include "compute/sys/mapped_file.h"
#include "model/convert/compile.h"
#include "model/model.h"
#include "tests/support/decoder_harness.h"

namespace brisk {
namespace {

namespace fs = std::filesystem;

const fs::path kCases = BRISK_BINARY_DIR "/reference";

class Compile : public testing::Test {
 protected:
  Compile() : out_(fs::temp_directory_path() / fmt::format("brisk_compile.{}.gguf", ::getpid())) {}
  ~Compile() override { fs::remove(out_); }

  static const KernelTable* panels() { return choose_kernels("avx512").value_or(&kKernelsScalar); }
  // Null where they cannot be run.
  static const KernelTable* tiles() { return choose_kernels("amx-emulated").value_or(nullptr); }

  static std::vector<float> logits_of(const std::string& path, const KernelTable* kernels,
                                      const std::vector<int32_t>& prompt) {
    LoadOptions options;
    options.kernels = kernels;
    const auto model = load_model(path, options);
    if (!model.ok()) {
      ADD_FAILURE() << model.status();
      return {};
    }
    DecoderHarness decoder(**model, {});
    return decoder.feed(prompt);
  }

  const fs::path out_;
};

TEST_F(Compile, IsTheSameModelToTheBit) {
  int64_t packed = 0, in_tiles = 0, cases = 0;
  for (const auto& entry : fs::directory_iterator(kCases)) {
    const fs::path source = entry.path() / "model.gguf";
    if (!fs::exists(source) || !fs::exists(entry.path() / "expected.json")) continue;
    SCOPED_TRACE(source);
    const Json expected =
        parse_json(read_file((entry.path() / "expected.json").string(), 64 << 20).value()).value();
    const auto prompt = expected["prompt_ids"].get<std::vector<int32_t>>();
    ++cases;
    for (const KernelTable* kernels : {panels(), tiles()}) {
      if (kernels == nullptr) continue;
      SCOPED_TRACE(kernels->name);
      const auto result = compile_checkpoint(source.string(), out_.string(), {.kernels = kernels});
      ASSERT_TRUE(result.ok()) << result.status();
      packed += kernels->tiles == nullptr ? result->packed : 0;
      in_tiles += kernels->tiles != nullptr ? result->packed : 0;
      EXPECT_EQ(logits_of(out_.string(), kernels, prompt),
                logits_of(source.string(), kernels, prompt));
    }
  }
  EXPECT_GE(cases, 20);
  EXPECT_GE(packed, 50);
  if (tiles() != nullptr) {
    EXPECT_GE(in_tiles, 100);  // floats too
  }
}

TEST_F(Compile, TilesRunOnlyWhereThereAreTiles) {
  if (tiles() == nullptr) GTEST_SKIP() << "nothing can run them here";
  const std::string source = (kCases / "blocks-q4_k/model.gguf").string();
  ASSERT_TRUE(compile_checkpoint(source, out_.string(), {.kernels = tiles()}).ok());
  LoadOptions options;
  options.kernels = panels();
  const auto model = load_model(out_.string(), options);
  EXPECT_NE(message_of(model.status()).find("compiled for AMX"), std::string_view::npos)
      << model.status();
}

TEST_F(Compile, IsRefusedTwiceAndOntoItself) {
  const std::string source = (kCases / "blocks-q4_k/model.gguf").string();
  ASSERT_TRUE(compile_checkpoint(source, out_.string(), {}).ok());
  const auto twice = compile_checkpoint(out_.string(), out_.string() + "2", {});
  EXPECT_TRUE(absl::IsInvalidArgument(twice.status())) << twice.status();
  EXPECT_FALSE(fs::exists(out_.string() + "2"));
  const auto itself = compile_checkpoint(source, source, {});
  EXPECT_TRUE(absl::IsInvalidArgument(itself.status())) << itself.status();
  const auto directory = compile_checkpoint((kCases / "llama3/hf").string(), out_.string(), {});
  EXPECT_NE(message_of(directory.status()).find("only GGUF files"), std::string_view::npos);
}

// A file may claim panels for any tensor: those that must be read by row are refused, not decoded.
TEST_F(Compile, PanelsWhereRowsAreNeededAreAClearError) {
  const std::string source = (kCases / "blocks-q4_k/model.gguf").string();
  std::string bytes = read_file(source, 64 << 20).value();
  int refused = 0;
  LoadOptions options;
  for (const auto& [name, type] :
       {std::pair<const char*, uint32_t>{"token_embd.weight", 0x62720100},
        {"output_norm.weight", 0x62720100},
        {"blk.0.attn_norm.weight", 0x62720100},
        {"token_embd.weight", 0x62720200},
        {"blk.0.attn_norm.weight", 0x62720200}}) {
    std::string changed = bytes;
    const size_t at = changed.find(name);
    ASSERT_NE(at, std::string::npos);
    // After the name: u32 dimensions, the extents, u32 type.
    uint32_t extents = 0;
    const size_t dimensions = at + std::strlen(name);
    std::memcpy(&extents, changed.data() + dimensions, 4);
    std::memcpy(changed.data() + dimensions + 4 + 8 * extents, &type, 4);
    std::ofstream(out_, std::ios::binary) << changed;
    if (tiles() != nullptr && type >= 0x62720200) options.kernels = tiles();
    const auto model = load_model(out_.string(), options);
    EXPECT_FALSE(model.ok()) << name;
    refused += model.ok() ? 0 : 1;
  }
  EXPECT_EQ(refused, 5);
}

}  // namespace
}  // namespace brisk
