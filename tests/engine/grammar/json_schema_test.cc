// JSON Schema's keywords, one by one, against texts they allow and texts they do not.
#include "engine/grammar/json_schema.h"

#include <gmock/gmock.h>

#include "tests/engine/grammar/texts.h"

namespace brisk {
namespace {

using testing::HasSubstr;

absl::StatusOr<Grammar> of_schema(const std::string& text) { return json_schema_grammar(text); }

void check(const std::vector<TextCase>& cases) { check_texts(cases, of_schema); }

TEST(JsonSchema, TypesAreWhatTheySay) {
  check({
      {R"({"type":"boolean"})", {"true", "false"}, {"", "1", "True", "true "}},
      {R"({"type":"null"})", {"null"}, {"nul", "0"}},
      {R"({"type":["string","null"]})", {"null", R"("a")"}, {"1"}},
      {R"({"type":"string","nullable":true})", {"null", R"("a")"}, {"1"}},
      {R"({"type":"object"})", {"{}", R"({"a":[1]})"}, {"[]"}},
      {R"({"type":"array"})", {"[]", R"([1,{"a":null}])"}, {"{}"}},
      {"{}", {"1", "[]", "{}", R"("x")", "null", "-1.5e+10"}, {"", "x", "[1,]"}},
      {"true", {"1", R"({"a": {"b": [[]]}})"}, {"+1"}},
  });
}

TEST(JsonSchema, StringsHoldAnyUtf8AndEveryEscape) {
  check({{R"({"type":"string"})",
          {R"("")", R"("a b")", R"("\"\\\/\b\f\n\r\t")", R"("\u00e9\uD83d\uDe00")", "\"é€😀\"",
           "\"\x7f\""},
          {"\"\n\"", R"("\x41")", R"("\ud83d")", R"("\ude00")", R"("\ud83d\u0041")", "\"\xff\"",
           "\"\xc0\x80\"", "\"\xed\xa0\x80\"", "\"\xf4\x90\x80\x80\"", R"("a)", R"(a")",
           R"("a" )"}}});
}

TEST(JsonSchema, LengthsCountCharacters) {
  check({
      {R"({"type":"string","minLength":2,"maxLength":3})",
       {R"("ab")", R"("abc")", "\"é€😀\"", R"("\n\u0041\ud83d\ude00")"},
       {R"("a")", R"("abcd")", R"("")"}},
      {R"({"minLength":1})", {R"("a")", R"("aaaaaaaaaaaaaaaa")"}, {R"("")", "1"}},
      {R"({"type":"string","maxLength":0})", {R"("")"}, {R"("a")"}},
  });
}

TEST(JsonSchema, PatternsSearchUnlessAnchored) {
  check({
      {R"({"pattern":"^[a-c]+$"})", {R"("abc")"}, {R"("")", R"("abd")"}},
      {R"({"pattern":"b"})", {R"("abc")", R"("b")", "\"é\\nb\\\"\""}, {R"("ac")", R"("")"}},
      {R"({"pattern":"^a|z$"})", {R"("a1")", R"("1z")"}, {R"("1a")", R"("z1")"}},
      {R"({"pattern":"^.\"\\\\.$"})", {R"("a\"\\b")"}, {R"("a"\\b")", R"("\n\"\\b")"}},
      {R"({"pattern":"^a+$","minLength":2,"maxLength":3})",
       {R"("aa")", R"("aaa")"},
       {R"("a")", R"("aaaa")"}},
  });
}

