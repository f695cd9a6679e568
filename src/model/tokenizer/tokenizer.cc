#include "model/tokenizer/tokenizer.h"

#include <absl/container/flat_hash_map.h>

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <utility>

#include "base/status.h"
#include "model/tokenizer/added_tokens.h"
#include "model/tokenizer/pre_tokenizer.h"
#include "model/tokenizer/text_normalizer.h"
#include "model/tokenizer/token_model.h"
#include "model/tokenizer/utf8.h"
#include "model/tokenizer/vocabulary.h"

namespace brisk {
namespace {

constexpr size_t kWordBytesMax = size_t{1} << 30;

// What SentencePiece writes for the unknown token.
constexpr std::string_view kUnknownSurface = " \xE2\x81\x87 ";

// Tokens that end a turn in the chat formats there are.
constexpr std::array<std::string_view, 14> kTurnEnds = {
    "<|im_end|>",      "<|eot_id|>",
    "<|eom_id|>",      "<|endoftext|>",
    "<|end_of_text|>", "<|end|>",
    "<end_of_turn>",   "<EOT>",
    "_<EOT>",          "[EOT]",
    "<|eot|>",         "<end_of_utterance>",
    "<|return|>",      "<｜end▁of▁sentence｜>",
};

// The parts of a tokenizer, one after the other: added tokens, normalisation, words, tokens.
class Pipeline final : public Tokenizer {
 public:
  static absl::StatusOr<std::unique_ptr<const Tokenizer>> create(TokenizerData data);

  std::vector<int32_t> encode(std::string_view text, const EncodeOptions& options) const override;
  std::string decode_token(int32_t token, bool special) const override;
  std::string decode(const std::vector<int32_t>& tokens, bool special) const override;
  int32_t vocab_size() const override { return vocabulary_.size(); }
  const TokenizerRules& rules() const override { return rules_; }
  bool is_control(int32_t token) const override {
    return vocabulary_.contains(token) && vocabulary_.type(token) == TokenType::kControl;
  }
  int32_t find(std::string_view text) const override { return vocabulary_.find(text); }

 private:
  Pipeline(TokenizerKind kind, Vocabulary vocabulary)
      : kind_(kind), vocabulary_(std::move(vocabulary)) {}

  void sort_added_tokens(const std::vector<AddedToken>& flags);
  void add_turn_ends();
  absl::Status make_model(const TokenizerData& data);
  void encode_part(std::string_view text, bool begins_text, std::vector<int32_t>* ids) const;
  void encode_plain(std::string_view text, std::vector<int32_t>* ids) const;

