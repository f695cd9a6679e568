#include "model/checkpoint/structure_importance.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <limits>

#include "base/status.h"
#include "compute/sys/mapped_file.h"

namespace brisk {
namespace {

class ImportanceFile : public testing::Test {
 protected:
  ImportanceFile() : path_(testing::TempDir() + fmt::format("brisk-importance-{}", ::getpid())) {
    spec_.layers.resize(2);
    spec_.ffn_size = 3;
    spec_.kv_heads = 1;
    spec_.hidden_size = 2;
  }
  ~ImportanceFile() override { std::filesystem::remove(path_); }

  const std::string path_;
  ModelSpec spec_;
  StructureImportance importance_ = {.neurons = {{1, 0.5, 0}, {4, 5, 6}},
                                     .kv_heads = {{7}, {8}},
                                     .channels = {9, 10},
                                     .layers = {11, 12}};
};

TEST_F(ImportanceFile, IsReadAsItWasWritten) {
  ASSERT_TRUE(write_structure_importance(path_, importance_).ok());
  const auto read = read_structure_importance(path_, spec_);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->neurons, importance_.neurons);
  EXPECT_EQ(read->kv_heads, importance_.kv_heads);
  EXPECT_EQ(read->channels, importance_.channels);
  EXPECT_EQ(read->layers, importance_.layers);
}

TEST_F(ImportanceFile, OfAModelOfAnotherShapeIsRefused) {
  ASSERT_TRUE(write_structure_importance(path_, importance_).ok());
  const auto expect_refused = [&](const ModelSpec& spec, const char* words) {
    const absl::Status status = read_structure_importance(path_, spec).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_NE(status.message().find(words), std::string::npos) << status;
  };
  ModelSpec other = spec_;
  other.ffn_size = 2;
  expect_refused(other, "\"neurons\" is f32 of 2 x 3, the model needs F32 of 2 x 2");
  other = spec_;
  other.layers.resize(1);
  expect_refused(other, "2 x 3");
  other = spec_;
  other.kv_heads = 2;
  expect_refused(other, "kv_heads");
  other = spec_;
  other.hidden_size = 3;
  expect_refused(other, "channels");
}

TEST_F(ImportanceFile, HoldsFiniteScoresOnly) {
  for (const double wrong : {-1.0, std::nan(""), std::numeric_limits<double>::infinity(), 1e300}) {
    importance_.channels[1] = wrong;
    EXPECT_EQ(write_structure_importance(path_, importance_).code(),
              absl::StatusCode::kInvalidArgument);
  }
  importance_.channels[1] = 2;
  ASSERT_TRUE(write_structure_importance(path_, importance_).ok());
  std::string bytes = read_file(path_, 1 << 16).value();
  bytes.back() = static_cast<char>(0xbf);  // the sign of the last score
  ASSERT_TRUE(write_file_atomically(path_, bytes).ok());
  EXPECT_EQ(read_structure_importance(path_, spec_).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(ImportanceFile, ThatIsNoneIsRefused) {
  for (const char* bytes : {"", "text", "\x02\0\0\0\0\0\0\0{}"}) {
    ASSERT_TRUE(
        write_file_atomically(path_, std::string(bytes, bytes[0] == 2 ? 10 : std::strlen(bytes)))
            .ok());
    const absl::Status status = read_structure_importance(path_, spec_).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  }
}

}  // namespace
}  // namespace brisk
