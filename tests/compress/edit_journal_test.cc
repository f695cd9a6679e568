#include "compress/edit/edit_journal.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>

#include "base/status.h"
#include "compress/edit/resumed_edit.h"

namespace brisk {
namespace {

namespace fs = std::filesystem;

class Journal : public testing::Test {
 protected:
  Journal() : path_(testing::TempDir() + fmt::format("brisk-journal-{}", ::getpid())) {
    fs::remove_all(path_);
  }
  ~Journal() override { fs::remove_all(path_); }

  std::unique_ptr<EditJournal> open(const std::string& key = "key") const {
    return EditJournal::open(path_, key).value();
  }
  // A step of so many bytes of a letter; where they lie.
  static int64_t add(EditJournal& journal, size_t bytes, char letter) {
    const auto memory = journal.allocate(bytes);
    std::fill(memory.begin(), memory.end(), static_cast<std::byte>(letter));
    EXPECT_TRUE(journal.commit({{"letter", std::string(1, letter)}}).ok());
    return journal.offset_of(memory.data());
  }
  static bool holds(const EditJournal& journal, int64_t offset, size_t bytes, char letter) {
    const auto memory = journal.at(offset, bytes);
    return memory.ok() && std::all_of(memory->begin(), memory->end(), [&](std::byte byte) {
             return byte == static_cast<std::byte>(letter);
           });
  }

  std::string path_;
};

TEST_F(Journal, KeepsStepsThatAreCompleteAndForgetsWhatCameAfter) {
  int64_t a, b;
  {
    const auto journal = open();
    EXPECT_TRUE(journal->steps().empty());
    a = add(*journal, 10'000, 'a');
    b = add(*journal, 3, 'b');
    journal->release();
    EXPECT_TRUE(holds(*journal, a, 10'000, 'a'));
    const auto lost = journal->allocate(5000);
    std::fill(lost.begin(), lost.end(), std::byte{1});
  }
  const auto journal = open();
  ASSERT_EQ(journal->steps().size(), 2u);
  EXPECT_EQ(journal->steps()[1]["letter"], "b");
  EXPECT_TRUE(holds(*journal, a, 10'000, 'a'));
  EXPECT_TRUE(holds(*journal, b, 3, 'b'));
  EXPECT_FALSE(journal->at(b + 8192, 1).ok());
  EXPECT_FALSE(journal->at(-1, 1).ok());
  const auto fresh = journal->allocate(5000);
  EXPECT_TRUE(
      std::all_of(fresh.begin(), fresh.end(), [](std::byte x) { return x == std::byte{0}; }));
}

TEST_F(Journal, BelongsToItsKey) {
  add(*open("one"), 100, 'a');
  EXPECT_EQ(open("one")->steps().size(), 1u);
  EXPECT_TRUE(open("two")->steps().empty());
  EXPECT_TRUE(open("one")->steps().empty());
}

TEST_F(Journal, EndsWhereALineIsTornOrBytesAreOthers) {
  const auto fill = [&] {
    fs::remove_all(path_);
    const auto journal = open();
    for (const char letter : {'a', 'b', 'c'}) add(*journal, 100, letter);
  };
  fill();
  fs::resize_file(path_ + "/steps", fs::file_size(path_ + "/steps") - 5);
  EXPECT_EQ(open()->steps().size(), 2u);
  EXPECT_EQ(open()->steps().size(), 2u);

  fill();
  {
    std::fstream data(path_ + "/data", std::ios::in | std::ios::out | std::ios::binary);
    data.seekp(4096 + 7);
    data.put('x');
  }
  EXPECT_EQ(open()->steps().size(), 1u);

  fill();
  fs::resize_file(path_ + "/data", 4096);
  EXPECT_EQ(open()->steps().size(), 1u);

  fill();
  std::ofstream(path_ + "/steps") << "0123456789abcdef {\"key\":\"key\"}\nnonsense\n";
  EXPECT_TRUE(open()->steps().empty());
}

TEST_F(Journal, GoesOnBehindWhatWasThere) {
  const int64_t a = add(*open(), 100, 'a');
  const int64_t b = add(*open(), 100, 'b');
  const auto journal = open();
  EXPECT_EQ(journal->steps().size(), 2u);
  EXPECT_TRUE(holds(*journal, a, 100, 'a'));
  EXPECT_TRUE(holds(*journal, b, 100, 'b'));
}

TEST_F(Journal, StepsWhoseTensorsCannotBeAreRefused) {
  const std::vector<float> values(4 * 32);
  auto source = std::make_shared<Checkpoint>();
  source->tensors.push_back(
      {"w", {.dtype = DType::kF32, .shape = {4, 32}, .data = std::as_bytes(std::span(values))}});
  source->index["w"] = 0;
  const auto resume = [&](const char* format, const Json& shape, int64_t offset) {
    fs::remove_all(path_);
    {
      const auto journal = open();
      EXPECT_FALSE(journal->allocate(1).empty());
      const Json tensor = {
          {"name", "w"}, {"format", {{"name", format}}}, {"shape", shape}, {"offset", offset}};
      EXPECT_TRUE(journal
                      ->commit({{"tensors", {tensor}},
                                {"added", Json::array()},
                                {"removed", Json::array()},
                                {"details", 1}})
                      .ok());
    }
    return resume_edit(source, path_, "key").status().code();
  };
  EXPECT_EQ(resume("f32", {4, 32}, 0), absl::StatusCode::kOk);
  EXPECT_EQ(resume("q8_0", {4, 32}, 4096 - 4 * 34), absl::StatusCode::kOk);
  EXPECT_EQ(resume("q8_0", {4, 32}, 4096 - 4 * 33), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(resume("q4_k", {4, 32}, 0), absl::StatusCode::kInvalidArgument);  // blocks of 256
  EXPECT_EQ(resume("f32", {4, 33}, 0), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(resume("f32", {128}, 0), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(resume("f32", "wide", 0), absl::StatusCode::kInvalidArgument);
}

TEST_F(Journal, IsForOneAtATimeAndLeavesOthersFilesAlone) {
  const auto journal = open();
  EXPECT_FALSE(EditJournal::open(path_, "key").ok());
  const std::string other = path_ + "-other";
  fs::create_directories(other);
  std::ofstream(other + "/mine") << "mine";
  EXPECT_EQ(EditJournal::open(other, "key").status().code(), absl::StatusCode::kInvalidArgument);
  EditJournal::remove(other);
  EXPECT_TRUE(fs::exists(other + "/mine"));
  fs::remove_all(other);
  EditJournal::remove(path_);
  EXPECT_FALSE(fs::exists(path_));
}

}  // namespace
}  // namespace brisk
