// Names on a hub and the choice of files; fetching is pull_test.py.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/status.h"
#include "hub/fetch.h"
#include "hub/listing.h"
#include "hub/reference.h"

namespace brisk {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(HubReference, NamesAModelAndMaybeAFile) {
  const auto whole = parse_hub_reference("Qwen/Qwen3-0.6B");
  ASSERT_TRUE(whole.ok());
  EXPECT_EQ(whole->repo, "Qwen/Qwen3-0.6B");
  EXPECT_EQ(whole->file, "");
  const auto part = parse_hub_reference("org/name:sub/model-Q8_0.gguf");
  ASSERT_TRUE(part.ok());
  EXPECT_EQ(part->file, "sub/model-Q8_0.gguf");
  EXPECT_EQ(part->text(), "org/name:sub/model-Q8_0.gguf");
  for (const char* wrong :
       {"", "name", "/name", "org/", "a/b/c", "../etc", "org/..", "./model", "org/na me",
        "org/name:", "org/name:../x", "org/name:/etc/passwd", "org/name:a//b", "org/name:a\nb",
        "org/a--b", "-x/y", "org/name:a/../../b", "https://hub/x"}) {
    EXPECT_FALSE(parse_hub_reference(wrong).ok()) << wrong;
  }
  EXPECT_FALSE(parse_hub_reference("org/" + std::string(97, 'a')).ok());
}

TEST(HubReference, APathIsNotMeantForAHub) {
  EXPECT_TRUE(means_hub("org/name"));
  EXPECT_TRUE(means_hub("org/name:Q4_K_M"));
  for (const char* path : {"model.gguf", "models/typo.gguf", "./org/name", "/org/name", "a/b/c", "",
                           "org/model.safetensors"}) {
    EXPECT_FALSE(means_hub(path)) << path;
  }
}

std::string entry(const std::string& path, const std::string& more = "") {
  return fmt::format(R"({{"rfilename":"{}","size":3,"blobId":"{}"{}}})", path, std::string(40, 'a'),
                     more);
}

HubListing listing_of(const std::vector<std::string>& paths) {
  std::string siblings;
  for (const std::string& path : paths) siblings += (siblings.empty() ? "" : ",") + entry(path);
  return parse_listing(
             fmt::format(R"({{"sha":"{}","siblings":[{}]}})", std::string(40, '1'), siblings))
      .value();
}

std::vector<std::string> chosen(const std::vector<std::string>& paths, const std::string& wanted) {
  std::vector<std::string> names;
  const auto choice = choose_files(listing_of(paths), wanted);
  if (!choice.ok()) return {std::string(message_of(choice.status()))};
  for (const HubFile& file : choice->files) names.push_back(file.path);
  return names;
}

TEST(HubListing, KeepsOnlyFilesThatCanBeCheckedAndKeptInside) {
  const std::string sha(64, 'b');
  const auto listing = parse_listing(fmt::format(
      R"({{"sha":"{}","siblings":[{},{},{},{},{},{},{}]}})", std::string(40, '1'), entry("good"),
      entry("big", fmt::format(R"(,"lfs":{{"sha256":"{}","size":9}})", sha)), entry("../evil"),
      entry("/etc/passwd"), entry("a/./b"), entry("bad", R"(,"lfs":{"sha256":"../../x","size":9})"),
      R"({"rfilename":"unchecked"})"));
  ASSERT_TRUE(listing.ok()) << listing.status();
  ASSERT_EQ(listing->files.size(), 2u);
  EXPECT_EQ(listing->files[0].etag(), std::string(40, 'a'));
  EXPECT_EQ(listing->files[1].etag(), sha);
  EXPECT_EQ(listing->files[1].bytes, 9);
  EXPECT_FALSE(parse_listing("{}").ok());
  EXPECT_FALSE(parse_listing(R"({"sha":"../../x","siblings":[]})").ok());
  EXPECT_FALSE(parse_listing("[").ok());
}

TEST(HubListing, ChoosesWhatMakesAModel) {
  EXPECT_THAT(chosen({"README.md", "config.json", "model.safetensors", "tokenizer.json",
                      "pytorch_model.bin", "x.gguf", "onnx/model.safetensors"},
                     ""),
              ElementsAre("config.json", "model.safetensors", "tokenizer.json"));
  EXPECT_THAT(chosen({"config.json", "consolidated.safetensors", "model-00001-of-00002.safetensors",
                      "model-00002-of-00002.safetensors", "model.safetensors.index.json"},
                     ""),
              ElementsAre("config.json", "model-00001-of-00002.safetensors",
                          "model-00002-of-00002.safetensors", "model.safetensors.index.json"));
  const std::vector<std::string> ggufs = {"m-IQ4_NL.gguf", "m-Q8_0.gguf", "m-q4_k_m.gguf",
                                          "mmproj-m-Q4_K_M.gguf", "big-Q2_K-00001-of-00002.gguf"};
  EXPECT_THAT(chosen(ggufs, ""), ElementsAre("m-q4_k_m.gguf"));
  EXPECT_THAT(chosen(ggufs, "Q8_0"), ElementsAre("m-Q8_0.gguf"));
  EXPECT_THAT(chosen(ggufs, "iq4_nl"), ElementsAre("m-IQ4_NL.gguf"));
  EXPECT_THAT(chosen(ggufs, "m-Q8_0.gguf"), ElementsAre("m-Q8_0.gguf"));
  EXPECT_THAT(chosen({"one.gguf"}, ""), ElementsAre("one.gguf"));
  const std::vector<std::string> parts = {
      "m-Q8_0-00002-of-00002.gguf", "m-Q8_0-00001-of-00002.gguf", "big-Q2_K-00001-of-00002.gguf"};
  const auto both = ElementsAre("m-Q8_0-00001-of-00002.gguf", "m-Q8_0-00002-of-00002.gguf");
  EXPECT_THAT(chosen(parts, ""), both);
  EXPECT_THAT(chosen(parts, "q8_0"), both);
  EXPECT_THAT(chosen(parts, "m-Q8_0-00002-of-00002.gguf"), both);
  EXPECT_THAT(chosen(parts, "Q2_K").front(), HasSubstr("it lacks big-Q2_K-00002-of-00002.gguf"));
  EXPECT_THAT(chosen(ggufs, "Q5_0").front(), HasSubstr("it has m-IQ4_NL.gguf, m-Q8_0.gguf"));
  EXPECT_THAT(chosen(ggufs, "_0").front(), HasSubstr("nothing in it"));
  EXPECT_THAT(chosen({"README.md"}, "").front(), HasSubstr("it has README.md"));
}

TEST(HubFetch, EscapesPaths) {
  EXPECT_EQ(url_path("a b/c#d?e%"), "a%20b/c%23d%3Fe%25");
  EXPECT_EQ(url_path("Q4_K-M.v1~"), "Q4_K-M.v1~");
}

}  // namespace
}  // namespace brisk
