#include "engine/store/prefix_store.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <numeric>

#include "base/rng.h"

namespace brisk {
namespace {

namespace fs = std::filesystem;

class PrefixStoreTest : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = fs::path(testing::TempDir()) /
                 ("brisk_store_" + std::to_string(::getpid()) + "_" +
                  testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::remove_all(directory_);
    std::iota(tokens_.begin(), tokens_.end(), 100);
  }
  void TearDown() override { fs::remove_all(directory_); }

  std::unique_ptr<PrefixStore> open(uint64_t fingerprint = 7, int64_t bytes_max = 1 << 20) const {
    return PrefixStore::open({.directory = directory_.string(),
                              .bytes_max = bytes_max,
                              .fingerprint = fingerprint,
                              .block_bytes = 100,
                              .block_tokens = 4})
        .value();
  }

  std::span<const int32_t> prefix(size_t blocks) const {
    return std::span(tokens_).first(blocks * 4);
  }

  // Bytes that stand for the block that ends so many blocks.
  static std::vector<std::byte> block(size_t blocks) {
    return std::vector<std::byte>(100, static_cast<std::byte>(blocks));
  }

  static bool reads(PrefixStore& store, std::span<const int32_t> prefix,
                    const std::vector<std::byte>& expected) {
    std::vector<std::byte> bytes(100);
    return store.read(prefix, bytes).ok() && bytes == expected;
  }

  fs::path directory_;
  std::vector<int32_t> tokens_ = std::vector<int32_t>(40);
};

TEST_F(PrefixStoreTest, KeepsBlocksAcrossRestarts) {
  {
    const auto store = open();
    for (size_t i = 1; i <= 5; ++i) ASSERT_TRUE(store->write(prefix(i), block(i)).ok());
  }
  const auto store = open();
  EXPECT_EQ(store->blocks_of(tokens_, 0), 5);
  EXPECT_EQ(store->blocks_of(tokens_, 2), 3);
  EXPECT_EQ(store->blocks_of(tokens_, 5), 0);
  EXPECT_EQ(store->blocks_of(prefix(3), 0), 3);
  for (size_t i = 1; i <= 5; ++i) EXPECT_TRUE(reads(*store, prefix(i), block(i)));
  EXPECT_FALSE(reads(*store, prefix(6), block(6)));
}

TEST_F(PrefixStoreTest, OtherTokensOrModelsAreOtherPrefixes) {
  const auto store = open();
  for (size_t i = 1; i <= 3; ++i) ASSERT_TRUE(store->write(prefix(i), block(i)).ok());
  tokens_[5] = 9;  // in the second block: the third is another one too
  EXPECT_EQ(store->blocks_of(tokens_, 0), 1);
  EXPECT_EQ(store->blocks_of(tokens_, 2), 0);
  tokens_[5] = 105;
  EXPECT_EQ(open(8)->blocks_of(tokens_, 0), 0);
}

TEST_F(PrefixStoreTest, OnlyItsUserMayReadTheFiles) {
  const auto store = open();
  ASSERT_TRUE(store->write(prefix(1), block(1)).ok());
  for (const auto& file : fs::directory_iterator(directory_)) {
    struct stat status{};
    ASSERT_EQ(::stat(file.path().c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777, 0600u);
  }
}

TEST_F(PrefixStoreTest, DamagedFilesAreMissesAndGo) {
  Rng rng(2);
  for (int round = 0; round < 300; ++round) {
    const auto store = open();
    ASSERT_TRUE(store->write(prefix(2), block(2)).ok());
    const fs::path path = fs::directory_iterator(directory_)->path();
    const auto size = static_cast<size_t>(fs::file_size(path));
    if (round % 3 == 0) {
      fs::resize_file(path, rng.next_below(size));
    } else if (round % 3 == 1) {
      std::ofstream(path, std::ios::app) << "more";
    } else {
      std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
      const auto at = static_cast<std::streamoff>(rng.next_below(size));
      file.seekg(at);
      const char byte = static_cast<char>(file.get() ^ (1 << rng.next_below(8)));
      file.seekp(at);
      file.put(byte);
    }
    std::vector<std::byte> bytes(100);
    EXPECT_TRUE(absl::IsDataLoss(store->read(prefix(2), bytes)) || round % 3 == 1);
    EXPECT_FALSE(fs::exists(path));
    EXPECT_EQ(store->blocks_of(tokens_, 1), 0);
  }
}

TEST_F(PrefixStoreTest, FilesThatVanishAreMisses) {
  const auto store = open();
  ASSERT_TRUE(store->write(prefix(1), block(1)).ok());
  for (const auto& file : fs::directory_iterator(directory_)) fs::remove(file.path());
  EXPECT_FALSE(reads(*store, prefix(1), block(1)));
  EXPECT_EQ(store->blocks_of(tokens_, 0), 0);
  ASSERT_TRUE(store->write(prefix(1), block(1)).ok());
  EXPECT_TRUE(reads(*store, prefix(1), block(1)));
}

TEST_F(PrefixStoreTest, StaysWithinItsSizeAndForgetsWhatWasUsedLeast) {
  {
    const auto store = open(7, 1500);
    for (size_t i = 1; i <= 9; ++i) {
      ASSERT_TRUE(store->write(prefix(i), block(i)).ok());
      EXPECT_TRUE(reads(*store, prefix(1), block(1)));
      EXPECT_LE(store->bytes(), 1500);
    }
    EXPECT_TRUE(reads(*store, prefix(9), block(9)));
    EXPECT_FALSE(reads(*store, prefix(2), block(2)));
  }
  EXPECT_LE(open(7, 1000)->bytes(), 1000);
  int64_t bytes = 0;
  for (const auto& file : fs::directory_iterator(directory_)) {
    bytes += static_cast<int64_t>(file.file_size());
  }
  EXPECT_LE(bytes, 1000);
}

TEST_F(PrefixStoreTest, RemovesWhatWasNeverFinishedAndLeavesStrangersAlone) {
  fs::create_directories(directory_);
  std::ofstream(directory_ / "0123.kv.17.part") << "half";
  std::ofstream(directory_ / "notes.txt") << "mine";
  open();
  EXPECT_FALSE(fs::exists(directory_ / "0123.kv.17.part"));
  EXPECT_TRUE(fs::exists(directory_ / "notes.txt"));
}

TEST_F(PrefixStoreTest, SaysWhatIsNoDirectory) {
  std::ofstream(directory_.string()) << "a file";
  const auto store = PrefixStore::open({.directory = directory_.string(), .block_bytes = 100});
  EXPECT_FALSE(store.ok());
  EXPECT_NE(store.status().message().find(directory_.string()), std::string::npos);
}

}  // namespace
}  // namespace brisk
