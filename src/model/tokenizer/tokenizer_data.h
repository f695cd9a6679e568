// A tokenizer as a checkpoint describes it, before any index is built: the one form that GGUF,
// tokenizer.json, tokenizer.model, llama2.c and tiktoken files are read into.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace brisk {

enum class TokenizerKind : uint8_t {
  kNone,
  kSentencePieceBpe,      // greedy merges by score, byte fallback
  kSentencePieceUnigram,  // best segmentation by Viterbi, byte fallback
  kByteLevelBpe,          // merges by rank over bytes, after a pre-tokeniser
};

enum class TokenType : uint8_t {
  kNormal,
  kUnknown,
  kControl,      // special: never made from text unless special tokens are parsed
  kUserDefined,  // matched in text before anything else
  kUnused,
  kByte,  // SentencePiece byte fallback <0x00>..<0xFF>
};

// Special tokens and flags; -1: the vocabulary has no such token.
struct TokenizerRules {
  int32_t bos = -1;
  int32_t eos = -1;
  int32_t unknown = -1;
  int32_t pad = -1;
  std::vector<int32_t> end_of_generation;  // every token that ends an answer, eos included
  bool add_bos = false;
  bool add_eos = false;
  bool add_dummy_prefix = true;         // SentencePiece: a space before the text
  bool remove_extra_whitespaces = false;  // SentencePiece
  bool escape_whitespaces = true;       // SentencePiece: ' ' is U+2581
  bool ignore_merges = false;           // byte-level BPE: a whole-word token wins over its merges
};

enum class Normalizer : uint8_t { kNone, kNfc, kNfd, kNfkc, kNfkd, kLowercase };

struct TokenizerData {
  TokenizerKind kind = TokenizerKind::kNone;
  // By id. Byte-level BPE: raw bytes (already unmapped from the printable alphabet).
  // SentencePiece: UTF-8 pieces with U+2581 for the space; byte tokens spelled "<0xAB>".
  std::vector<std::string> tokens;
  std::vector<float> scores;     // SentencePiece; (tokens)
  std::vector<TokenType> types;  // (tokens)
  // Byte-level BPE, best first: pairs of raw byte strings. Empty for tiktoken files, where the
  // rank of a merge is the id of its result.
  std::vector<std::pair<std::string, std::string>> merges;
  // Byte-level BPE: the pre-tokeniser. Either a family ("gpt2", "llama-bpe", "qwen2", ...) or
  // regular expressions that split in turn (tokenizer.json).
  std::string pre_tokenizer;
  std::vector<std::string> split_patterns;
  std::vector<Normalizer> normalizers;
  std::string charsmap;  // SentencePiece: precompiled normalisation table; may be empty
  TokenizerRules rules;
};

}  // namespace brisk
