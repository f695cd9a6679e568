#include "tasks/read_samples.h"

#include <gtest/gtest.h>

#include <string>

#include "base/rng.h"
#include "base/status.h"

namespace brisk::tasks {
namespace {

std::string error_of(const std::string& line) {
  const auto sample = parse_sample(line);
  return sample.ok() ? "" : std::string(message_of(sample.status()));
}

TEST(ParseSample, TakesAConversationWithoutItsAnswersTurn) {
  const auto sample =
      parse_sample(R"({"messages":[{"role":"user","content":"1+1?"}],"answer":"2","extra":[1]})");
  ASSERT_TRUE(sample.ok()) << sample.status();
  ASSERT_EQ(sample->messages.size(), 2u);
  EXPECT_EQ(sample->messages[1].content, "2");
  EXPECT_EQ(sample->task, "unnamed");
}

TEST(ParseSample, SaysWhatIsWrong) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "unexpected"},
      {"[]", "expected an object"},
      {"{}", "messages"},
      {R"({"messages":[]})", "not a list"},
      {R"({"messages":{}})", "not a list"},
      {R"({"messages":[1]})", "role"},
      {R"({"messages":[{"role":"user"}]})", "content"},
      {R"({"messages":[{"role":"god","content":"x"}]})", "god"},
      {R"({"messages":[{"role":"user","content":"x"}],"answer":2})", "not a string"},
      {R"({"messages":[{"role":"user","content":"x"}],"answer":""})", "one line"},
      {R"({"messages":[{"role":"user","content":"x"}],"answer":"a\nb"})", "one line"},
      {R"({"messages":[{"role":"assistant","content":"x"}],"answer":"a"})", "nothing comes before"},
      {R"({"text":"x","level":"none"})", "none"},
      {R"({"text":"x","task":""})", "task"},
      {R"({"text":1})", "messages"},
  };
  for (const auto& [line, part] : cases) {
    EXPECT_NE(error_of(line), "") << line;
    if (std::string(part) != "unexpected") {
      EXPECT_NE(error_of(line).find(part), std::string::npos) << line << ": " << error_of(line);
    }
  }
}

TEST(ParseGradedSamples, NamesTheLineAndSkipsWhatHasNoAnswer) {
  const std::string good = R"({"messages":[{"role":"user","content":"q"}],"answer":"a"})";
  const auto samples = parse_graded_samples("{\"text\":\"story\"}\n\n" + good + "\r\n" + good, 0);
  ASSERT_TRUE(samples.ok()) << samples.status();
  EXPECT_EQ(samples->size(), 2u);
  EXPECT_EQ(parse_graded_samples(good + '\n' + good, 1)->size(), 1u);
  const auto bad = parse_graded_samples(good + "\n{", 0);
  EXPECT_NE(message_of(bad.status()).find("line 2"), std::string::npos);
  EXPECT_FALSE(parse_graded_samples("{\"text\":\"story\"}\n", 0).ok());
  EXPECT_FALSE(parse_graded_samples("", 0).ok());
}

TEST(ParseGradedSamples, SurvivesDamagedLines) {
  const std::string good =
      R"({"messages":[{"role":"system","content":"s"},{"role":"user","content":"q"}],)"
      R"("task":"add","level":"easy","answer":"a"})";
  Rng rng(1);
  for (int i = 0; i < 20000; ++i) {
    std::string line = good;
    const int changes = static_cast<int>(rng.next_below(4)) + 1;
    for (int c = 0; c < changes; ++c) {
      const size_t at = rng.next_below(line.size());
      if (rng.next_below(3) == 0) {
        line.erase(at, 1 + rng.next_below(10));
      } else {
        line[at] = static_cast<char>(rng.next_below(256));
      }
      if (line.empty()) line = " ";
    }
    const auto samples = parse_graded_samples(line, 0);
    if (!samples.ok()) {
      EXPECT_FALSE(message_of(samples.status()).empty());
    }
  }
  EXPECT_FALSE(parse_sample(std::string(100000, '[')).ok());
  EXPECT_FALSE(parse_sample("{\"text\":\"" + std::string(2 << 20, 'a') + "\"}").ok());
}

}  // namespace
}  // namespace brisk::tasks
