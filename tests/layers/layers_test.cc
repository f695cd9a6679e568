// The rooms of src/ and the arrows between them (ARCHITECTURE.md): a room includes only itself and
// what it points at. engine/kv and engine/sched include only base: the server, the simulator and
// the property tests run the same scheduler because of it. engine/grammar is as pure.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace brisk {
namespace {

namespace fs = std::filesystem;
using Rooms = std::set<std::string>;

// Room -> rooms it may include.
const std::map<std::string, Rooms>& arrows() {
  static const std::map<std::string, Rooms> kArrows = {
      {"base", {}},
      {"compute", {"base"}},
      {"tasks", {"base"}},
      {"hub", {"base"}},
      {"model", {"base", "compute"}},
      {"engine/kv", {"base"}},
      {"engine/sched", {"base", "engine/kv"}},
      {"engine/grammar", {"base"}},
      {"engine", {"base", "compute", "model", "engine/kv", "engine/sched", "engine/grammar"}},
      {"serve",
       {"base", "compute", "model", "engine", "engine/kv", "engine/sched", "engine/grammar"}},
      {"compress", {"base", "compute", "model", "tasks", "engine", "engine/kv", "engine/sched"}},
      {"plan", {"base", "compute", "model", "engine", "engine/kv", "engine/sched"}},
      {"train", {"base", "compute", "model", "engine", "engine/kv", "engine/sched"}},
      {"apps",
       {"base", "compute", "model", "engine", "engine/kv", "engine/sched", "engine/grammar",
        "serve", "compress", "plan", "tasks", "hub", "train"}},
  };
  return kArrows;
}

std::string room_of(const std::string& path) {
  for (const char* inner : {"engine/kv/", "engine/sched/", "engine/grammar/"}) {
    if (path.starts_with(inner)) return std::string(inner, std::string(inner).size() - 1);
  }
  return path.substr(0, path.find('/'));
}

// The quoted includes of a source text.
std::vector<std::string> includes(std::istream& source) {
  std::vector<std::string> found;
  const std::string start = "#include \"";
  for (std::string line; std::getline(source, line);) {
    if (!line.starts_with(start)) continue;
    found.push_back(line.substr(start.size(), line.find('"', start.size()) - start.size()));
  }
  return found;
}

// What is wrong with `path` (relative to src/) including `included`; empty when nothing is.
std::string complaint(const std::string& path, const std::string& included) {
  const std::string from = room_of(path);
  const std::string to = room_of(included);
  if (!arrows().contains(from)) return path + " is in a room that the table does not know";
  if (!arrows().contains(to)) return path + " includes " + included + ", which is in no room";
  if (from == to || arrows().at(from).contains(to)) return "";
  return path + " includes " + included + ": " + from + " must not know " + to;
}

TEST(Layers, EveryIncludeFollowsAnArrow) {
  const fs::path src = BRISK_SOURCE_DIR "/src";
  int files = 0;
  for (const auto& entry : fs::recursive_directory_iterator(src)) {
    const std::string extension = entry.path().extension().string();
    if (extension != ".cc" && extension != ".h") continue;
    ++files;
    const std::string path = fs::relative(entry.path(), src).string();
    std::ifstream source(entry.path());
    for (const std::string& included : includes(source)) {
      EXPECT_EQ(complaint(path, included), "");
    }
  }
  EXPECT_GT(files, 50) << "the test looks in the wrong place";
}

TEST(Layers, AWrongArrowIsSeen) {
  EXPECT_NE(complaint("engine/sched/scheduler.cc", "model/model.h"), "");
  EXPECT_NE(complaint("engine/kv/block_pool.cc", "engine/engine.h"), "");
  EXPECT_NE(complaint("engine/grammar/token_trie.h", "model/tokenizer/tokenizer.h"), "");
  EXPECT_NE(complaint("base/json.cc", "compute/sys/mapped_file.h"), "");
  EXPECT_NE(complaint("engine/engine.cc", "serve/http/server.h"), "");
  EXPECT_NE(complaint("elsewhere/file.cc", "base/json.h"), "");
  EXPECT_EQ(complaint("engine/sched/scheduler.cc", "engine/kv/block_cache.h"), "");
}

TEST(Layers, OnlyTheTrainerMayNameLibtorch) {
  const fs::path src = BRISK_SOURCE_DIR "/src";
  for (const auto& entry : fs::recursive_directory_iterator(src)) {
    if (!entry.is_regular_file()) continue;
    if (entry.path().string().find("/train/") != std::string::npos) continue;
    std::ifstream source(entry.path());
    for (std::string line; std::getline(source, line);) {
      EXPECT_FALSE(line.starts_with("#include <torch/")) << entry.path();
    }
  }
}

}  // namespace
}  // namespace brisk
