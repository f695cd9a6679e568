// Calls of tools in answers: every family's own syntax, what is not one after all, and that it does
// not matter how the text was cut.
#include "serve/tools/tool_call_parser.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/json.h"
#include "base/rng.h"
#include "engine/grammar/tool_call_grammar.h"
#include "tests/serve/tools/answers.h"

namespace brisk {
namespace {

using api::ToolCallSyntax;
using test::read_answer;
using test::ReadAnswer;
using test::ReadCall;
using testing::ElementsAre;
using testing::IsEmpty;

api::ToolCallParser::Options options(ToolCallSyntax syntax) {
  return {.syntax = syntax, .tools = {"get_weather", "f", "g"}};
}

ReadAnswer read(ToolCallSyntax syntax, std::string_view text) {
  return read_answer(options(syntax), text);
}

TEST(ToolCallParser, ReadsTaggedCalls) {
  const ReadAnswer answer =
      read(ToolCallSyntax::kTagged,
           "Let me see.\n<tool_call>\n{\"name\": \"get_weather\", "
           "\"arguments\": {\"city\": \"K\xC3\xB6ln\"}}\n</tool_call>\n"
           "<tool_call>{\"arguments\": {\"a\":1}, \"name\":\"f\"}</tool_call>");
  EXPECT_EQ(answer.text, "Let me see.");
  EXPECT_THAT(answer.calls, ElementsAre(ReadCall{"get_weather", "{\"city\": \"K\xC3\xB6ln\"}"},
                                        ReadCall{"f", "{\"a\":1}"}));
}

TEST(ToolCallParser, ReadsOddTaggedCalls) {
  const auto calls = [](std::string_view text) {
    return read(ToolCallSyntax::kTagged, text).calls;
  };
  EXPECT_THAT(calls(R"(<tool_call>{"name":"f"}</tool_call>)"), ElementsAre(ReadCall{"f", "{}"}));
  EXPECT_THAT(calls(R"(<tool_call>{"name":"f","arguments":"{\"a\": [1]}"}</tool_call>)"),
              ElementsAre(ReadCall{"f", R"({"a": [1]})"}));
  EXPECT_THAT(calls(R"(<tool_call>{"id":7,"name":"f","parameters":{}} )"),
              ElementsAre(ReadCall{"f", "{}"}));
  EXPECT_THAT(calls(R"(<tool_call>{"name":"not_offered","arguments":{}}</tool_call>)"),
              ElementsAre(ReadCall{"not_offered", "{}"}));
  EXPECT_THAT(calls(R"(<tool_call>{"name":"f","arguments":{}}<tool_call>{"name":"g"})"),
              ElementsAre(ReadCall{"f", "{}"}, ReadCall{"g", "{}"}));
}

TEST(ToolCallParser, TextBesideTaggedCallsStays) {
  const ReadAnswer answer = read(ToolCallSyntax::kTagged,
                                 " a <b <tool_callx> \n<tool_call>{\"name\":\"f\"}</tool_call>\n\n"
                                 "then  <tool_call>{\"name\":\"f\"}</tool_call>\n");
  EXPECT_EQ(answer.text, " a <b <tool_callx>then");
  EXPECT_EQ(answer.calls.size(), 2u);
  EXPECT_EQ(answer.pieces.size(), 6u) << "text, call, arguments, text, call, arguments";
}

TEST(ToolCallParser, WhatIsNoCallIsText) {
  for (const std::string_view text : {
           "<tool_call>hello</tool_call> ",
           "<tool_call>{\"name\": 7}</tool_call>",
           "<tool_call>{\"name\": \"a b\", \"arguments\": {}}</tool_call>",
           "<tool_call>{\"name\": \"f\", \"name\": \"g\"}</tool_call>",
           "<tool_call>{\"arguments\": [1]}</tool_call>",
           "<tool_call>{\"name\": \"f\", \"arguments\": 1}</tool_call>",
           "<tool_call>{\"name\": \"f\"",
           "<tool_call>[{\"name\": \"f\"}]",
           "<tool_ca",
           "\n\n",
       }) {
    const ReadAnswer answer = read(ToolCallSyntax::kTagged, text);
    EXPECT_EQ(answer.text, text);
    EXPECT_THAT(answer.calls, IsEmpty()) << text;
  }
  for (const std::string_view text :
       {"{\"name\": \"somebody\", \"parameters\": {}}", "{\"name\": \"f\"}", "{\"age\": 7}",
        "Sure: {\"name\": \"f\", \"parameters\": {}}", " {", "{}x"}) {
    EXPECT_EQ(read(ToolCallSyntax::kJson, text).text, text);
    EXPECT_THAT(read(ToolCallSyntax::kJson, text).calls, IsEmpty()) << text;
  }
  for (const std::string_view text :
       {"[1, 2]", "[]", "[h(a=1)]", "[f]", "see [f(a=1)]", "[f (a=1)]", " [", "[\"f\"]"}) {
    EXPECT_EQ(read(ToolCallSyntax::kPythonic, text).text, text);
    EXPECT_THAT(read(ToolCallSyntax::kPythonic, text).calls, IsEmpty()) << text;
  }
}

TEST(ToolCallParser, ACallThatBreaksKeepsWhatWasRead) {
  const ReadAnswer answer =
      read(ToolCallSyntax::kTagged,
           R"(<tool_call>{"name":"f","arguments":{"a": tru}}</tool_call>and on)");
  EXPECT_THAT(answer.calls, ElementsAre(ReadCall{"f", "{\"a\": tru"}));
  EXPECT_EQ(answer.text, "and on");
  const ReadAnswer cut =
      read(ToolCallSyntax::kTagged, R"(<tool_call>{"name":"f","arguments":{"a": "half)");
  EXPECT_THAT(cut.calls, ElementsAre(ReadCall{"f", "{\"a\": \"half"}));
  EXPECT_EQ(cut.text, "");
}

TEST(ToolCallParser, ReadsPlainJsonCalls) {
  const ReadAnswer answer = read(ToolCallSyntax::kJson,
                                 "\n{\"name\": \"f\", \"parameters\": {\"a\": {\"b\": []}}}; "
                                 "{\"name\": \"g\", \"parameters\": {}}");
  EXPECT_EQ(answer.text, "");
  EXPECT_THAT(answer.calls,
              ElementsAre(ReadCall{"f", "{\"a\": {\"b\": []}}"}, ReadCall{"g", "{}"}));
}

TEST(ToolCallParser, ReadsMistralsCalls) {
  const auto calls = [](std::string_view text) {
    return read(ToolCallSyntax::kMistral, text).calls;
  };
  const ReadCall f{"f", "{\"a\": 1}"};
  const ReadCall g{"g", "{}"};
  EXPECT_THAT(calls(R"([TOOL_CALLS] [{"name": "f", "arguments": {"a": 1}}, {"name": "g"}])"),
              ElementsAre(f, g));
  EXPECT_THAT(calls(R"(On it.[TOOL_CALLS]f[ARGS]{"a": 1}[TOOL_CALLS]g[CALL_ID]x1[ARGS]{})"),
              ElementsAre(f, g));
  EXPECT_THAT(calls(R"([TOOL_CALLS]f{"a": 1})"), ElementsAre(f));
  EXPECT_THAT(calls(R"([TOOL_CALLS]{"name": "f", "arguments": {"a": 1}})"), ElementsAre(f));
  EXPECT_EQ(read(ToolCallSyntax::kMistral, "[TOOL_CALLS] nothing").text, "[TOOL_CALLS] nothing");
}

TEST(ToolCallParser, ReadsPythonicCalls) {
  const ReadAnswer answer =
      read(ToolCallSyntax::kPythonic,
           R"([get_weather(city='San "F"', days=[1, -2.5e3], deep={'k': (True, None,)}, t="it's"),
               g( ), f(x=false, s='\x41\u00e9\U0001F600\d\n'),])");
  EXPECT_EQ(answer.text, "");
  ASSERT_EQ(answer.calls.size(), 3u);
  EXPECT_EQ(Json::parse(answer.calls[0].arguments),
            Json::parse(R"({"city": "San \"F\"", "days": [1, -2.5e3], "deep": {"k": [true, null]},
                            "t": "it's"})"));
  EXPECT_EQ(answer.calls[1], (ReadCall{"g", "{}"}));
  EXPECT_EQ(Json::parse(answer.calls[2].arguments),
            Json::parse(R"({"x": false, "s": "A\u00e9\ud83d\ude00\\d\n"})"));
}

TEST(ToolCallParser, ReadsDeepSeeksCalls) {
  const std::string text =
      "Sure.<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n{\"a\": "
      "1}\n"
      "```<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>g\n```json\n{}\n```"
      "<｜tool▁call▁end｜><｜tool▁calls▁end｜>";
  const ReadAnswer answer = read(ToolCallSyntax::kDeepSeek, text);
  EXPECT_EQ(answer.text, "Sure.");
  EXPECT_THAT(answer.calls, ElementsAre(ReadCall{"f", "{\"a\": 1}"}, ReadCall{"g", "{}"}));
  EXPECT_THAT(read(ToolCallSyntax::kDeepSeek,
                   "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>f```json{}```"
                   "<｜tool▁call▁end｜>")
                  .calls,
              ElementsAre(ReadCall{"f", "{}"}));
  EXPECT_THAT(read(ToolCallSyntax::kDeepSeek31,
                   "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>{\"a\": 1}"
                   "<｜tool▁call▁end｜><｜tool▁calls▁end｜>")
                  .calls,
              ElementsAre(ReadCall{"f", "{\"a\": 1}"}));
}

TEST(ToolCallParser, HasLimits) {
  std::string many;
  for (int i = 0; i <= kToolCallsMax; ++i) many += R"(<tool_call>{"name":"f"}</tool_call>)";
  const ReadAnswer answer = read(ToolCallSyntax::kTagged, many);
  EXPECT_EQ(std::ssize(answer.calls), kToolCallsMax);
  EXPECT_EQ(answer.text, R"(<tool_call>{"name":"f"}</tool_call>)");
  const std::string deep = R"(<tool_call>{"name":"f","arguments":{"a":)" + std::string(100, '[');
  EXPECT_EQ(read(ToolCallSyntax::kTagged, deep).calls[0].arguments.size(), 5u + 63);
  const std::string long_key = R"(<tool_call>{")" + std::string(api::kCallBytesHeldMax, 'x');
  EXPECT_EQ(read(ToolCallSyntax::kTagged, long_key + "\":1}").text, long_key + "\":1}");
  const std::string spaces = R"(<tool_call>)" + std::string(api::kCallBytesHeldMax, ' ') + "x";
  EXPECT_EQ(read(ToolCallSyntax::kTagged, spaces).text, spaces);
}

