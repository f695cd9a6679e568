#include "base/file_stamp.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <vector>

namespace brisk {

namespace fs = std::filesystem;

std::string file_stamp(const std::string& path) {
  std::error_code error;
  std::vector<fs::path> files;
  if (fs::is_directory(path, error)) {
    for (fs::directory_iterator it(path, error); !error && it != fs::directory_iterator();
         it.increment(error)) {
      files.push_back(it->path());
    }
    std::ranges::sort(files);
  } else {
    files.emplace_back(path);
  }
  std::string stamp;
  for (const fs::path& file : files) {
    if (!fs::is_regular_file(file, error)) continue;
    const uintmax_t bytes = fs::file_size(file, error);
    const auto time = fs::last_write_time(file, error).time_since_epoch().count();
    stamp += fmt::format("{}:{}:{};", file.filename().string(), bytes, time);
  }
  return stamp;
}

}  // namespace brisk
