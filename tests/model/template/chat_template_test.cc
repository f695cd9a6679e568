#include "model/template/chat_template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "base/status.h"

namespace brisk {
namespace {

using ::testing::HasSubstr;

absl::StatusOr<std::string> render(std::string_view source,
                                   const OrderedJson& variables = OrderedJson::object(),
                                   const TemplateLimits& limits = {}) {
  BRISK_ASSIGN_OR_RETURN(const auto parsed, ChatTemplate::parse(source, limits));
  return parsed->render(variables, limits);
}

std::string error_of(std::string_view source, const TemplateLimits& limits = {}) {
  const auto result = render(source, OrderedJson::object(), limits);
  return result.ok() ? "no error: " + *result : std::string(message_of(result.status()));
}

TEST(ChatTemplate, SaysInWhichLineWhatWasWrong) {
  EXPECT_EQ(error_of("a\nb\n{% if %}"), "chat template: line 3: expected an expression, got '%}'");
  EXPECT_EQ(error_of("a\n{{ x.y }}"), "chat template, line 2: 'x' is undefined");
  EXPECT_EQ(error_of("{% for i in [1] %}\n\n{{ raise_exception('no ' ~ i) }}{% endfor %}"),
            "chat template, line 3: no 1");
  EXPECT_THAT(error_of("\n{% include 'x' %}"), HasSubstr("line 2"));
}

TEST(ChatTemplate, KeepsTheOrderOfKeys) {
  const auto variables = parse_ordered_json(R"({"tool": {"z": 1, "a": {"y": 2, "b": 3}}})");
  ASSERT_TRUE(variables.ok());
  const auto text = render("{{ tool | tojson }}{% for k in tool %}{{ k }}{% endfor %}", *variables);
  ASSERT_TRUE(text.ok());
  EXPECT_EQ(*text, R"({"z": 1, "a": {"y": 2, "b": 3}}za)");
}

TEST(ChatTemplate, ReplacesBytesThatAreNotUtf8InItsInput) {
  const OrderedJson variables = {{"x", "a\xFF"}};
  EXPECT_EQ(*render("{{ x }}", variables), "a\xEF\xBF\xBD");
  EXPECT_FALSE(ChatTemplate::parse("a\xFF").ok());
}

TEST(ChatTemplate, HandlesIntegersBeyond64BitsAsFloats) {
  const OrderedJson variables = {{"x", UINT64_MAX}};
  EXPECT_EQ(*render("{{ x }}", variables), "1.8446744073709552e+19");
  EXPECT_THAT(error_of("{{ 9223372036854775807 + 1 }}"), HasSubstr("64 bits"));
  EXPECT_THAT(error_of("{{ 9223372036854775808 }}"), HasSubstr("64 bits"));
}

TEST(ChatTemplate, RendersFromManyThreadsAtOnce) {
  const auto parsed = ChatTemplate::parse(
      "{% set ns = namespace(n=0) %}{% for i in range(100) %}{% set ns.n = ns.n + i %}{% endfor %}"
      "{{ ns.n }}{{ who }}");
  ASSERT_TRUE(parsed.ok());
  std::vector<std::string> outputs(8);
  std::vector<std::thread> threads;
  for (size_t i = 0; i < outputs.size(); ++i) {
    threads.emplace_back([&, i] { outputs[i] = *(*parsed)->render({{"who", i}}); });
  }
  for (std::thread& thread : threads) thread.join();
  for (size_t i = 0; i < outputs.size(); ++i) EXPECT_EQ(outputs[i], "4950" + std::to_string(i));
}

// Templates are untrusted: each of these would otherwise run for hours, fill the memory or
// overflow the stack.
TEST(ChatTemplateLimits, StopLongLoops) {
  EXPECT_THAT(error_of("{% for a in range(99999) %}{% for b in range(99999) %}"
                       "{% endfor %}{% endfor %}"),
              HasSubstr("steps"));
}

TEST(ChatTemplateLimits, StopGrowingTexts) {
  EXPECT_THAT(error_of("{% set ns = namespace(s='ab') %}{% for i in range(60) %}"
                       "{% set ns.s = ns.s ~ ns.s %}{% endfor %}"),
              HasSubstr("bytes of values"));
  EXPECT_THAT(error_of("{{ 'x' * 9223372036854775807 }}"), HasSubstr("more than"));
  EXPECT_THAT(error_of("{{ [1] * 9223372036854775807 }}"), HasSubstr("bytes of values"));
  EXPECT_THAT(error_of("{{ ('a' * 100000) | replace('a', 'b' * 100000) }}"),
              HasSubstr("bytes of values"));
  EXPECT_THAT(error_of("{{ '%9999999d' % 1 }}"), HasSubstr("width"));
  EXPECT_THAT(error_of("{{ [1] | tojson(indent=1000000000) }}"), HasSubstr("bytes of values"));
}

TEST(ChatTemplateLimits, StopLongOutput) {
  TemplateLimits limits;
  limits.output_bytes_max = 10;
  EXPECT_EQ(*render("{{ '0123456789' }}", OrderedJson::object(), limits), "0123456789");
  EXPECT_THAT(error_of("{{ '0123456789' }}x", limits), HasSubstr("output is longer than 10"));
}

TEST(ChatTemplateLimits, StopDeepRecursion) {
  EXPECT_THAT(error_of("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"), HasSubstr("deeper"));
  EXPECT_THAT(error_of("{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}"),
              HasSubstr("deeper"));
  EXPECT_THAT(error_of("{{ " + std::string(9999, '(') + "1" + std::string(9999, ')') + " }}"),
              HasSubstr("deeper"));
  EXPECT_THAT(error_of("{{ " + std::string(100'000, '-') + "1 }}"), HasSubstr("deeper"));
  std::string sum = "{{ 1";
  for (int i = 0; i < 50'000; ++i) sum += "+1";
  EXPECT_THAT(error_of(sum + " }}"), HasSubstr("deeper"));
  std::string blocks;
  for (int i = 0; i < 10'000; ++i) blocks += "{% if 1 %}";
  EXPECT_THAT(error_of(blocks), HasSubstr("deeper"));
}

TEST(ChatTemplateLimits, StopDeepValues) {
  EXPECT_THAT(error_of("{% set ns = namespace(x=[]) %}{% for i in range(99999) %}"
                       "{% set ns.x = [ns.x] %}{% endfor %}"),
              HasSubstr("nested deeper"));
  EXPECT_THAT(error_of("{% set ns = namespace() %}{% set ns.x = [ns] %}{{ ns }}"),
              HasSubstr("contains itself"));
  OrderedJson deep = 1;
  for (int i = 0; i < 1000; ++i) deep = OrderedJson::array({std::move(deep)});
  EXPECT_FALSE(render("{{ x }}", {{"x", deep}}).ok());
}

TEST(ChatTemplateLimits, StopValuesThatShareTheirPartsManyTimes) {
  const std::string doubling =
      "{% set ns = namespace(x=[1], y=[1]) %}{% for i in range(100) %}"
      "{% set ns.x = [ns.x, ns.x] %}{% set ns.y = [ns.y, ns.y] %}{% endfor %}";
  EXPECT_THAT(error_of(doubling + "{{ ns.x == ns.y }}"), HasSubstr("steps"));
  EXPECT_THAT(error_of(doubling + "{{ ns.x }}"), HasSubstr("more than"));
  EXPECT_THAT(error_of(doubling + "{{ ns.x | tojson }}"), HasSubstr("more than"));
}

TEST(ChatTemplateLimits, RefuseLongSources) {
  EXPECT_THAT(error_of(std::string((256 << 10) + 1, 'x')), HasSubstr("over the limit"));
}

TEST(TemplateVariables, AreThoseThatHuggingFacePasses) {
  ChatInput input{.messages = OrderedJson::array(), .kwargs = {{"enable_thinking", false}}};
  input.bos_token = "<s>";
  const auto variables = template_variables(std::move(input));
  ASSERT_TRUE(variables.ok());
  EXPECT_EQ(variables->dump(),
            R"({"messages":[],"tools":null,"documents":null,"add_generation_prompt":true,)"
            R"("bos_token":"<s>","enable_thinking":false})");
}

TEST(TemplateVariables, RefuseKwargsThatAreParameters) {
  const auto refused = [](OrderedJson kwargs) {
    return !template_variables({.messages = OrderedJson::array(), .kwargs = std::move(kwargs)})
                .ok();
  };
  EXPECT_TRUE(refused({{"messages", OrderedJson::array()}}));
  EXPECT_TRUE(refused({{"add_generation_prompt", false}}));
  EXPECT_TRUE(refused("text"));
  EXPECT_FALSE(refused({{"bos_token", "<x>"}}));
  EXPECT_FALSE(template_variables({.messages = "text"}).ok());
  EXPECT_FALSE(template_variables({.messages = OrderedJson::array(), .tools = "text"}).ok());
}

}  // namespace
}  // namespace brisk