TEST(ToolCallParser, CharactersAreNeverSplit) {
  const auto parser = api::ToolCallParser::create(options(ToolCallSyntax::kTagged));
  parser->push("a\xE4\xB8");
  EXPECT_THAT(parser->take(), ElementsAre(api::AnswerPiece{{}, "a"}));
  parser->push("\x96");
  EXPECT_THAT(parser->take(), ElementsAre(api::AnswerPiece{{}, "\xE4\xB8\x96"}));
  parser->push("\xF0\x9F");
  EXPECT_THAT(parser->take(), IsEmpty());
  parser->finish();
  EXPECT_THAT(parser->take(), ElementsAre(api::AnswerPiece{{}, "\xF0\x9F"}));
}

// Answers put together from what calls are made of, right and wrong.
std::string random_answer(Rng& rng) {
  static const std::vector<std::string> kParts = {
      "<tool_call>",
      "</tool_call>",
      "<tool",
      "{\"name\": \"f\", \"arguments\": {\"a\": 1}}",
      "{\"name\": \"g\", \"parameters\": {\"b\": \"\\u00e9\xC3\xA9\"}}",
      "{\"name\":",
      "\"f\"",
      "}",
      "{",
      "[",
      "]",
      ",",
      ";",
      " ",
      "\n",
      "text",
      "\xE4\xB8\x96",
      "[TOOL_CALLS]",
      "f[ARGS]{}",
      "f(a=1, b='x')",
      "[g()]",
      "(",
      ")",
      "=",
      "\"",
      "\\",
      "'",
      "1",
      "True",
      "<｜tool▁calls▁begin｜>",
      "<｜tool▁call▁begin｜>",
      "function<｜tool▁sep｜>f\n```json\n",
      "<｜tool▁sep｜>",
      "<｜tool▁call▁end｜>",
      "<｜tool▁calls▁end｜>",
      "{\"a\":",
      "null",
      "1e"};
  std::string text;
  const uint64_t count = rng.next_below(12);
  for (uint64_t i = 0; i < count; ++i) text += kParts[rng.next_below(kParts.size())];
  return text;
}

