// llama2.c and bitllama2.c files: whatever the bytes, opening them ends with an error or with a
// model that runs a step. A file's size must be exactly what its header says, which no mutation
// hits; a second reading gives it that size, where it is small.
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/check.h"
#include "tests/support/read_small_checkpoint.h"
#include "tests/support/use_checkpoint.h"

namespace {

constexpr size_t kSizeMax = 1 << 15;

void open(std::span<const std::byte> file) {
  const brisk::SmallCheckpoint checkpoint = brisk::read_llama2c_bytes(file);
  BRISK_CHECK(brisk::is_llama2c(file) || !checkpoint.ok());
  brisk::use_checkpoint(checkpoint).IgnoreError();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span<const std::byte> file = std::as_bytes(std::span(data, size));
  open(file);
  const std::optional<uint64_t> described = brisk::llama2c_file_bytes(file);
  if (!described.has_value() || *described > kSizeMax) return 0;
  std::vector<std::byte> fitted(file.begin(), file.end());
  fitted.resize(static_cast<size_t>(*described));
  open(fitted);
  return 0;
}
