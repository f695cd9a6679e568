// Whatever the schema and whatever the model wants: an answer drawn under the mask is JSON and
// valid. The judge is valijson.
#include <gtest/gtest.h>

#include <filesystem>
#include <optional>
#include <random>

#include "base/json.h"
#include "engine/grammar/json_schema.h"
#include "tests/engine/grammar/texts.h"
#include "tests/engine/grammar/valid_json.h"

namespace brisk {
namespace {

class RandomSchema {
 public:
  explicit RandomSchema(uint32_t seed) : random_(seed) {}

  OrderedJson root() {
    OrderedJson schema = object(3);
    if (below(3) == 0) {
      schema["$defs"] = {{"tree",
                          {{"type", "object"},
                           {"properties", {{"v", any(0)}, {"next", nullable_tree()}}},
                           {"required", {"v"}},
                           {"additionalProperties", false}}}};
      schema["properties"]["tree"] = {{"$ref", "#/$defs/tree"}};
    }
    return schema;
  }

  size_t below(size_t limit) { return random_() % limit; }

 private:
  static OrderedJson nullable_tree() {
    return {{"anyOf", {{{"$ref", "#/$defs/tree"}}, {{"type", "null"}}}}};
  }

  OrderedJson any(int depth) {
    switch (below(depth > 0 ? 10 : 7)) {
      case 0:
        return string();
      case 1:
        return integer();
      case 2:
        return number();
      case 3:
        return {{"type", "boolean"}};
      case 4:
        return {{"enum", {"red", "gr\"een", 7, nullptr, true}}};
      case 5:
        return {{"type", {"string", "null"}}, {"maxLength", 4}};
      case 6:
        return {{"const", {{"k", {1, "x"}}}}};
      case 7:
        return object(depth - 1);
      case 8:
        return array(depth - 1);
      default:
        return {{"anyOf", {any(depth - 1), any(depth - 1)}}};
    }
  }

  OrderedJson string() {
    static const std::vector<std::string> kPatterns = {"^[a-z]{2,5}$", "ab?c", "^\\d+(\\.\\d{2})?$",
                                                       "^(x|yy)*z$"};
    OrderedJson schema = {{"type", "string"}};
    const size_t kind = below(4);
    if (kind == 0) schema["pattern"] = kPatterns[below(kPatterns.size())];
    if (kind == 1) schema["minLength"] = below(4);
    if (kind <= 2) schema["maxLength"] = 4 + below(6);
    if (kind == 3) schema["format"] = below(2) == 0 ? "date" : "ipv4";
    return schema;
  }

  OrderedJson integer() {
    const auto low = static_cast<int64_t>(below(300)) - 150;
    OrderedJson schema = {{"type", "integer"}};
    if (below(3) > 0) schema["minimum"] = low;
    if (below(3) > 0) schema["maximum"] = low + static_cast<int64_t>(below(300));
    return schema;
  }

  OrderedJson number() {
    const double low = (static_cast<double>(below(4000)) - 2000) / 64;
    OrderedJson schema = {{"type", "number"}};
    if (below(2) == 0) schema["minimum"] = low;
    if (below(3) == 0) schema["exclusiveMaximum"] = low + 0.25 + static_cast<double>(below(50)) / 8;
    return schema;
  }

  OrderedJson array(int depth) {
    OrderedJson schema = {{"type", "array"}, {"items", any(depth)}};
    const size_t min = below(3);
    if (below(2) == 0) schema["minItems"] = min;
    schema["maxItems"] = min + below(3);
    return schema;
  }

  OrderedJson object(int depth) {
    static const std::vector<std::string> kNames = {"name", "na", "\"q\"", "ünï", "x", "id"};
    OrderedJson schema = {{"type", "object"}, {"properties", OrderedJson::object()}};
    OrderedJson required = OrderedJson::array();
    for (const std::string& name : kNames) {
      if (below(2) == 0) continue;
      schema["properties"][name] = any(depth);
      if (below(2) == 0) required.push_back(name);
    }
    schema["required"] = required;
    const size_t kind = below(4);
    if (kind == 0) schema["additionalProperties"] = any(0);
    if (kind > 1) schema["additionalProperties"] = false;
    return schema;
  }

