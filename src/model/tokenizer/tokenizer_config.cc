#include <optional>
#include <utility>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "model/tokenizer/tokenizer_files.h"
#include "model/tokenizer/tokenizer_json.h"

namespace brisk {
namespace {

bool flag_of(const Json& object, const char* key, bool fallback) {
  const auto it = object.find(key);
  return it != object.end() && it->is_boolean() ? it->get<bool>() : fallback;
}

std::optional<bool> explicit_flag(const Json& object, const char* key) {
  const auto it = object.find(key);
  if (it == object.end() || !it->is_boolean()) return std::nullopt;
  return it->get<bool>();
}

// A token is written as its text, or as an object with a "content".
std::string text_of(const Json& token) {
  if (token.is_string()) return token.get<std::string>();
  if (!token.is_object()) return {};
  const auto content = token.find("content");
  return content != token.end() && content->is_string() ? content->get<std::string>() : "";
}

void apply_token(const Json& root, const char* key, const TokenizerData& data, int32_t* id) {
  const auto it = root.find(key);
  if (it == root.end()) return;
  const std::string text = text_of(*it);
  const int32_t found = text.empty() ? -1 : find_token(data, text);
  if (found >= 0) *id = found;
}

// An explicit "add_bos_token" overrules the template of a tokenizer.json, as it does in the Llama
// classes of the `transformers` library.
void override_template(std::optional<bool> adds, int32_t token, std::vector<int32_t>* tokens,
                       bool* flag) {
  if (!adds.has_value() || token < 0) return;
  if (!*adds && *tokens == std::vector<int32_t>{token}) tokens->clear();
  if (*adds && tokens->empty()) tokens->push_back(token);
  *flag = *adds;
}

// The id that a key like "32000" names, or -1.
int64_t id_of_key(const std::string& key) {
  int64_t id = key.empty() ? -1 : 0;
  for (const char c : key) {
    if (c < '0' || c > '9' || id > INT32_MAX) return -1;
    id = id * 10 + (c - '0');
  }
  return id;
}

// "added_tokens_decoder": tokens by id, among them those that a tokenizer.model lacks.
absl::Status add_tokens(const Json& tokens, TokenizerData* data) {
  if (!tokens.is_object()) return invalid_input("\"added_tokens_decoder\" is not an object");
  for (const auto& [key, token] : tokens.items()) {
    const int64_t id = id_of_key(key);
    std::string text = text_of(token);
    const bool is_known = id >= 0 && static_cast<size_t>(id) < data->tokens.size() &&
                          data->tokens[static_cast<size_t>(id)] == text;
    if (is_known || text.empty() || !token.is_object()) continue;
    const TokenType type =
        flag_of(token, "special", false) ? TokenType::kControl : TokenType::kUserDefined;
    BRISK_RETURN_IF_ERROR(put_token(id, std::move(text), type, data));
    data->added.push_back({.id = static_cast<int32_t>(id),
                           .lstrip = flag_of(token, "lstrip", false),
                           .rstrip = flag_of(token, "rstrip", false),
                           .single_word = flag_of(token, "single_word", false)});
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status apply_tokenizer_config(std::string_view bytes, TokenizerData* data) {
  // Not simdjson: real files have model_max_length set to 10^30, which it refuses.
  BRISK_ASSIGN_OR_RETURN(const Json root, parse_json(bytes));
  if (!root.is_object()) return invalid_input("not a JSON object");
  if (const auto tokens = root.find("added_tokens_decoder"); tokens != root.end()) {
    BRISK_RETURN_IF_ERROR(add_tokens(*tokens, data));
  }
  TokenizerRules& rules = data->rules;
  apply_token(root, "bos_token", *data, &rules.bos);
  apply_token(root, "eos_token", *data, &rules.eos);
  apply_token(root, "pad_token", *data, &rules.pad);
  override_template(explicit_flag(root, "add_bos_token"), rules.bos, &rules.prefix, &rules.add_bos);
  override_template(explicit_flag(root, "add_eos_token"), rules.eos, &rules.suffix, &rules.add_eos);
  return absl::OkStatus();
}

}  // namespace brisk
