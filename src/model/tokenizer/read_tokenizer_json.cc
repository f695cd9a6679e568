#include <absl/container/flat_hash_set.h>

#include <utility>

#include "base/status.h"
#include "model/tokenizer/byte_alphabet.h"
#include "model/tokenizer/tokenizer_files.h"
#include "model/tokenizer/tokenizer_json.h"

namespace brisk {
namespace {

std::string spelled(std::string_view token, bool byte_level) {
  if (!byte_level) return std::string(token);
  return bytes_of_printable(token).value_or(std::string(token));
}

// "vocab" of a BPE model: {"token": id, ...}, in any order.
absl::Status read_bpe_vocabulary(JsonView vocabulary, bool byte_level, TokenizerData* data) {
  if (!vocabulary.is_object()) return invalid_input("the model's vocabulary is not an object");
  size_t count = 0;
  vocabulary.for_each_member([&](std::string_view, JsonView) { ++count; });
  data->tokens.resize(count);
  data->types.resize(count, TokenType::kUnused);
  absl::Status status;
  vocabulary.for_each_member([&](std::string_view token, JsonView id) {
    if (!status.ok()) return;
    status = put_token(id.integer(-1), spelled(token, byte_level), TokenType::kNormal, data);
  });
  return status;
}

using TokenSet = absl::flat_hash_set<std::string_view>;

struct Merge {
  std::string_view left;
  std::string_view right;
};

// "a b". Where tokens themselves have spaces, the cut is the one that makes two tokens.
absl::StatusOr<Merge> cut_merge(std::string_view text, const TokenSet& vocabulary) {
  for (size_t at = text.find(' '); at != text.npos; at = text.find(' ', at + 1)) {
    const Merge merge = {text.substr(0, at), text.substr(at + 1)};
    if (vocabulary.contains(merge.left) && vocabulary.contains(merge.right)) return merge;
  }
  return invalid_input("the merge \"{}\" is not two tokens", text);
}

// A string, or a pair of strings in newer files.
absl::Status read_merge(JsonView value, const TokenSet& vocabulary, bool byte_level,
                        TokenizerData* data) {
  Merge merge;
  if (value.is_string()) {
    BRISK_ASSIGN_OR_RETURN(merge, cut_merge(value.text(), vocabulary));
  } else {
    size_t count = 0;
    value.for_each_item([&](JsonView item) {
      (count == 0 ? merge.left : merge.right) = item.text();
      ++count;
    });
    if (count != 2) return invalid_input("a merge of {} tokens", count);
  }
  if (merge.left.empty() || merge.right.empty()) return invalid_input("a merge of nothing");
  data->merges.emplace_back(spelled(merge.left, byte_level), spelled(merge.right, byte_level));
  return absl::OkStatus();
}

absl::Status read_merges(JsonView model, bool byte_level, TokenizerData* data) {
  if (!model["merges"].is_array()) return invalid_input("the model's merges are not an array");
  TokenSet vocabulary;
  model["vocab"].for_each_member(
      [&](std::string_view token, JsonView) { vocabulary.insert(token); });
  absl::Status status;
  model["merges"].for_each_item([&](JsonView merge) {
    if (status.ok()) status = read_merge(merge, vocabulary, byte_level, data);
  });
  return status;
}

// SentencePiece's byte tokens, where the model says that it uses them.
void mark_byte_tokens(TokenizerData* data) {
  for (size_t i = 0; i < data->tokens.size(); ++i) {
    const std::string& token = data->tokens[i];
    if (token.size() == 6 && token.starts_with("<0x") && token.ends_with('>')) {
      data->types[i] = TokenType::kByte;
    }
  }
}

absl::Status read_bpe(JsonView model, bool byte_level, TokenizerData* data) {
  data->kind = byte_level ? TokenizerKind::kByteLevelBpe : TokenizerKind::kSentencePieceBpe;
  for (const char* affix : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (!model[affix].text().empty()) return unsupported("a BPE model with a {}", affix);
  }
  BRISK_RETURN_IF_ERROR(read_bpe_vocabulary(model["vocab"], byte_level, data));
  BRISK_RETURN_IF_ERROR(read_merges(model, byte_level, data));
  data->rules.ignore_merges = model["ignore_merges"].boolean(false);
  data->rules.fuse_unknown = model["fuse_unk"].boolean(false);
  if (model["unk_token"].is_string()) {
    data->rules.unknown = find_token(*data, spelled(model["unk_token"].text(), byte_level));
  }
  if (model["byte_fallback"].boolean(false)) mark_byte_tokens(data);
  return absl::OkStatus();
}

absl::Status read_unigram(JsonView model, TokenizerData* data) {
  data->kind = TokenizerKind::kSentencePieceUnigram;
  if (!model["vocab"].is_array()) return invalid_input("the model's vocabulary is not an array");
  absl::Status status;
  model["vocab"].for_each_item([&](JsonView item) {
    std::string_view piece;
    std::optional<double> score;
    size_t count = 0;
    item.for_each_item([&](JsonView value) {
      if (count == 0) piece = value.text();
      if (count == 1) score = value.number();
      ++count;
    });
    if (count != 2 || !score) {
      status = invalid_input("token {} is not a piece and a score", data->tokens.size());
      return;
    }
    data->tokens.emplace_back(piece);
    data->scores.push_back(static_cast<float>(*score));
    data->types.push_back(TokenType::kNormal);
  });
  BRISK_RETURN_IF_ERROR(status);
  const int64_t unknown = model["unk_id"].integer(-1);
  if (unknown >= 0 && static_cast<size_t>(unknown) < data->tokens.size()) {
    data->rules.unknown = static_cast<int32_t>(unknown);
    data->types[static_cast<size_t>(unknown)] = TokenType::kUnknown;
  }
  if (model["byte_fallback"].boolean(false)) mark_byte_tokens(data);
  return absl::OkStatus();
}

absl::Status read_added_tokens(JsonView tokens, TokenizerData* data) {
  absl::Status status;
  tokens.for_each_item([&](JsonView token) {
    if (!status.ok()) return;
    const int64_t id = token["id"].integer(-1);
    const bool special = token["special"].boolean(false);
    status = put_token(id, std::string(token["content"].text()),
                       special ? TokenType::kControl : TokenType::kUserDefined, data);
    data->added.push_back({.id = static_cast<int32_t>(id),
                           .lstrip = token["lstrip"].boolean(false),
                           .rstrip = token["rstrip"].boolean(false),
                           .single_word = token["single_word"].boolean(false),
                           .normalized = !special && token["normalized"].boolean(true)});
  });
  return status;
}

// A template of one token before the text, or behind it, is what others call bos and eos.
void name_template_tokens(TokenizerRules* rules) {
  if (rules->prefix.size() == 1) {
    rules->bos = rules->prefix.front();
    rules->add_bos = true;
  }
  if (rules->suffix.size() == 1) {
    rules->eos = rules->suffix.front();
    rules->add_eos = true;
  }
}

}  // namespace

absl::StatusOr<TokenizerData> read_tokenizer_json(std::string_view bytes) {
  JsonDocument document;
  const JsonView root = document.parse(bytes);
  if (!root.exists()) return invalid_input("not valid JSON: {}", document.error());
  const JsonView model = root["model"];
  if (!model.is_object()) return invalid_input("not a tokenizer.json: it has no \"model\"");
  TokenizerData data;
  data.rules.add_dummy_prefix = false;
  data.rules.escape_whitespaces = false;
  bool byte_level = root["decoder"]["type"].text() == "ByteLevel";
  BRISK_RETURN_IF_ERROR(read_json_normalizer(root["normalizer"], &data));
  BRISK_RETURN_IF_ERROR(read_json_pre_tokenizer(root["pre_tokenizer"], &data, &byte_level));
  const bool has_merges = model["merges"].exists();
  const std::string_view type = model["type"].text(has_merges ? "BPE" : "");
  if (type == "BPE") {
    BRISK_RETURN_IF_ERROR(read_bpe(model, byte_level, &data));
  } else if (type == "Unigram") {
    BRISK_RETURN_IF_ERROR(read_unigram(model, &data));
  } else {
    return unsupported("a tokenizer.json with a model of type \"{}\" (neither BPE nor Unigram)",
                       type);
  }
  BRISK_RETURN_IF_ERROR(read_added_tokens(root["added_tokens"], &data));
  BRISK_RETURN_IF_ERROR(read_json_post_processor(root["post_processor"], &data));
  name_template_tokens(&data.rules);
  return data;
}

}  // namespace brisk