  std::mt19937 random_;
};

// What a model with random logits says at temperature 1, until it must end or has said enough.
// Nothing: it did not end in time.
std::optional<std::string> draw_answer(const std::shared_ptr<const CompiledGrammar>& grammar,
                                       std::mt19937* random) {
  const TokenTrie& vocabulary = grammar->vocabulary();
  GrammarMatcher matcher(grammar);
  std::vector<uint64_t> mask(mask_words(vocabulary.vocab_size()));
  std::string text;
  for (int step = 0; step < 400; ++step) {
    EXPECT_TRUE(matcher.mask(mask).ok());
    std::vector<int32_t> allowed;
    for (int32_t token = 0; token < vocabulary.vocab_size(); ++token) {
      if (mask_has(mask, token)) allowed.push_back(token);
    }
    if (matcher.is_complete() && (allowed.empty() || (*random)() % 4 == 0)) return text;
    if (allowed.empty()) {
      ADD_FAILURE() << "nothing may come after " << text;
      return std::nullopt;
    }
    // The end of a string or list has more of a chance than one token among all.
    int32_t token = allowed[(*random)() % allowed.size()];
    for (const char* closing : {"\"", "}", "]", "0", "1"}) {
      if ((*random)() % 4 != 0) continue;
      for (const int32_t one : allowed) {
        if (vocabulary.bytes_of(one) == closing) token = one;
      }
    }
    const absl::Status status = matcher.accept(token);
    EXPECT_TRUE(status.ok()) << status << " after " << text;
    if (!status.ok()) return std::nullopt;
    text += vocabulary.bytes_of(token);
  }
  return std::nullopt;
}

void check_answers(const std::shared_ptr<const TokenTrie>& vocabulary, int schemas, int answers) {
  RandomSchema random_schema(static_cast<uint32_t>(schemas));
  std::mt19937 random(5);
  int complete = 0;
  for (int i = 0; i < schemas; ++i) {
    const OrderedJson schema = random_schema.root();
    SCOPED_TRACE(schema.dump());
    const auto grammar = compiled(json_schema_grammar(schema.dump()), vocabulary);
    ASSERT_TRUE(grammar.ok()) << grammar.status();
    for (int j = 0; j < answers; ++j) {
      const std::optional<std::string> text = draw_answer(*grammar, &random);
      if (!text.has_value()) continue;
      ++complete;
      ASSERT_EQ(test::why_invalid(schema.dump(), *text), "") << *text;
    }
  }
  EXPECT_GT(complete, schemas * answers / 2);
}

TEST(SchemaProperty, AnswersOverBytesAndPiecesAreValid) {
  std::vector<std::string> tokens;
  for (int byte = 0; byte < 256; ++byte) tokens.emplace_back(1, static_cast<char>(byte));
  for (const char* piece :
       {"{\"",  "\": ", "\":", ", \"",  "\"}", "}}", "]}",  "},", "na",   "me",
        "true", "null", "ü",   "\\u00", "-1",  "12", "0.5", "[[", "\\\"", "é\""}) {
    tokens.emplace_back(piece);
  }
  tokens.emplace_back("");
  check_answers(std::make_shared<const TokenTrie>(std::move(tokens)), 150, 4);
}

TEST(SchemaProperty, AnswersOverARealVocabularyAreValid) {
  const std::string path = std::string(BRISK_DATA_DIR) + "/tokenizers/gpt2/encoder.json";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " is not here";
  const auto tokenizer = test::tokenizer_at(path);
  check_answers(test::trie_of(*tokenizer), 40, 3);
}

}  // namespace
}  // namespace brisk
