// TokenizerData from `tokenizer.ggml.*` keys.
#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "base/status.h"
#include "model/checkpoint/gguf_model.h"
#include "model/tokenizer/byte_alphabet.h"
#include "model/tokenizer/pre_tokenizer.h"

namespace brisk {
namespace {

constexpr uint64_t kTokensMax = 1 << 24;

std::string key_of(std::string_view name) { return fmt::format("tokenizer.ggml.{}", name); }

// The array under `name`, which must have `count` elements of a kind; null when absent.
absl::StatusOr<const GgufArray*> array_of(const GgufFile& file, std::string_view name, bool strings,
                                          std::optional<uint64_t> count) {
  const std::string key = key_of(name);
  BRISK_ASSIGN_OR_RETURN(const GgufArray* array, file.array(key));
  if (array == nullptr) return nullptr;
  if (array->type == GgufType::kArray || (array->type == GgufType::kString) != strings) {
    return invalid_input("metadata key \"{}\" should hold {}", key,
                         strings ? "strings" : "numbers");
  }
  if (count.has_value() && array->count != *count) {
    return invalid_input("metadata key \"{}\" has {} entries for {} tokens", key, array->count,
                         *count);
  }
  return array;
}

// llama.cpp's names of the vocabularies it knows.
absl::StatusOr<TokenizerKind> kind_of(std::string_view model) {
  if (model == "llama") return TokenizerKind::kSentencePieceBpe;
  if (model == "t5") return TokenizerKind::kSentencePieceUnigram;
  if (model == "gpt2") return TokenizerKind::kByteLevelBpe;
  if (model == "no_vocab" || model == "none") return TokenizerKind::kNone;
  return unsupported("tokenizer \"{}\"; brisk knows \"llama\", \"t5\" and \"gpt2\"", model);
}

absl::StatusOr<TokenType> type_of(double number) {
  constexpr std::array kTypes = {TokenType::kNormal,      TokenType::kUnknown, TokenType::kControl,
                                 TokenType::kUserDefined, TokenType::kUnused,  TokenType::kByte};
  // 0 is "undefined", which old converters wrote for ordinary tokens.
  const double position = std::max(number, 1.0) - 1;
  if (!(number >= 0 && position < kTypes.size())) {
    return invalid_input("metadata key \"{}\" holds the unknown type {}", key_of("token_type"),
                         number);
  }
  return kTypes[static_cast<size_t>(position)];
}

absl::Status read_tokens(const GgufFile& file, TokenizerData& data) {
  BRISK_ASSIGN_OR_RETURN(const GgufArray* tokens, array_of(file, "tokens", true, std::nullopt));
  if (tokens == nullptr || tokens->count == 0) {
    return invalid_input("metadata key \"{}\" is missing or empty", key_of("tokens"));
  }
  if (tokens->count > kTokensMax) return invalid_input("{} tokens are too many", tokens->count);
  BRISK_ASSIGN_OR_RETURN(const GgufArray* types,
                         array_of(file, "token_type", false, tokens->count));
  data.types.assign(tokens->strings.size(), TokenType::kNormal);
  for (size_t i = 0; types != nullptr && i < data.types.size(); ++i) {
    BRISK_ASSIGN_OR_RETURN(data.types[i], type_of(types->number(i)));
  }
  data.tokens.reserve(tokens->strings.size());
  for (size_t i = 0; i < tokens->strings.size(); ++i) {
    const std::string_view text = tokens->strings[i];
    // Special tokens of byte-level vocabularies are written plainly.
    std::optional<std::string> bytes;
    if (data.kind == TokenizerKind::kByteLevelBpe && data.types[i] == TokenType::kNormal) {
      bytes = bytes_of_printable(text);
    }
    data.tokens.push_back(bytes.has_value() ? std::move(*bytes) : std::string(text));
  }
  return absl::OkStatus();
}

absl::Status read_scores(const GgufFile& file, TokenizerData& data) {
  BRISK_ASSIGN_OR_RETURN(const GgufArray* scores,
                         array_of(file, "scores", false, data.tokens.size()));
  if (scores == nullptr) {
    return invalid_input("metadata key \"{}\" is missing", key_of("scores"));
  }
  data.scores.reserve(data.tokens.size());
  for (uint64_t i = 0; i < scores->count; ++i) {
    data.scores.push_back(static_cast<float>(scores->number(i)));
  }
  return absl::OkStatus();
}

absl::Status read_merges(const GgufFile& file, TokenizerData& data) {
  BRISK_ASSIGN_OR_RETURN(const GgufArray* merges, array_of(file, "merges", true, std::nullopt));
  if (merges == nullptr) {
    return invalid_input("metadata key \"{}\" is missing", key_of("merges"));
  }
  const auto spelled = [](std::string_view text) {
    return bytes_of_printable(text).value_or(std::string(text));
  };
  data.merges.reserve(merges->strings.size());
  for (const std::string_view merge : merges->strings) {
    const size_t space = merge.find(' ', 1);
    if (space == std::string_view::npos || space + 1 == merge.size()) {
      return invalid_input("the merge \"{}\" is not a pair of tokens", merge);
    }
    data.merges.emplace_back(spelled(merge.substr(0, space)), spelled(merge.substr(space + 1)));
  }
  return absl::OkStatus();
}

// A token's id; -1 when the key is absent or says so.
absl::Status read_id(const GgufFile& file, const TokenizerData& data, std::string_view name,
                     int32_t& out) {
  BRISK_ASSIGN_OR_RETURN(const auto id, file.integer(key_of(name)));
  if (!id.has_value()) return absl::OkStatus();
  if (*id == -1 || *id == 0xFFFFFFFF) {
    out = -1;
    return absl::OkStatus();
  }
  if (*id < 0 || *id >= static_cast<int64_t>(data.tokens.size())) {
    return invalid_input("metadata key \"{}\" is {}, but there are {} tokens", key_of(name), *id,
                         data.tokens.size());
  }
  out = static_cast<int32_t>(*id);
  return absl::OkStatus();
}

absl::Status read_flag(const GgufFile& file, std::string_view name, bool& out) {
  BRISK_ASSIGN_OR_RETURN(const auto value, file.boolean(key_of(name)));
  out = value.value_or(out);
  return absl::OkStatus();
}

// What llama.cpp assumes of a vocabulary when the file does not say otherwise.
void set_defaults(TokenizerData& data) {
  TokenizerRules& rules = data.rules;
  const auto id_if_there = [&](int32_t id) {
    return static_cast<size_t>(id) < data.tokens.size() ? id : -1;
  };
  switch (data.kind) {
    case TokenizerKind::kNone:
      break;
    case TokenizerKind::kSentencePieceBpe:
      rules.add_bos = true;
      rules.bos = id_if_there(1);
      rules.eos = id_if_there(2);
      rules.unknown = id_if_there(0);
      break;
    case TokenizerKind::kSentencePieceUnigram:
      rules.add_eos = true;
      rules.eos = id_if_there(1);
      rules.unknown = id_if_there(2);
      rules.pad = id_if_there(0);
      break;
    case TokenizerKind::kByteLevelBpe:
      if (const auto* family = find_pre_tokenizer_family(data.pre_tokenizer); family != nullptr) {
        rules.ignore_merges = family->ignore_merges;
        rules.add_bos = family->add_bos;
      }
      break;
  }
}

absl::Status read_rules(const GgufFile& file, TokenizerData& data) {
  set_defaults(data);
  TokenizerRules& rules = data.rules;
  int32_t end_of_turn = -1, end_of_message = -1;
  BRISK_RETURN_IF_ERROR(read_id(file, data, "bos_token_id", rules.bos));
  BRISK_RETURN_IF_ERROR(read_id(file, data, "eos_token_id", rules.eos));
  BRISK_RETURN_IF_ERROR(read_id(file, data, "unknown_token_id", rules.unknown));
  BRISK_RETURN_IF_ERROR(read_id(file, data, "padding_token_id", rules.pad));
  BRISK_RETURN_IF_ERROR(read_id(file, data, "eot_token_id", end_of_turn));
  BRISK_RETURN_IF_ERROR(read_id(file, data, "eom_token_id", end_of_message));
  BRISK_RETURN_IF_ERROR(read_flag(file, "add_bos_token", rules.add_bos));
  BRISK_RETURN_IF_ERROR(read_flag(file, "add_eos_token", rules.add_eos));
  BRISK_RETURN_IF_ERROR(read_flag(file, "add_space_prefix", rules.add_dummy_prefix));
  BRISK_RETURN_IF_ERROR(
      read_flag(file, "remove_extra_whitespaces", rules.remove_extra_whitespaces));
  if (rules.bos < 0) rules.add_bos = false;
  if (rules.eos < 0) rules.add_eos = false;
  for (const int32_t id : {rules.eos, end_of_turn, end_of_message}) {
    auto& ends = rules.end_of_generation;
    if (id >= 0 && std::find(ends.begin(), ends.end(), id) == ends.end()) ends.push_back(id);
  }
  return absl::OkStatus();
}

absl::Status read_charsmap(const GgufFile& file, TokenizerData& data) {
  BRISK_ASSIGN_OR_RETURN(const GgufArray* table,
                         array_of(file, "precompiled_charsmap", false, std::nullopt));
  if (table == nullptr) return absl::OkStatus();
  if (table->type != GgufType::kU8 && table->type != GgufType::kI8) {
    return invalid_input("metadata key \"{}\" should hold bytes", key_of("precompiled_charsmap"));
  }
  data.charsmap.assign(reinterpret_cast<const char*>(table->numbers.data()), table->numbers.size());
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<TokenizerData> read_gguf_tokenizer(const GgufFile& file) {
  TokenizerData data;
  BRISK_ASSIGN_OR_RETURN(const auto model, file.string(key_of("model")));
  if (!model.has_value()) return data;
  BRISK_ASSIGN_OR_RETURN(data.kind, kind_of(*model));
  if (data.kind == TokenizerKind::kNone) return data;
  BRISK_ASSIGN_OR_RETURN(const auto family, file.string(key_of("pre")));
  data.pre_tokenizer = family.value_or("");
  BRISK_RETURN_IF_ERROR(read_tokens(file, data));
  if (data.kind == TokenizerKind::kByteLevelBpe) {
    if (data.pre_tokenizer.empty()) data.pre_tokenizer = "default";
    BRISK_RETURN_IF_ERROR(read_merges(file, data));
  } else {
    BRISK_RETURN_IF_ERROR(read_scores(file, data));
    BRISK_RETURN_IF_ERROR(read_charsmap(file, data));
  }
  BRISK_RETURN_IF_ERROR(read_rules(file, data));
  return data;
}

}  // namespace brisk
