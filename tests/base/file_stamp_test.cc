#include "base/file_stamp.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>

namespace brisk {
namespace {

namespace fs = std::filesystem;

TEST(FileStamp, NamesSizesAndTimesOfAFileOrOfADirectorysFiles) {
  const fs::path directory = fs::path(testing::TempDir()) / fmt::format("stamps-{}", ::getpid());
  fs::create_directories(directory / "below");
  EXPECT_EQ(file_stamp(directory), "");
  EXPECT_EQ(file_stamp(directory / "none"), "");
  EXPECT_EQ(file_stamp(""), "");
  const auto write = [&](const char* name, const char* text, int seconds) {
    std::ofstream(directory / name) << text;
    fs::last_write_time(directory / name, fs::file_time_type(std::chrono::seconds(seconds)));
  };
  write("a", "1", 1);
  const std::string alone = file_stamp(directory / "a");
  EXPECT_NE(alone, "");
  EXPECT_EQ(file_stamp(directory), alone);
  write("below/b", "2", 2);
  EXPECT_EQ(file_stamp(directory), alone);
  write("c", "3", 3);
  EXPECT_EQ(file_stamp(directory), alone + file_stamp(directory / "c"));
  write("a", "1", 4);
  EXPECT_NE(file_stamp(directory / "a"), alone) << "another time";
  write("a", "11", 1);
  EXPECT_NE(file_stamp(directory / "a"), alone) << "another size";
  write("a", "1", 1);
  EXPECT_EQ(file_stamp(directory / "a"), alone);
  fs::create_symlink(directory / "a", directory / "link");
  write("a", "111", 5);
  EXPECT_NE(file_stamp(directory / "link").find(":3:"), std::string::npos) << "what it leads to";
  fs::remove_all(directory);
}

}  // namespace
}  // namespace brisk
