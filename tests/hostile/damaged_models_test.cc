// Whole models, damaged in every way that files are: cut, with bits turned over, with numbers that
// lie. Each variant is opened, bound and run for a step, and must end in an answer or an error.
// The models are the seeds of the fuzzers (fuzz/corpus), one of every kind.
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <functional>
#include <regex>
#include <string>
#include <vector>

#include "base/rng.h"
#include "compute/sys/mapped_file.h"
#include "tests/support/read_small_checkpoint.h"
#include "tests/support/use_checkpoint.h"

namespace brisk {
namespace {

using Reader = SmallCheckpoint (*)(std::span<const std::byte>);

struct Container {
  const char* name;
  Reader read;
};

constexpr Container kContainers[] = {{"gguf", read_gguf_bytes},
                                     {"safetensors", read_hugging_face_bytes},
                                     {"llama2c", read_llama2c_bytes}};

struct Seed {
  std::string name;
  std::string bytes;
  Reader read;
};

std::vector<Seed> seeds() {
  std::vector<Seed> all;
  for (const Container& container : kContainers) {
    const std::string directory = std::string(BRISK_SOURCE_DIR "/fuzz/corpus/") + container.name;
    for (const auto& entry : std::filesystem::directory_iterator(directory)) {
      auto bytes = read_file(entry.path().string(), 1 << 20);
      EXPECT_TRUE(bytes.ok()) << bytes.status();
      if (bytes.ok()) all.push_back({entry.path().string(), *std::move(bytes), container.read});
    }
  }
  return all;
}

// The memory is exactly as large as the file, so that a sanitizer sees any read beyond it.
absl::Status open_and_run(const Seed& seed, std::string_view bytes) {
  const std::vector<char> exact(bytes.begin(), bytes.end());
  return use_checkpoint(seed.read(std::as_bytes(std::span(exact))));
}

TEST(DamagedModels, AreWholeBeforehand) {
  EXPECT_GE(seeds().size(), 20u);
  for (const Seed& seed : seeds()) {
    const absl::Status status = open_and_run(seed, seed.bytes);
    EXPECT_TRUE(status.ok()) << seed.name << ": " << status;
  }
}

TEST(DamagedModels, AreRefusedWhereverTheyAreCut) {
  for (const Seed& seed : seeds()) {
    for (size_t size = 0; size < seed.bytes.size(); size += 3) {
      const absl::Status status = open_and_run(seed, std::string_view(seed.bytes).substr(0, size));
      // GGUF pads its last tensor, so that a little may be missing.
      const bool may_be_whole = size + 32 >= seed.bytes.size();
      EXPECT_TRUE(may_be_whole || !status.ok()) << seed.name << " cut at " << size;
    }
  }
}

TEST(DamagedModels, SurviveFlippedBits) {
  Rng rng(3);
  int refused = 0;
  for (const Seed& seed : seeds()) {
    for (size_t at = 0; at < seed.bytes.size(); ++at) {
      std::string damaged = seed.bytes;
      damaged[at] = static_cast<char>(damaged[at] ^ (1 << rng.next_below(8)));
      refused += open_and_run(seed, damaged).ok() ? 0 : 1;
    }
  }
  EXPECT_GT(refused, 5000);
}

// Extreme values at every second place where a container could have a number, from `begin` on.
template <class T>
void put_everywhere(const Seed& seed, size_t begin, std::span<const T> values) {
  constexpr size_t kHeaderBytes = 2048;  // beyond it are mostly weights
  for (size_t at = begin; at + sizeof(T) <= seed.bytes.size(); at += at < kHeaderBytes ? 2 : 7) {
    for (const T value : values) {
      std::string damaged = seed.bytes;
      std::memcpy(damaged.data() + at, &value, sizeof value);
      open_and_run(seed, damaged).IgnoreError();
    }
  }
}

TEST(DamagedModels, SurviveLyingSizesOffsetsAndCounts) {
  size_t begin = 0;
  for (const Seed& seed : seeds()) {
    const uint32_t narrow[] = {0, 0x7FFFFFFF, 0xFFFFFFFF, 0x7FC00000};
    const uint64_t wide[] = {seed.bytes.size(), ~uint64_t{0}, uint64_t{1} << 62, uint64_t{1} << 32};
    put_everywhere<uint32_t>(seed, begin, narrow);
    put_everywhere<uint64_t>(seed, begin, wide);
    begin = 1 - begin;
  }
}

// Every number of the JSON parts, by what a number should not be.
TEST(DamagedModels, SurviveLyingJson) {
  const char* const lies[] = {
      "0",     "-1",   "1e999", "-0.5", "3.5", "4294967296", "18446744073709551616", "2147483647",
      "99999", "null", "true",  "[]",   "{}",  "\"x\"",      "[1,[2,[3]]]"};
  const std::regex number("[0-9][0-9.e+-]*");
  int refused = 0;
  for (const Seed& seed : seeds()) {
    if (seed.read != read_hugging_face_bytes) continue;
    const size_t weights = seed.bytes.find('\0', seed.bytes.find('\0') + 1) + 1;
    uint64_t header_bytes = 0;
    std::memcpy(&header_bytes, seed.bytes.data() + weights, sizeof header_bytes);
    const size_t data = weights + 8 + static_cast<size_t>(header_bytes);
    const auto end = std::cregex_iterator();
    for (auto it = std::cregex_iterator(seed.bytes.data(), seed.bytes.data() + data, number);
         it != end; ++it) {
      const auto at = static_cast<size_t>(it->position());
      if (at >= weights && at < weights + 8) continue;
      for (const std::string_view lie : lies) {
        std::string damaged = seed.bytes;
        damaged.replace(at, static_cast<size_t>(it->length()), lie);
        if (at > weights) {
          const uint64_t now = header_bytes + lie.size() - static_cast<uint64_t>(it->length());
          std::memcpy(damaged.data() + weights, &now, sizeof now);
        }
        refused += open_and_run(seed, damaged).ok() ? 0 : 1;
      }
    }
  }
  EXPECT_GT(refused, 1000);
}

}  // namespace
}  // namespace brisk
