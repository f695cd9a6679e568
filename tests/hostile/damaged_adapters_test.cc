// Adapters, damaged in every way that files are; each must end in an answer or an error. They are
// the seeds of the fuzzer (fuzz/corpus/lora).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <regex>
#include <string>
#include <vector>

#include "base/rng.h"
#include "compute/sys/mapped_file.h"
#include "tests/support/use_adapter.h"

namespace brisk {
namespace {

using testing::HasSubstr;

struct Seed {
  std::string name;
  std::string bytes;
};

std::vector<Seed> seeds() {
  std::vector<Seed> all;
  const char* const directory = BRISK_SOURCE_DIR "/fuzz/corpus/lora";
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    all.push_back({entry.path().string(), read_file(entry.path().string(), 1 << 20).value()});
  }
  return all;
}

// The memory is exactly as large as the file, so that a sanitizer sees any read beyond it.
absl::Status read_and_use(std::string_view bytes) {
  const std::vector<char> exact(bytes.begin(), bytes.end());
  return use_adapter(read_adapter_bytes(std::as_bytes(std::span(exact))));
}

std::string seed_named(std::string_view ending) {
  for (const Seed& seed : seeds()) {
    if (seed.name.ends_with(ending)) return seed.bytes;
  }
  return "";
}

// The PEFT seed with one field of its configuration said otherwise.
absl::Status with_field(const char* key, Json value) {
  const std::string whole = seed_named("/peft");
  const size_t end = whole.find('\0');
  Json config = Json::parse(whole.substr(0, end));
  config[key] = std::move(value);
  return read_and_use(to_text(config) + whole.substr(end));
}

// The PEFT seed with `from` replaced in the header of its tensors, by as many characters.
absl::Status with_name(const std::string& from, const std::string& to) {
  std::string whole = seed_named("/peft");
  const size_t at = whole.find(from);
  if (at == std::string::npos) return absl::InternalError("no " + from);
  return read_and_use(whole.replace(at, from.size(), to));
}

TEST(DamagedAdapters, AreWholeBeforehand) {
  EXPECT_GE(seeds().size(), 2u);
  for (const Seed& seed : seeds()) {
    const absl::Status status = read_and_use(seed.bytes);
    EXPECT_TRUE(status.ok()) << seed.name << ": " << status;
  }
}

TEST(DamagedAdapters, AreRefusedWhereverTheyAreCut) {
  for (const Seed& seed : seeds()) {
    for (size_t size = 0; size + 32 < seed.bytes.size(); ++size) {
      EXPECT_FALSE(read_and_use(seed.bytes.substr(0, size)).ok()) << seed.name << " at " << size;
    }
  }
}

TEST(DamagedAdapters, SurviveFlippedBitsAndLyingNumbers) {
  Rng rng(3);
  int refused = 0;
  for (const Seed& seed : seeds()) {
    for (size_t at = 0; at < seed.bytes.size(); ++at) {
      std::string damaged = seed.bytes;
      damaged[at] = static_cast<char>(damaged[at] ^ (1 << rng.next_below(8)));
      refused += read_and_use(damaged).ok() ? 0 : 1;
    }
    for (size_t at = 0; at + 8 <= seed.bytes.size(); ++at) {
      for (const uint64_t lie : {uint64_t{0}, ~uint64_t{0}, uint64_t{1} << 62, uint64_t{513}}) {
        std::string damaged = seed.bytes;
        std::memcpy(damaged.data() + at, &lie, sizeof lie);
        refused += read_and_use(damaged).ok() ? 0 : 1;
      }
    }
  }
  EXPECT_GT(refused, 1000);
}

TEST(DamagedAdapters, SurviveLyingJson) {
  const char* const lies[] = {"0",         "-1",    "1e999", "3.5",  "18446744073709551616",
                              "513",       "99999", "null",  "true", "[]",
                              "{\"a\":1}", "\"x\""};
  const std::regex number("[0-9][0-9.e+-]*");
  const std::string whole = seed_named("/peft");
  const size_t weights = whole.find('\0') + 1;
  uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, whole.data() + weights, sizeof header_bytes);
  const char* const end = whole.data() + weights + 8 + header_bytes;
  int refused = 0;
  for (auto it = std::cregex_iterator(whole.data(), end, number); it != std::cregex_iterator();
       ++it) {
    const auto at = static_cast<size_t>(it->position());
    if (at >= weights && at < weights + 8) continue;
    for (const std::string_view lie : lies) {
      std::string damaged = whole;
      damaged.replace(at, static_cast<size_t>(it->length()), lie);
      if (at > weights) {
        const uint64_t now = header_bytes + lie.size() - static_cast<uint64_t>(it->length());
        std::memcpy(damaged.data() + weights, &now, sizeof now);
      }
      refused += read_and_use(damaged).ok() ? 0 : 1;
    }
  }
  EXPECT_GT(refused, 300);
}

TEST(OddAdapters, AreRefusedByWhatTheyAskFor) {
  const std::pair<const char*, Json> refused[] = {{"peft_type", "IA3"},
                                                  {"use_dora", true},
                                                  {"bias", "all"},
                                                  {"modules_to_save", {"lm_head"}},
                                                  {"lora_bias", true},
                                                  {"trainable_token_indices", {1, 2}},
                                                  {"target_parameters", {"experts"}},
                                                  {"layer_replication", {{0, 4}}},
                                                  {"alora_invocation_tokens", {3}},
                                                  {"init_lora_weights", "pissa"},
                                                  {"alpha_pattern", {{"^model.*q_proj", 8}}},
                                                  {"alpha_pattern", {{"q_proj", -8}}},
                                                  {"lora_alpha", "much"},
                                                  {"use_rslora", 3},
                                                  {"r", 0},
                                                  {"r", 3}};
  for (const auto& [key, value] : refused) {
    const absl::Status status = with_field(key, value);
    EXPECT_FALSE(status.ok()) << key;
    EXPECT_THAT(status.message(), HasSubstr(key));
  }
}

TEST(OddAdapters, AreTakenWhereTheFieldChangesNothing) {
  const std::pair<const char*, Json> taken[] = {{"target_modules", "all-linear"},
                                                {"target_modules", {"q_proj"}},
                                                {"modules_to_save", nullptr},
                                                {"modules_to_save", Json::array()},
                                                {"use_rslora", true},
                                                {"init_lora_weights", "gaussian"},
                                                {"fan_in_fan_out", true},
                                                {"alpha_pattern", {{"q_proj", 8}}},
                                                {"rank_pattern", {{"q_proj", 2}}},
                                                {"lora_dropout", 0.1}};
  for (const auto& [key, value] : taken) {
    EXPECT_TRUE(with_field(key, value).ok()) << key << ": " << with_field(key, value);
  }
}

TEST(OddAdapters, AreRefusedByTheNameOfTheTensor) {
  const std::pair<const char*, const char*> renamed[] = {
      {"layers.0.self_attn.q_proj.lora_A", "layers.1.self_attn.q_proj.lora_A"},
      {"self_attn.q_proj.lora_B", "self_attn.x_proj.lora_B"},
      {"q_proj.lora_A.weight", "q_proj.lora_E.weight"},
      {"q_proj.lora_B.weight", "q_proj.lora_B.bias__"}};
  for (const auto& [from, to] : renamed) {
    const absl::Status status = with_name(from, to);
    EXPECT_FALSE(status.ok()) << to;
    EXPECT_THAT(status.message(), HasSubstr("proj")) << to;
  }
}

}  // namespace
}  // namespace brisk
