// The fields used here are numbered as in sentencepiece_model.proto.
#include <utility>

#include "base/status.h"
#include "model/tokenizer/protobuf.h"
#include "model/tokenizer/tokenizer_files.h"

namespace brisk {
namespace {

constexpr size_t kPiecesMax = size_t{1} << 22;

enum class ModelType : int32_t { kUnigram = 1, kBpe = 2, kWord = 3, kChar = 4 };

// Everything of the trainer's settings that says how to encode.
struct TrainerSpec {
  ModelType type = ModelType::kUnigram;
  bool space_as_suffix = false;
  int32_t unknown = 0;
  int32_t bos = 1;
  int32_t eos = 2;
  int32_t pad = -1;
};

absl::Status malformed(const char* what) {
  return invalid_input("not a SentencePiece model: its {} is malformed", what);
}

absl::StatusOr<TrainerSpec> read_trainer_spec(std::string_view bytes) {
  TrainerSpec spec;
  ProtobufFields fields(bytes);
  while (fields.next()) {
    switch (fields.number()) {
      case 3:
        spec.type = ModelType{fields.int32()};
        break;
      case 24:
        spec.space_as_suffix = fields.boolean();
        break;
      case 40:
        spec.unknown = fields.int32();
        break;
      case 41:
        spec.bos = fields.int32();
        break;
      case 42:
        spec.eos = fields.int32();
        break;
      case 43:
        spec.pad = fields.int32();
        break;
      default:
        break;
    }
  }
  if (!fields.ok()) return malformed("trainer specification");
  return spec;
}

absl::Status read_normalizer_spec(std::string_view bytes, TokenizerData* data) {
  ProtobufFields fields(bytes);
  while (fields.next()) {
    switch (fields.number()) {
      case 2:
        data->charsmap = fields.bytes();
        break;
      case 3:
        data->rules.add_dummy_prefix = fields.boolean();
        break;
      case 4:
        data->rules.remove_extra_whitespaces = fields.boolean();
        break;
      case 5:
        data->rules.escape_whitespaces = fields.boolean();
        break;
      default:
        break;
    }
  }
  return fields.ok() ? absl::OkStatus() : malformed("normalizer specification");
}

absl::StatusOr<TokenType> token_type(int32_t type) {
  switch (type) {
    case 1:
      return TokenType::kNormal;
    case 2:
      return TokenType::kUnknown;
    case 3:
      return TokenType::kControl;
    case 4:
      return TokenType::kUserDefined;
    case 5:
      return TokenType::kUnused;
    case 6:
      return TokenType::kByte;
    default:
      return malformed("piece type");
  }
}

absl::Status read_piece(std::string_view bytes, TokenizerData* data) {
  std::string_view text;
  float score = 0;
  int32_t type = 1;
  ProtobufFields fields(bytes);
  while (fields.next()) {
    if (fields.number() == 1) text = fields.bytes();
    if (fields.number() == 2) score = fields.float32();
    if (fields.number() == 3) type = fields.int32();
  }
  if (!fields.ok() || text.empty()) return malformed("piece");
  if (data->tokens.size() == kPiecesMax) {
    return invalid_input("a SentencePiece model of more than {} pieces", kPiecesMax);
  }
  BRISK_ASSIGN_OR_RETURN(const TokenType token, token_type(type));
  if (token == TokenType::kUserDefined) {
    data->added.push_back({.id = static_cast<int32_t>(data->tokens.size()), .normalized = true});
  }
  data->tokens.emplace_back(text);
  data->scores.push_back(score);
  data->types.push_back(token);
  return absl::OkStatus();
}

absl::Status apply_trainer_spec(const TrainerSpec& spec, TokenizerData* data) {
  switch (spec.type) {
    case ModelType::kUnigram:
      data->kind = TokenizerKind::kSentencePieceUnigram;
      break;
    case ModelType::kBpe:
      data->kind = TokenizerKind::kSentencePieceBpe;
      break;
    case ModelType::kWord:
    case ModelType::kChar:
    default:
      return unsupported("SentencePiece models of type {} (neither unigram nor BPE)",
                         static_cast<int32_t>(spec.type));
  }
  if (spec.space_as_suffix) {
    return unsupported("SentencePiece models that put spaces behind words");
  }
  // The specification names ids even where the model has no such piece.
  const auto id_of_type = [data](int32_t id, TokenType type) {
    const bool has = id >= 0 && static_cast<size_t>(id) < data->types.size() &&
                     data->types[static_cast<size_t>(id)] == type;
    return has ? id : -1;
  };
  TokenizerRules& rules = data->rules;
  rules.unknown = id_of_type(spec.unknown, TokenType::kUnknown);
  rules.bos = id_of_type(spec.bos, TokenType::kControl);
  rules.eos = id_of_type(spec.eos, TokenType::kControl);
  rules.pad = id_of_type(spec.pad, TokenType::kControl);
  // The model does not say; this is what language models' own code does. A unigram model's text
  // (T5) ends with eos instead.
  const bool is_bpe = data->kind == TokenizerKind::kSentencePieceBpe;
  rules.add_bos = is_bpe && rules.bos >= 0;
  rules.add_eos = !is_bpe && rules.eos >= 0;
  return absl::OkStatus();
}

}  // namespace

// Field 1, a message: the first piece.
bool looks_like_sentencepiece(std::string_view bytes) {
  ProtobufFields fields(bytes);
  if (!fields.next() || fields.number() != 1 || fields.bytes().empty()) return false;
  ProtobufFields piece(fields.bytes());
  return piece.next() && piece.number() == 1 && !piece.bytes().empty();
}

absl::StatusOr<TokenizerData> read_sentencepiece(std::string_view bytes) {
  TokenizerData data;
  data.rules.remove_extra_whitespaces = true;  // the default of its field
  TrainerSpec trainer;
  ProtobufFields fields(bytes);
  while (fields.next()) {
    switch (fields.number()) {
      case 1:
        BRISK_RETURN_IF_ERROR(read_piece(fields.bytes(), &data));
        break;
      case 2: {
        BRISK_ASSIGN_OR_RETURN(trainer, read_trainer_spec(fields.bytes()));
        break;
      }
      case 3:
        BRISK_RETURN_IF_ERROR(read_normalizer_spec(fields.bytes(), &data));
        break;
      default:
        break;
    }
  }
  if (!fields.ok()) return malformed("list of fields");
  if (data.tokens.empty()) return invalid_input("a SentencePiece model without pieces");
  BRISK_RETURN_IF_ERROR(apply_trainer_spec(trainer, &data));
  return data;
}

}  // namespace brisk
