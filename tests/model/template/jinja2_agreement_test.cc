// What jinja2 itself made of the same templates and snippets (generate_expected.py wrote it down).
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <string>

#include "base/json.h"
#include "base/status.h"
#include "model/template/chat_template.h"

namespace brisk {
namespace {

const absl::CivilSecond kNow(2025, 7, 4, 9, 8, 7);
const std::string kFolder = std::string(BRISK_SOURCE_DIR) + "/tests/model/template/";

std::string read_text(const std::string& name) {
  std::ifstream file(kFolder + name, std::ios::binary);
  EXPECT_TRUE(file.good()) << name;
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

OrderedJson read_json(const std::string& name) {
  const auto json = parse_ordered_json(read_text(name));
  EXPECT_TRUE(json.ok()) << name << ": " << message_of(json.status());
  return json.ok() ? *json : OrderedJson();
}

absl::StatusOr<std::string> render(const std::string& source, const OrderedJson& variables) {
  BRISK_ASSIGN_OR_RETURN(const auto parsed, ChatTemplate::parse(source));
  return parsed->render(variables, {}, kNow);
}

// The same output; or an error, which for missing values and raise_exception says the same.
void expect_agreement(const absl::StatusOr<std::string>& ours, const OrderedJson& theirs) {
  if (theirs.contains("output")) {
    ASSERT_TRUE(ours.ok()) << message_of(ours.status());
    EXPECT_EQ(*ours, theirs["output"].get<std::string>());
    return;
  }
  const auto kind = theirs["error"].get<std::string>();
  const auto message = theirs["message"].get<std::string>();
  ASSERT_FALSE(ours.ok()) << "should fail with " << message << " but gave " << *ours;
  EXPECT_NE(message_of(ours.status()).find("line "), std::string_view::npos)
      << message_of(ours.status());
  if (kind == "undefined" || kind == "raised" || kind == "unsafe") {
    EXPECT_NE(message_of(ours.status()).find(message), std::string_view::npos)
        << message_of(ours.status()) << "\nshould say: " << message;
  }
}

TEST(Jinja2Agreement, RendersConversationsWithTheTemplatesOfManyModels) {
  const OrderedJson expected = read_json("expected_chats.json");
  ASSERT_GE(expected["templates"].size(), 25u);
  for (const auto& [name, cases] : expected["templates"].items()) {
    const std::string source = read_text("templates/" + name + ".jinja");
    for (const auto& [conversation, outcome] : cases.items()) {
      SCOPED_TRACE(name + " on " + conversation);
      expect_agreement(render(source, expected["conversations"][conversation]), outcome);
    }
  }
}

TEST(Jinja2Agreement, EvaluatesSnippets) {
  const OrderedJson variables = read_json("snippet_variables.json");
  const OrderedJson snippets = read_json("expected_snippets.json");
  ASSERT_GE(snippets.size(), 300u);
  for (const OrderedJson& snippet : snippets) {
    const auto source = snippet["source"].get<std::string>();
    SCOPED_TRACE(source);
    expect_agreement(render(source, variables), snippet);
  }
}

TEST(Jinja2Agreement, FindsSyntaxErrorsBeforeRendering) {
  for (const OrderedJson& snippet : read_json("expected_snippets.json")) {
    const bool unknown_name = snippet.value("message", "").starts_with("No ");  // filter or test
    if (snippet.value("error", "") != "syntax" || unknown_name) continue;
    const auto source = snippet["source"].get<std::string>();
    EXPECT_FALSE(ChatTemplate::parse(source).ok()) << source;
  }
}

}  // namespace
}  // namespace brisk