TEST(ToolCallParser, AnyCutsGiveTheSamePieces) {
  Rng rng(1);
  int calls = 0;
  for (int i = 0; i < 60'000; ++i) {
    const auto syntax = static_cast<ToolCallSyntax>(i % 6);
    const auto how = options(syntax);
    const std::string text = random_answer(rng);
    const ReadAnswer whole = read_answer(how, text);
    calls += static_cast<int>(whole.calls.size());
    const ReadAnswer cut = read_answer(
        how, text, [&](size_t left) { return std::min<size_t>(left, 1 + rng.next_below(5)); });
    const ReadAnswer bytes = read_answer(how, text, [](size_t) { return size_t{1}; });
    ASSERT_EQ(cut.pieces, whole.pieces) << text;
    ASSERT_EQ(bytes.pieces, whole.pieces) << text;
  }
  EXPECT_GT(calls, 1000) << "the answers hardly ever call anything";
}

TEST(ToolCallSyntax, IsFoundFromTheTemplate) {
  const auto syntax = [](std::string_view source) { return api::tool_support(source).syntax; };
  EXPECT_EQ(syntax("{{ tools }} '\\n<tool_call>\\n'"), ToolCallSyntax::kTagged);
  EXPECT_EQ(syntax("{{ tools }} '[TOOL_CALLS] ['"), ToolCallSyntax::kMistral);
  EXPECT_EQ(syntax("{{ tools }} '<|python_tag|>'"), ToolCallSyntax::kJson);
  EXPECT_EQ(syntax("{{ tools }} [func_name1(params_name1=...)]"), ToolCallSyntax::kPythonic);
  EXPECT_EQ(syntax("{{ tools }} <｜tool▁call▁begin｜> ```json"), ToolCallSyntax::kDeepSeek);
  EXPECT_EQ(syntax("{{ tools }} <｜tool▁call▁begin｜>"), ToolCallSyntax::kDeepSeek31);
  EXPECT_TRUE(api::tool_support("{{ tools }}").shows_tools);
  EXPECT_FALSE(api::tool_support("{{ messages }}").shows_tools);
  EXPECT_EQ(api::tool_support("{{ messages }}", "pythonic").syntax, ToolCallSyntax::kPythonic);
  EXPECT_TRUE(api::tool_support("{{ messages }}", "pythonic").shows_tools);
}

}  // namespace
}  // namespace brisk
