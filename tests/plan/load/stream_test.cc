#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "plan/load/sse_reader.h"
#include "plan/load/stream_event.h"
#include "plan/load/target.h"

namespace brisk {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<std::string> events_of(const std::vector<std::string_view>& pieces) {
  SseReader reader;
  std::vector<std::string> events;
  for (const std::string_view piece : pieces) {
    EXPECT_TRUE(reader.push(piece, [&](std::string_view data) { events.emplace_back(data); }));
  }
  return events;
}

constexpr std::string_view kStream =
    ": ping\n\ndata: {\"a\":1}\n\nevent: x\nid: 7\ndata:{\"b\":2}\r\n\r\ndata: one\ndata: two\n\n\n"
    "data: [DONE]\n\ndata: never ended";

TEST(SseReader, FindsTheSameEventsWhereverTheBytesAreCut) {
  const auto whole = events_of({kStream});
  EXPECT_THAT(whole, ElementsAre("{\"a\":1}", "{\"b\":2}", "one\ntwo", "[DONE]"));
  for (size_t i = 0; i <= kStream.size(); ++i) {
    EXPECT_EQ(events_of({kStream.substr(0, i), kStream.substr(i)}), whole) << i;
  }
  std::vector<std::string_view> bytes;
  for (size_t i = 0; i < kStream.size(); ++i) bytes.push_back(kStream.substr(i, 1));
  EXPECT_EQ(events_of(bytes), whole);
}

TEST(SseReader, GivesUpOnAnEventWithoutEnd) {
  SseReader reader;
  const std::string piece(1 << 16, 'x');
  bool going = true;
  for (int i = 0; i < 20 && going; ++i) going = reader.push(piece, [](std::string_view) {});
  EXPECT_FALSE(going);
}

TEST(StreamEvent, TellsWhatCarriesATokenFromWhatDoesNot) {
  const auto output = [](std::string_view data) { return read_stream_event(data).output; };
  EXPECT_TRUE(output(R"({"choices":[{"text":"a","finish_reason":null}]})"));
  EXPECT_TRUE(output(R"({"choices" : [ {"text" : "\"","finish_reason":"stop"}]})"));
  EXPECT_TRUE(output(R"({"choices":[{"text":"","finish_reason":null}]})")) << "half a character";
  EXPECT_FALSE(output(R"({"choices":[{"text":"","finish_reason":"length"}]})"));
  EXPECT_TRUE(output(R"({"choices":[{"delta":{"content":"a"}}]})"));
  EXPECT_FALSE(output(R"({"choices":[{"delta":{"role":"assistant","content":""}}]})"));
  EXPECT_TRUE(output(R"({"choices":[{"delta":{"role":"assistant","content":"a"}}]})"));
  EXPECT_FALSE(output(R"({"choices":[{"delta":{},"finish_reason":"stop"}]})"));
  EXPECT_TRUE(output(R"({"choices":[{"delta":{"reasoning_content":"a"}}]})"));
  EXPECT_TRUE(output(R"({"choices":[{"delta":{"role":"assistant","tool_calls":[{"index":0}]}}]})"));
  EXPECT_FALSE(output(R"({"choices":[],"usage":null})"));
  EXPECT_FALSE(output("[DONE]"));
  EXPECT_TRUE(read_stream_event("[DONE]").done);
}

TEST(StreamEvent, KeysInsideOfTextAreText) {
  const auto event = read_stream_event(
      R"({"choices":[{"text":"\"usage\":{\"completion_tokens\":9}, \"error\":{}","finish_reason":null}]})");
  EXPECT_TRUE(event.output);
  EXPECT_FALSE(event.usage.has_value());
  EXPECT_EQ(event.error, "");
}

TEST(StreamEvent, ReadsUsageAndErrors) {
  const auto usage = read_stream_event(
      R"({"choices":[],"usage":{"completion_tokens":5,"prompt_tokens":3,"prompt_tokens_details":{"cached_tokens":2},"total_tokens":8}})");
  ASSERT_TRUE(usage.usage.has_value());
  EXPECT_EQ(usage.usage->output_tokens, 5);
  EXPECT_EQ(usage.usage->prompt_tokens, 3);
  EXPECT_EQ(usage.usage->cached_tokens, 2);
  EXPECT_EQ(read_stream_event(R"({"error":{"message":"no \"way\"","code":1}})").error,
            R"(no \"way\")");
  EXPECT_EQ(read_stream_event(R"({"error":"plain"})").error, R"({"error":"plain"})");
  EXPECT_EQ(read_stream_event(R"({"error":null,"choices":[]})").error, "");
}

TEST(StreamEvent, AnythingElseIsNothing) {
  for (const char* data : {"", "{", "null", "\"choices\":", "\"choices\":[", "\"message\":\"",
                           "{\"error\":{\"message\":\"\\"}) {
    EXPECT_FALSE(read_stream_event(data).done) << data;
  }
}

TEST(Target, ReadsAddresses) {
  const auto plain = parse_target("http://localhost:8000", "");
  ASSERT_TRUE(plain.ok());
  EXPECT_EQ(plain->host, "localhost");
  EXPECT_EQ(plain->port, 8000);
  EXPECT_EQ(to_url(*parse_target("http://[::1]:8080/llm/v1/", "")), "http://[::1]:8080/llm");
  EXPECT_EQ(parse_target("http://a", "")->port, 80);
  EXPECT_THAT(parse_target("https://a", "").status().ToString(), HasSubstr("http:// only"));
  for (const char* url : {"", "a:1", "http://", "http://:80", "http://a:0", "http://a:99999",
                          "http://a:b", "http://a b", "http://a\r\nx: y", "http://a?x",
                          "http://u@a", "http://[::1", "http://[::1]x"}) {
    EXPECT_FALSE(parse_target(url, "").ok()) << url;
  }
  EXPECT_FALSE(parse_target("http://a", "key\r\nx: y").ok());
}

}  // namespace
}  // namespace brisk