  // Constant after construction.
  const TokenizerKind kind_;
  const Vocabulary vocabulary_;
  TokenizerRules rules_;
  AddedTokens user_defined_;  // found in every text
  AddedTokens with_control_;  // the same and control tokens, for when special tokens are parsed
  AddedTokens normalized_;    // found in normalised text
  std::optional<TextNormalizer> normalizer_;
  std::optional<PreTokenizer> pre_tokenizer_;
  std::unique_ptr<const TokenModel> model_;
};

void Pipeline::sort_added_tokens(const std::vector<AddedToken>& flags) {
  absl::flat_hash_map<int32_t, AddedToken> flags_of;
  for (const AddedToken& token : flags) flags_of.try_emplace(token.id, token);
  std::vector<AddedToken> user_defined;
  std::vector<AddedToken> with_control;
  std::vector<AddedToken> normalized;
  for (int32_t id = 0; id < vocabulary_.size(); ++id) {
    const TokenType type = vocabulary_.type(id);
    const bool is_user_defined = type == TokenType::kUserDefined;
    const bool is_parsed = type == TokenType::kControl || id == rules_.unknown;
    if (!is_user_defined && !is_parsed) continue;
    const auto it = flags_of.find(id);
    const AddedToken token = it == flags_of.end() ? AddedToken{.id = id} : it->second;
    if (is_user_defined && token.normalized) {
      normalized.push_back(token);
      continue;
    }
    with_control.push_back(token);
    if (is_user_defined) user_defined.push_back(token);
  }
  user_defined_ = AddedTokens(vocabulary_, user_defined);
  with_control_ = AddedTokens(vocabulary_, with_control);
  normalized_ = AddedTokens(vocabulary_, normalized);
}

void Pipeline::add_turn_ends() {
  std::vector<int32_t>& ends = rules_.end_of_generation;
  const auto add = [&ends](int32_t id) {
    if (id >= 0 && std::find(ends.begin(), ends.end(), id) == ends.end()) ends.push_back(id);
  };
  add(rules_.eos);
  // Where "<|return|>" ends an answer, "<|end|>" only ends one of its messages (gpt-oss).
  const bool has_return = find("<|return|>") >= 0;
  for (const std::string_view name : kTurnEnds) {
    const int32_t id = find(name);
    if (id < 0 || (has_return && name == "<|end|>")) continue;
    const TokenType type = vocabulary_.type(id);
    if (type == TokenType::kControl || type == TokenType::kUserDefined) add(id);
  }
}

absl::Status Pipeline::make_model(const TokenizerData& data) {
  absl::StatusOr<std::unique_ptr<const TokenModel>> model;
  switch (kind_) {
    case TokenizerKind::kNone:
      return invalid_input("there is no tokenizer");
    case TokenizerKind::kSentencePieceBpe:
      model = make_piece_bpe(data, vocabulary_);
      break;
    case TokenizerKind::kSentencePieceUnigram:
      model = make_unigram(data, vocabulary_);
      break;
    case TokenizerKind::kByteLevelBpe:
      model = make_byte_bpe(data, vocabulary_);
      break;
  }
  BRISK_ASSIGN_OR_RETURN(model_, std::move(model));
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<const Tokenizer>> Pipeline::create(TokenizerData data) {
  const bool byte_level = data.kind == TokenizerKind::kByteLevelBpe;
  if (byte_level) {
    // SentencePiece's habits have no meaning here.
    data.rules.add_dummy_prefix = data.add_prefix_space;
    data.rules.prefix_if_missing = true;
    data.rules.escape_whitespaces = false;
    data.rules.remove_extra_whitespaces = false;
    std::replace(data.types.begin(), data.types.end(), TokenType::kByte, TokenType::kNormal);
    const auto* family = find_pre_tokenizer_family(data.pre_tokenizer);
    if (family != nullptr) {
      data.rules.ignore_merges |= family->ignore_merges;
      if (family->nfc && data.normalizers.empty()) {
        data.normalizers.push_back({.kind = NormalizerStep::Kind::kNfc});
      }
    }
  }
  BRISK_ASSIGN_OR_RETURN(Vocabulary vocabulary, Vocabulary::create(&data));
  std::unique_ptr<Pipeline> pipeline(new Pipeline(data.kind, std::move(vocabulary)));
  pipeline->rules_ = data.rules;
  pipeline->sort_added_tokens(data.added);
  pipeline->add_turn_ends();
  BRISK_RETURN_IF_ERROR(pipeline->make_model(data));
  BRISK_ASSIGN_OR_RETURN(pipeline->normalizer_,
                         TextNormalizer::create(data, pipeline->normalized_.spellings()));
  if (!byte_level) data.pre_tokenizer.clear();  // GGUF names one, but SentencePiece has none
  BRISK_ASSIGN_OR_RETURN(pipeline->pre_tokenizer_, PreTokenizer::create(data));
  return pipeline;
}

void Pipeline::encode_plain(std::string_view text, std::vector<int32_t>* ids) const {
  std::vector<std::string_view> words;
  while (!text.empty()) {
    const std::string_view piece = text.substr(0, kWordBytesMax);
    words.clear();
    pre_tokenizer_->split(piece, &words);
    model_->encode(words, ids);
    text.remove_prefix(piece.size());
  }
}

void Pipeline::encode_part(std::string_view text, bool begins_text,
                           std::vector<int32_t>* ids) const {
  std::string repaired;
  if (!model_->encodes_bytes() && utf8_valid_prefix(text) != text.size()) {
    repaired = utf8_repaired(text);
    text = repaired;
  }
  const std::string normalized = normalizer_->normalize(text, begins_text);
  if (normalized_.empty()) return encode_plain(normalized, ids);
  std::vector<AddedTokens::Part> parts;
  normalized_.cut(normalized, &parts);
  for (const AddedTokens::Part& part : parts) {
    if (part.token >= 0) {
      ids->push_back(part.token);
    } else {
      encode_plain(part.text, ids);
    }
  }
}

std::vector<int32_t> Pipeline::encode(std::string_view text, const EncodeOptions& options) const {
  std::vector<int32_t> ids;
  ids.reserve(text.size() / 3 + 8);
  if (options.add_special) {
    ids = rules_.prefix;
    if (ids.empty() && rules_.add_bos) ids.push_back(rules_.bos);
  }
  std::vector<AddedTokens::Part> parts;
  (options.parse_special ? with_control_ : user_defined_).cut(text, &parts);
  bool begins_text = true;
  for (const AddedTokens::Part& part : parts) {
    if (part.token >= 0) {
      ids.push_back(part.token);
    } else {
      encode_part(part.text, begins_text, &ids);
    }
    begins_text = false;
  }
  if (options.add_special) {
    ids.insert(ids.end(), rules_.suffix.begin(), rules_.suffix.end());
    if (rules_.suffix.empty() && rules_.add_eos) ids.push_back(rules_.eos);
  }
  return ids;
}

std::string Pipeline::decode_token(int32_t token, bool special) const {
  if (!vocabulary_.contains(token)) return {};
  const std::string& text = vocabulary_.text(token);
  switch (vocabulary_.type(token)) {
    case TokenType::kControl:
      return special ? text : std::string();
    case TokenType::kUnknown:
      return std::string(special ? std::string_view(text) : kUnknownSurface);
    case TokenType::kByte:
      if (const int byte = vocabulary_.byte_of(token); byte >= 0) {
        return std::string(1, static_cast<char>(byte));
      }
      return text;
    case TokenType::kNormal:
    case TokenType::kUserDefined:
    case TokenType::kUnused:
      break;
  }
  if (kind_ == TokenizerKind::kByteLevelBpe || !rules_.escape_whitespaces) return text;
  std::string plain;
  std::string_view rest = text;
  while (!rest.empty()) {
    const size_t space = rest.find(kSpaceSymbol);
    plain.append(rest.substr(0, space));
    if (space == rest.npos) break;
    plain.push_back(' ');
    rest.remove_prefix(space + kSpaceSymbol.size());
  }
  return plain;
}

std::string Pipeline::decode(const std::vector<int32_t>& tokens, bool special) const {
  std::string text;
  size_t spaces_to_drop = leading_spaces_dropped();
  for (const int32_t token : tokens) {
    std::string bytes = decode_token(token, special);
    drop_leading_spaces(token, &spaces_to_drop, &bytes);
    text += bytes;
  }
  return text;
}

}  // namespace

absl::StatusOr<std::unique_ptr<const Tokenizer>> Tokenizer::create(TokenizerData data) {
  return Pipeline::create(std::move(data));
}

bool Tokenizer::ends_generation(int32_t token) const {
  const std::vector<int32_t>& ends = rules().end_of_generation;
  return std::find(ends.begin(), ends.end(), token) != ends.end();
}

size_t Tokenizer::leading_spaces_dropped() const {
  if (!rules().escape_whitespaces) return 0;
  if (rules().remove_extra_whitespaces) return std::numeric_limits<size_t>::max();
  return rules().add_dummy_prefix ? 1 : 0;
}

void Tokenizer::drop_leading_spaces(int32_t token, size_t* spaces, std::string* bytes) const {
  // The space before the unknown token's surface is part of it.
  if (*spaces == 0 || token == rules().unknown) {
    if (!bytes->empty()) *spaces = 0;
    return;
  }
  const size_t leading = std::min(bytes->find_first_not_of(' '), bytes->size());
  const size_t dropped = std::min(leading, *spaces);
  bytes->erase(0, dropped);
  *spaces = bytes->empty() ? *spaces - dropped : 0;
}

}  // namespace brisk
