// What a syntax's grammar allows, its parser reads: calls of the tools, with arguments of their
// schemas, whatever is drawn.
#include "serve/tools/tool_constraint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/json.h"
#include "base/rng.h"
#include "tests/engine/grammar/texts.h"
#include "tests/serve/tools/answers.h"

namespace brisk {
namespace {

using api::ToolCallSyntax;
using api::ToolUse;

constexpr ToolCallSyntax kSyntaxes[] = {ToolCallSyntax::kTagged,   ToolCallSyntax::kJson,
                                        ToolCallSyntax::kMistral,  ToolCallSyntax::kPythonic,
                                        ToolCallSyntax::kDeepSeek, ToolCallSyntax::kDeepSeek31};

api::ToolRequest tools(ToolUse use) {
  api::ToolRequest request;
  request.tools = {
      {.name = "paint",
       .schema = R"({"type":"object","properties":{"what":{"type":"string","maxLength":9},
           "coats":{"type":"integer","minimum":1,"maximum":9},"wet":{"type":"boolean"},
           "deep":{"type":"array","items":{"anyOf":[{"type":"null"},{"type":"object","properties":
           {"k":{"type":"string","maxLength":4}},"required":["k"]}]},"maxItems":2}},
           "required":["what","coats"]})",
       .is_strict = true},
      {.name = "stop-it", .schema = R"({"type":"object","properties":{}})", .is_strict = true}};
  request.use = use;
  return request;
}

// A text of the grammar, byte by byte; letters and the ends of strings are preferred, so that it
// ends. Empty: it did not end in time.
std::string draw(const std::shared_ptr<const CompiledGrammar>& grammar, Rng& rng) {
  GrammarMatcher matcher(grammar);
  std::string text;
  std::vector<uint64_t> mask(mask_words(256));
  for (int i = 0; i < 2000; ++i) {
    if (matcher.is_complete() && (matcher.must_end() || rng.next_below(2) == 0)) return text;
    EXPECT_TRUE(matcher.mask(mask).ok());
    std::vector<int32_t> allowed;
    for (int32_t byte = 0; byte < 256; ++byte) {
      if (mask_has(mask, byte)) allowed.push_back(byte);
    }
    if (allowed.empty()) return "";
    int32_t byte = allowed[rng.next_below(allowed.size())];
    if (mask_has(mask, '"') && rng.next_below(3) == 0) byte = '"';
    EXPECT_TRUE(matcher.accept(byte).ok());
    text += static_cast<char>(byte);
  }
  return "";
}

void expect_valid(const test::ReadCall& call, const std::string& text) {
  const auto json = parse_json(call.arguments);
  ASSERT_TRUE(json.ok()) << text << message_of(json.status());
  if (call.name == "stop-it") {
    EXPECT_EQ(*json, Json::object());
    return;
  }
  EXPECT_EQ(call.name, "paint") << text;
  EXPECT_TRUE((*json)["what"].is_string()) << text;
  EXPECT_GE((*json)["coats"], 1) << text;
  EXPECT_LE((*json)["coats"], 9) << text;
}

TEST(ToolConstraint, RequiredCallsAreReadAsTheyWereAskedFor) {
  Rng rng(1);
  for (const ToolCallSyntax syntax : kSyntaxes) {
    const auto forms = tool_call_forms(tools(ToolUse::kRequired), syntax);
    ASSERT_TRUE(forms.has_value());
    const auto grammar = compiled(tool_call_grammar(*forms)).value();
    int drawn = 0;
    for (int i = 0; i < 100; ++i) {
      const std::string text = draw(grammar, rng);
      if (text.empty()) continue;
      ++drawn;
      const test::ReadAnswer answer =
          test::read_answer({.syntax = syntax, .tools = {"paint", "stop-it"}}, text);
      EXPECT_EQ(answer.text, "") << text;
      EXPECT_GE(answer.calls.size(), 1u) << text;
      for (const test::ReadCall& call : answer.calls) expect_valid(call, text);
    }
    EXPECT_GT(drawn, 20) << name_of(syntax);
  }
}

TEST(ToolConstraint, AStrictToolIsCalledRightOrNotAtAll) {
  Rng rng(2);
  for (const ToolCallSyntax syntax : kSyntaxes) {
    const auto forms = tool_call_forms(tools(ToolUse::kAuto), syntax);
    const auto grammar = compiled(tool_call_grammar(*forms)).value();
    const auto required = tool_call_forms(tools(ToolUse::kRequired), syntax);
    const auto calls = compiled(tool_call_grammar(*required)).value();
    EXPECT_TRUE(accepts(grammar, "Some text."));
    for (int i = 0; i < 20; ++i) {
      const std::string text = draw(calls, rng);
      if (text.empty()) continue;
      EXPECT_TRUE(accepts(grammar, text)) << text;
      EXPECT_TRUE(accepts(grammar, "Some text. " + text)) << text;
    }
  }
}

TEST(ToolConstraint, NothingIsConstrainedWithoutNeed) {
  api::ToolRequest request = tools(ToolUse::kAuto);
  for (api::Tool& tool : request.tools) tool.is_strict = false;
  EXPECT_FALSE(tool_call_forms(request, ToolCallSyntax::kTagged).has_value());
  request.tools[0].is_strict = true;
  EXPECT_TRUE(tool_call_forms(request, ToolCallSyntax::kTagged).has_value());
  request.use = ToolUse::kNone;
  EXPECT_FALSE(tool_call_forms(request, ToolCallSyntax::kTagged).has_value());
}

}  // namespace
}  // namespace brisk
