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

  static std::vector<float> logits_of(const std::string& path, const std::vector<int32_t>& prompt) {
    // Compiled weights are panels, which on AMX are not what others become.
    LoadOptions options;
    options.kernels = choose_kernels("avx512").value_or(&kKernelsScalar);
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
  int64_t packed = 0, cases = 0;
  for (const auto& entry : fs::directory_iterator(kCases)) {
    const fs::path source = entry.path() / "model.gguf";
    if (!fs::exists(source) || !fs::exists(entry.path() / "expected.json")) continue;
    SCOPED_TRACE(source);
    const Json expected =
        parse_json(read_file((entry.path() / "expected.json").string(), 64 << 20).value()).value();
    const auto prompt = expected["prompt_ids"].get<std::vector<int32_t>>();
    const auto result = compile_checkpoint(source.string(), out_.string(), {});
    ASSERT_TRUE(result.ok()) << result.status();
    packed += result->packed;
    ++cases;
    EXPECT_EQ(logits_of(out_.string(), prompt), logits_of(source.string(), prompt));
  }
  EXPECT_GE(cases, 20);
  EXPECT_GE(packed, 50);
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
  for (const char* name : {"token_embd.weight", "output_norm.weight", "blk.0.attn_norm.weight"}) {
    std::string changed = bytes;
    const size_t at = changed.find(name);
    ASSERT_NE(at, std::string::npos);
    // After the name: u32 dimensions, the extents, u32 type.
    uint32_t extents = 0;
    const size_t dimensions = at + std::strlen(name);
    std::memcpy(&extents, changed.data() + dimensions, 4);
    const uint32_t panels = 0x62720100;
    std::memcpy(changed.data() + dimensions + 4 + 8 * extents, &panels, 4);
    std::ofstream(out_, std::ios::binary) << changed;
    const auto model = load_model(out_.string());
    EXPECT_FALSE(model.ok()) << name;
    refused += model.ok() ? 0 : 1;
  }
  EXPECT_EQ(refused, 3);
}

}  // namespace
}  // namespace brisk
