// Grammars of answers that call tools: which texts they allow, with calls and without.
#include "engine/grammar/tool_call_grammar.h"

#include <gmock/gmock.h>

#include "tests/engine/grammar/texts.h"

namespace brisk {
namespace {

using Text = ToolCallForms::Text;
using testing::HasSubstr;

ToolCallForms tagged(Text text = Text::kNone) {
  return {.tools = {{.name = "f",
                     .begin = "<call>\nf ",
                     .schema = R"({"properties":{"a":{"type":"integer"}},"required":["a"]})",
                     .end = "\n</call>"},
                    {.name = "g", .begin = "<call>\ng ", .schema = "", .end = "\n</call>"}},
          .between = "\n",
          .calls_max = 2,
          .text = text,
          .marker = "<call>"};
}

void check(const ToolCallForms& forms, const std::vector<std::string>& accepted,
           const std::vector<std::string>& rejected) {
  const auto grammar = compiled(tool_call_grammar(forms)).value();
  for (const std::string& text : accepted) EXPECT_TRUE(accepts(grammar, text)) << text;
  for (const std::string& text : rejected) EXPECT_FALSE(accepts(grammar, text)) << text;
}

TEST(ToolCallGrammar, CallsHaveValidArgumentsAndLineBreaksAreFree) {
  const std::string f = "<call>f {\"a\": 1}</call>";
  check(tagged(), {f, "<call>\nf {\"a\":1}\n</call>", f + "\n<call>\ng {}</call>", f + f},
        {"", "text", " " + f, f + " ", "<call>f {}</call>", "<call>f {\"a\": true}</call>",
         "<call>h {}</call>", "<call>g []</call>", f + f + f, "<call>f {\"a\": 1}"});
}

TEST(ToolCallGrammar, TextIsFreeUntilACallBegins) {
  const std::string f = "<call>f {\"a\": 1}</call>";
  check(tagged(Text::kWithout),
        {"", "any \xC3\xA9 text", "a < b <call", "<<call", f, "Well:\n" + f + f, "<cal" + f},
        {"<call>", "a <call>f", f + "text", "x<call>f {}</call>", "\xFF"});
}

TEST(ToolCallGrammar, TextDoesNotBeginLikeACall) {
  ToolCallForms forms = tagged(Text::kNotBeginning);
  forms.marker = "<";
  check(forms, {"", "text <call>", "<call>g {}</call>", "\n a"}, {"<", "  <call>", "<b"});
}

TEST(ToolCallGrammar, TextMayHaveASchemaOfItsOwn) {
  ToolCallForms forms = tagged(Text::kSchema);
  forms.text_schema = R"({"enum":["x","y"]})";
  check(forms, {"\"x\"", "<call>g {}</call>"}, {"x", "\"z\"", ""});
  forms.text_schema = "";
  check(forms, {"{}", "<call>g {}</call>"}, {"[]", ""});
}

TEST(ToolCallGrammar, ArgumentsMayBeKeywords) {
  const ToolCallForms forms = {
      .tools = {{.name = "f",
                 .begin = "f(",
                 .schema = R"({"properties":{"a":{"$ref":"#/$defs/n"},"b":{"type":"string"}},
                               "required":["a"],"$defs":{"n":{"enum":[1,[2]]}}})",
                 .end = ")"},
                {.name = "g", .begin = "g(", .schema = "{}", .end = ")"}},
      .keywords = true,
      .first = "[",
      .between = ", ",
      .last = "]",
      .calls_max = 3};
  check(forms, {"[f(a=1)]", "[f(a=[2], b=\"x\"), g()]", "[g(), g(), g()]"},
        {"[]", "[f()]", "[f(b=\"x\")]", "[f(a=1, c=2)]", "[g(a=1)]", "f(a=1)", "[f(a=3)]"});
}

TEST(ToolCallGrammar, ToolsShareNamesOfDefinitionsWithoutMixingThem) {
  ToolCallForms forms = {.calls_max = 1};
  for (const char* type : {"integer", "boolean"}) {
    forms.tools.push_back({.name = type,
                           .begin = std::string(type) + " ",
                           .schema = R"({"properties":{"a":{"$ref":"#/$defs/x"}},"required":["a"],
                                         "$defs":{"x":{"type":")" +
                                     std::string(type) + R"("}}})",
                           .end = ""});
  }
  check(forms, {"integer {\"a\":1}", "boolean {\"a\":true}"},
        {"integer {\"a\":true}", "boolean {\"a\":1}"});
}

TEST(ToolCallGrammar, ErrorsNameTheTool) {
  ToolCallForms forms = tagged();
  forms.tools[0].schema = R"({"properties":{"a":{"not":{}}}})";
  EXPECT_THAT(std::string(message_of(tool_call_grammar(forms).status())),
              HasSubstr("tool f: the schema at #/properties/a: 'not' is not supported"));
  forms.keywords = true;
  forms.tools[0].schema = R"({"anyOf":[{}]})";
  EXPECT_THAT(std::string(message_of(tool_call_grammar(forms).status())), HasSubstr("anyOf"));
  EXPECT_FALSE(tool_call_grammar({}).ok());
  forms.calls_max = kToolCallsMax + 1;
  EXPECT_FALSE(tool_call_grammar(forms).ok());
}

TEST(ToolCallGrammar, ManyToolsCompileInTime) {
  ToolCallForms forms = {.between = "\n", .calls_max = kToolCallsMax};
  for (size_t i = 0; i < kToolsMax; ++i) {
    forms.tools.push_back(
        {.name = "f",
         .begin = "<call>f" + std::to_string(i) + " ",
         .schema = R"({"properties":{"a":{"type":"string","maxLength":40},"b":{"type":"array",
             "items":{"type":"integer","minimum":0,"maximum":999}},"c":{"type":"object"}},
             "required":["a","b"]})",
         .end = "</call>"});
  }
  const auto grammar = compiled(tool_call_grammar(forms));
  ASSERT_TRUE(grammar.ok()) << message_of(grammar.status());
  EXPECT_TRUE(accepts(*grammar,
                      "<call>f77 {\"a\": \"x\", \"b\": [1, 2]}</call>\n"
                      "<call>f3 {\"a\":\"\",\"b\":[],\"c\":{\"d\":[]}}</call>"));
}

}  // namespace
}  // namespace brisk
