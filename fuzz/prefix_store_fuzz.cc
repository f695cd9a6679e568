// Files of the prefix store: whatever lies under a block's name is either that block or a miss, and
// then gone.
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <vector>

#include "engine/store/prefix_store.h"

namespace {

constexpr int64_t kBlockBytes = 24;

void must(bool fact) {
  if (!fact) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::filesystem::path directory =
      std::filesystem::temp_directory_path() / ("brisk_store_fuzz_" + std::to_string(::getpid()));
  std::vector<int32_t> tokens(8);
  std::iota(tokens.begin(), tokens.end(), 1);
  const auto store = brisk::PrefixStore::open({.directory = directory.string(),
                                               .bytes_max = 1 << 20,
                                               .fingerprint = 5,
                                               .block_bytes = kBlockBytes,
                                               .block_tokens = 4})
                         .value();
  const std::vector<std::byte> block(kBlockBytes, std::byte{9});
  must(store->write(tokens, block).ok());
  const std::filesystem::path path = std::filesystem::directory_iterator(directory)->path();
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(data), static_cast<std::streamsize>(size));
  std::vector<std::byte> bytes(kBlockBytes);
  if (!store->read(tokens, bytes).ok()) must(!std::filesystem::exists(path));
  std::filesystem::remove(path);
  return 0;
}