TEST(JsonSchema, FormatsAreCheckedToTheLastDigit) {
  check({
      {R"({"format":"date"})",
       {R"("2024-02-29")", R"("2000-02-29")", R"("2023-12-31")"},
       {R"("2023-02-29")", R"("1900-02-29")", R"("2023-04-31")", R"("2023-13-01")",
        R"("2023-1-01")"}},
      {R"({"format":"time"})",
       {R"("23:59:59Z")", R"("00:00:00.5+01:30")"},
       {R"("24:00:00Z")", R"("12:00:00")"}},
      {R"({"format":"date-time"})", {R"("2024-02-29T12:00:00Z")"}, {R"("2024-02-29 12:00:00Z")"}},
      {R"({"format":"email"})", {R"("a.b@example.org")"}, {R"("a@b")", R"("@example.org")"}},
      {R"({"format":"uuid"})",
       {R"("123e4567-e89b-12d3-a456-426614174000")"},
       {R"("123e4567e89b12d3a456426614174000")"}},
      {R"({"format":"ipv4"})",
       {R"("255.0.10.199")"},
       {R"("256.0.0.1")", R"("1.2.3")", R"("01.2.3.4")"}},
      {R"({"format":"ipv6"})",
       {R"("::")", R"("::1")", R"("fe80::1")", R"("1:2:3:4:5:6:7:8")", R"("1::")", R"("1:2::7:8")"},
       {R"("1:2:3")", R"("1::2::3")", R"("12345::")"}},
      {R"({"format":"duration"})",
       {R"("P1D")", R"("PT1H30M")", R"("P1Y2M3D")"},
       {R"("P")", R"("PT")"}},
      {R"({"format":"hostname"})", {R"("a-b.example")"}, {R"("-a")", R"("a..b")"}},
      {R"({"format":"uri"})", {R"("https://example.org/a%20b?c=d#e")"}, {R"("example.org")"}},
  });
}

TEST(JsonSchema, NumbersKeepWithinTheirBounds) {
  check({
      {R"({"type":"integer"})", {"0", "-0", "7", "-123456789012345678"}, {"01", "1.0", "1e2", "-"}},
      {R"({"type":"number"})", {"0.5", "-1e9", "1E-05", "12"}, {".5", "1.", "1e", "1e100", "+1"}},
      {R"({"type":"integer","minimum":-5,"maximum":12})",
       {"-5", "0", "9", "10", "12", "-1"},
       {"-6", "13", "-10", "100", "99"}},
      {R"({"type":"integer","exclusiveMinimum":99,"exclusiveMaximum":1000})",
       {"100", "999"},
       {"99", "1000", "-100"}},
      {R"({"type":"integer","minimum":2.5,"maximum":3.5})", {"3"}, {"2", "4"}},
      {R"({"type":"number","minimum":0.25,"maximum":1.5})",
       {"0.25", "0.250", "0.3", "1", "1.0", "1.5", "1.50", "1.49999"},
       {"0.2", "0.2499", "1.51", "1.500001", "2", "0", "-1", "1e0"}},
      {R"({"type":"number","exclusiveMinimum":0})", {"0.1", "3", "0.0001"}, {"0", "0.0", "-1"}},
      {R"({"type":"number","exclusiveMinimum":-1,"exclusiveMaximum":1})",
       {"0", "-0.5", "0.99", "-0.999"},
       {"-1", "1", "1.0", "-1.0"}},
      {R"({"type":"number","maximum":-2.5})",
       {"-2.5", "-3", "-100.25"},
       {"-2", "-2.49", "2.5", "0"}},
      {R"({"minimum":1e3,"type":"integer"})", {"1000", "5000"}, {"999"}},
      {R"({"type":"number","minimum":1,"exclusiveMinimum":1})", {"1.5", "2"}, {"1", "1.0"}},
  });
}

TEST(JsonSchema, PropertiesComeInOrderAndOptionalOnesMayBeLeftOut) {
  check({
      {R"({"type":"object","properties":{"b":{"type":"integer"},"a":{"type":"null"}},"required":["b","a"]})",
       {R"({"b":1,"a":null})", R"({"b": 1, "a": null})"},
       {R"({"a":null,"b":1})", R"({"b":1})", "{}", R"({"b":1,"a":null,"c":1})",
        R"({ "b":1,"a":null})"}},
      {R"({"properties":{"a":{"const":1},"b":{"const":2},"c":{"const":3}}})",
       {"{}", R"({"a":1})", R"({"b":2})", R"({"a":1,"c":3})", R"({"b":2,"c":3})",
        R"({"a":1,"b":2,"c":3})"},
       {R"({"c":3,"a":1})", R"({,"a":1})", R"({"a":1,})", R"({"a":2})"}},
      {R"({"properties":{"a":{"const":1},"b":{"const":2},"c":{"const":3}},"required":["b"]})",
       {R"({"b":2})", R"({"a":1,"b":2})", R"({"b":2,"c":3})"},
       {"{}", R"({"a":1})", R"({"a":1,"c":3})"}},
      {R"({"properties":{"q\"\\":{"const":1}},"required":["q\"\\"]})", {R"({"q\"\\":1})"}, {"{}"}},
      {R"({"type":"object","required":["x"]})", {R"({"x":[]})", R"({"x":1,"y":2})"}, {"{}"}},
  });
}

