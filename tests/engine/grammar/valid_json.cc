#include "tests/engine/grammar/valid_json.h"

#include <nlohmann/json.hpp>
// Where it is not installed, only JSON itself is asked for.
#if __has_include(<valijson/validator.hpp>)
#define BRISK_HAS_VALIJSON
#include <valijson/adapters/nlohmann_json_adapter.hpp>
#include <valijson/schema.hpp>
#include <valijson/schema_parser.hpp>
#include <valijson/validation_results.hpp>
#include <valijson/validator.hpp>
#endif

#include "model/tokenizer/read_tokenizer.h"

namespace brisk::test {

#ifdef BRISK_HAS_VALIJSON
namespace {

// valijson aborts where a value with a format is no string. Formats have tests of their own.
void drop_formats(nlohmann::json* schema) {
  if (schema->is_object()) schema->erase("format");
  for (auto& part : *schema) {
    if (part.is_structured()) drop_formats(&part);
  }
}

}  // namespace
#endif

std::string why_invalid(const std::string& schema_text, const std::string& text) {
  const auto json = nlohmann::json::parse(text, nullptr, false);
  if (json.is_discarded()) return "not JSON";
#ifdef BRISK_HAS_VALIJSON
  auto schema_json = nlohmann::json::parse(schema_text);
  drop_formats(&schema_json);
  valijson::Schema schema;
  valijson::SchemaParser parser(valijson::SchemaParser::kDraft7);
  const valijson::adapters::NlohmannJsonAdapter schema_adapter(schema_json);
  parser.populateSchema(schema_adapter, schema);
  valijson::Validator validator(valijson::Validator::kStrongTypes);
  valijson::ValidationResults results;
  const valijson::adapters::NlohmannJsonAdapter target(json);
  if (!validator.validate(schema, target, &results)) {
    std::string why = "invalid";
    for (valijson::ValidationResults::Error error; results.popError(error);) {
      why += ": " + error.description;
    }
    return why;
  }
#else
  static_cast<void>(schema_text);
#endif
  return "";
}

std::unique_ptr<const Tokenizer> tokenizer_at(const std::string& path) {
  return Tokenizer::create(read_tokenizer(path).value()).value();
}

std::shared_ptr<const TokenTrie> trie_of(const Tokenizer& tokenizer) {
  std::vector<std::string> tokens;
  for (int32_t token = 0; token < tokenizer.vocab_size(); ++token) {
    const bool is_text = !tokenizer.is_control(token) && !tokenizer.ends_generation(token);
    tokens.push_back(is_text ? tokenizer.decode_token(token, false) : "");
  }
  return std::make_shared<const TokenTrie>(std::move(tokens));
}

}  // namespace brisk::test