TEST(JsonSchema, AdditionalPropertiesFollowAndHaveOtherNames) {
  check({
      {R"({"properties":{"a":{"const":1}},"additionalProperties":{"type":"boolean"}})",
       {"{}", R"({"a":1})", R"({"b":true})", R"({"a":1,"b":true,"c":false})",
        R"({"ab":true,"":true})"},
       {R"({"a":true})", R"({"b":1})", R"({"b":true,"a":1})", R"({"\u0061":true})"}},
      {R"({"type":"object","additionalProperties":{"type":"integer"}})",
       {"{}", R"({"x":1, "y":2})"},
       {R"({"x":"1"})"}},
      {R"({"type":"object","additionalProperties":false})", {"{}"}, {R"({"a":1})"}},
      {R"({"properties":{"a":true},"additionalProperties":true})", {R"({"b":{"c":[1]}})"}, {"[]"}},
  });
}

TEST(JsonSchema, ArraysCountTheirItems) {
  check({
      {R"({"type":"array","items":{"type":"integer"},"minItems":1,"maxItems":3})",
       {"[1]", "[1,2]", "[1, 2, 3]"},
       {"[]", "[1,2,3,4]", R"(["a"])", "[1,]"}},
      {R"({"type":"array","items":{"const":1},"minItems":2})",
       {"[1,1]", "[1,1,1,1]"},
       {"[1]", "[]"}},
      {R"({"type":"array","items":{"const":1},"maxItems":0})", {"[]"}, {"[1]"}},
      {R"({"prefixItems":[{"const":1},{"const":2}]})", {"[]", "[1]", "[1,2]"}, {"[2]", "[1,2,3]"}},
      {R"({"prefixItems":[{"const":1},{"const":2}],"minItems":2,"items":{"const":3}})",
       {"[1,2]", "[1,2,3,3]"},
       {"[1]", "[1,2,1]"}},
      {R"({"prefixItems":[{"const":1}],"minItems":2,"maxItems":3})",
       {R"([1,"x"])", "[1,2,3]"},
       {"[1]", "[1,2,3,4]"}},
      {R"({"items":[{"const":1}],"additionalItems":false})", {"[1]", "[]"}, {"[1,1]"}},
      {R"({"type":"array","items":{"const":1},"minItems":20,"maxItems":21})",
       {"[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]"},
       {"[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]"}},
  });
}

TEST(JsonSchema, EnumsAndConstantsAreThoseValues) {
  check({
      {R"({"enum":["a","\"",1,2.5,null,{"k":[1,2]}]})",
       {R"("a")", R"("\"")", "1", "2.5", "null", R"({"k":[1,2]})", R"({"k": [1, 2]})"},
       {R"("b")", "2", "true"}},
      {R"({"type":"string","enum":["a",1]})", {R"("a")"}, {"1"}},
      {R"({"const":"x","enum":["x","y"]})", {R"("x")"}, {R"("y")"}},
      {R"({"type":"string","enum":["a","ab","abc"],"maxLength":2})",
       {R"("a")", R"("ab")"},
       {R"("abc")"}},
  });
}

TEST(JsonSchema, AlternativesAreMergedWithWhatStandsBesideThem) {
  check({
      {R"({"anyOf":[{"type":"integer"},{"type":"string","maxLength":1}]})",
       {"1", R"("a")"},
       {R"("ab")", "null"}},
      {R"({"oneOf":[{"const":1},{"const":2}]})", {"1", "2"}, {"3"}},
      {R"({"type":"object","properties":{"a":{"const":1},"b":{"const":2}},"anyOf":[{"required":["a"]},{"required":["b"]}]})",
       {R"({"a":1})", R"({"b":2})", R"({"a":1,"b":2})"},
       {"{}"}},
      {R"({"allOf":[{"properties":{"a":{"const":1}},"required":["a"]},{"properties":{"b":{"const":2}},"required":["b"]}]})",
       {R"({"a":1,"b":2})"},
       {R"({"a":1})", R"({"b":2})"}},
      {R"({"allOf":[{"type":"integer"},{"minimum":3},{"maximum":5}]})", {"3", "5"}, {"2", "6"}},
      {R"({"allOf":[{"type":["string","number"]},{"type":["integer","null"]}]})",
       {"1"},
       {"1.5", "null", R"("")"}},
      {R"({"allOf":[{"anyOf":[{"const":1},{"const":2}]},{"anyOf":[{"const":2},{"const":3}]}]})",
       {"2"},
       {"1", "3"}},
  });
}

TEST(JsonSchema, ReferencesMayBeRecursive) {
  check({
      {R"({"$defs":{"n":{"type":"integer"}},"properties":{"a":{"$ref":"#/$defs/n"}},"required":["a"]})",
       {R"({"a":1})"},
       {R"({"a":"1"})"}},
      {R"({"$defs":{"t":{"type":"object","properties":{"v":{"type":"integer"},"c":{"type":"array","items":{"$ref":"#/$defs/t"}}},"required":["v"]}},"$ref":"#/$defs/t"})",
       {R"({"v":1})", R"({"v":1,"c":[{"v":2,"c":[]},{"v":3,"c":[{"v":4}]}]})"},
       {R"({"c":[]})", R"({"v":1,"c":[1]})", R"({"v":1,"c":[{"v":2})"}},
      {R"({"properties":{"next":{"anyOf":[{"$ref":"#"},{"type":"null"}]}},"required":["next"]})",
       {R"({"next":null})", R"({"next":{"next":{"next":null}}})"},
       {R"({"next":{}})", R"({"next":{"next":null})"}},
      {R"({"definitions":{"a/b":{"const":1}},"$ref":"#/definitions/a~1b","description":"x"})",
       {"1"},
       {"2"}},
      {R"({"$defs":{"s":{"type":"string"}},"$ref":"#/$defs/s","maxLength":1})",
       {R"("a")"},
       {R"("ab")"}},
  });
}

TEST(JsonSchema, AnyObjectNestsAsDeepAsItLikes) {
  const auto grammar = compiled(absl::StatusOr<Grammar>(json_object_grammar()));
  ASSERT_TRUE(grammar.ok());
  EXPECT_TRUE(accepts(*grammar, R"({"a": {"b": [1, true, null, {"c": "d"}]}, "e": -1.5e3})"));
  EXPECT_FALSE(accepts(*grammar, "[]"));
  EXPECT_FALSE(begins(*grammar, R"({"a":1]})"));
  std::string deep;
  for (int i = 0; i < 20'000; ++i) deep += R"({"a":[)";
  EXPECT_TRUE(begins(*grammar, deep));
  for (int i = 0; i < 20'000; ++i) deep += "]}";
  EXPECT_TRUE(accepts(*grammar, deep));
}

TEST(JsonSchema, WhatIsNotSupportedIsNamedWithItsPlace) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {R"({"properties":{"a":{"type":"integer","multipleOf":3}}})",
       "the schema at #/properties/a: 'multipleOf' is not supported"},
      {R"({"not":{"type":"null"}})", "'not' is not supported"},
      {R"({"patternProperties":{}})", "'patternProperties'"},
      {R"({"uniqueItems":true})", "'uniqueItems'"},
      {R"({"if":true})", "'if'"},
      {R"({"type":"str"})", "'type' must be"},
      {R"({"type":"string","format":"color"})", "'format' \"color\" is not supported"},
      {R"x({"pattern":"(?=a)"})x", "'pattern': the regex is not supported at byte 1"},
      {R"({"$ref":"https://example.org/s"})", "only places in the same schema"},
      {R"({"$ref":"#/$defs/x"})", "leads nowhere"},
      {R"({"$ref":5})", "'$ref' must be a string"},
      {R"({"anyOf":[]})", "'anyOf' must be a list of schemas"},
      {R"({"enum":[]})", "'enum' must be a list"},
      {R"({"minLength":-1})", "'minLength' must be a whole number"},
      {R"({"minLength":1.5})", "'minLength'"},
      {R"({"minimum":"1"})", "'minimum' must be a number"},
      {R"({"exclusiveMinimum":true,"minimum":1})", "'exclusiveMinimum' must be a number"},
      {R"({"properties":[]})", "'properties' must be an object"},
      {R"({"required":"a"})", "'required' must be a list"},
      {R"({"items":1})", "must be an object, true or false"},
      {R"({"allOf":[{"pattern":"a"},{"pattern":"b"}]})", "two different values of 'pattern'"},
      {R"(5)", "must be an object, true or false"},
      {R"({)", "not valid JSON"},
      {"false", "no text satisfies the grammar"},
      {R"({"type":"integer","minimum":3,"maximum":2})", "no text satisfies"},
      {R"({"allOf":[{"type":"string"},{"type":"integer"}]})", "no text satisfies"},
      {R"({"properties":{"a":false},"required":["a"]})", "no text satisfies"},
      {R"({"$ref":"#"})", "no text satisfies"},
      {R"({"properties":{"a":{"$ref":"#"}},"required":["a"]})", "no text satisfies"},
      {R"({"anyOf":[{"$ref":"#"},{"type":"null"}]})", "left-recursive"},
      {R"({"$defs":{"a":{"allOf":[{"$ref":"#/$defs/a"}]}},"$ref":"#/$defs/a"})",
       "no text satisfies"},
  };
  for (const auto& [schema, message] : cases) {
    EXPECT_THAT(refusal(schema, of_schema), HasSubstr(message)) << schema;
  }
}

}  // namespace
}  // namespace brisk
