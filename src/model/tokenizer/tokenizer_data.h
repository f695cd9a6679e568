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
  kSentencePieceBpe,      // greedy merges by score (or rank, when there are merges), byte fallback
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
  // Every token that ends an answer. Tokenizer::create adds eos and the control tokens that end a
  // turn under the names everyone uses ("<|im_end|>", "<|eot_id|>", ...).
  std::vector<int32_t> end_of_generation;
  bool add_bos = false;
  bool add_eos = false;
  // Tokens around every text when they are not simply bos and eos (ChatGLM's "[gMASK]<sop>");
  // not empty: they replace what add_bos and add_eos say.
  std::vector<int32_t> prefix;
  std::vector<int32_t> suffix;
  bool add_dummy_prefix = true;           // SentencePiece: a space before the text
  bool prefix_first_only = false;         // ... but not before the text after a special token
  bool prefix_if_missing = false;         // ... but not before text that begins with a space
  bool remove_extra_whitespaces = false;  // SentencePiece
  bool escape_whitespaces = true;         // SentencePiece: ' ' is U+2581
  bool fuse_unknown = true;               // SentencePiece: a run of unknown characters is one token
  bool ignore_merges = false;             // byte-level BPE: a whole-word token wins over its merges
};

// How a token of the types kControl and kUserDefined is found in text. A token that has no entry
// in TokenizerData::added is matched as it is spelled, with none of these flags.
struct AddedToken {
  int32_t id = -1;
  bool lstrip = false;       // swallows the whitespace before it
  bool rstrip = false;       // swallows the whitespace after it
  bool single_word = false;  // only where no letter or digit touches it
  bool normalized = false;   // user-defined only: looked for after normalisation, not before
};

struct NormalizerStep {
  enum class Kind : uint8_t {
    kNfc,
    kNfd,
    kNfkc,
    kNfkd,
    kLowercase,
    kCharsmap,  // TokenizerData::charsmap; without such a step it comes last
    kStripAccents,
    kStripLeft,
    kStripRight,
    kPrepend,       // `content`, where there is text at all
    kReplace,       // every `pattern`, a plain string, by `content`
    kReplaceRegex,  // every match of `pattern`, a regular expression, by `content`
  };
  Kind kind = Kind::kNfc;
  std::string pattern = {};
  std::string content = {};
};

// One cut of a pre-tokeniser: every word made so far is cut where `pattern` matches.
struct SplitStep {
  enum class Behavior : uint8_t {
    kIsolated,  // a match is a word of its own
    kRemoved,   // a match disappears
    kMergedWithPrevious,
    kMergedWithNext,
    kContiguous,  // neighbouring matches are one word
  };
  std::string pattern;  // a regular expression
  Behavior behavior = Behavior::kIsolated;
  bool invert = false;  // `pattern` describes the words, not what is between them
};

struct TokenizerData {
  TokenizerKind kind = TokenizerKind::kNone;
  // By id. Byte-level BPE: raw bytes (already unmapped from the printable alphabet, see
  // byte_alphabet.h). SentencePiece: UTF-8 pieces with U+2581 for the space; byte tokens spelled
  // "<0xAB>".
  std::vector<std::string> tokens;
  std::vector<float> scores;     // SentencePiece; (tokens)
  std::vector<TokenType> types;  // (tokens)
  std::vector<AddedToken> added;
  // Best first: pairs of tokens as they are spelled above. Byte-level BPE: empty for tiktoken
  // files, where the rank of a merge is the id of its result. SentencePiece: empty unless the
  // file ranks merges instead of scoring tokens (tokenizer.json).
  std::vector<std::pair<std::string, std::string>> merges;
  // The pre-tokeniser. Either a family as GGUF names it ("gpt-2", "llama-bpe", "qwen2", ...) or
  // cuts that are made in turn (tokenizer.json).
  std::string pre_tokenizer;
  std::vector<SplitStep> splits;
  bool add_prefix_space = false;  // byte-level BPE: a space before a text that has none
  std::vector<NormalizerStep> normalizers;
  std::string charsmap;  // SentencePiece: precompiled normalisation table; may be empty
  TokenizerRules rules;
};

}  // namespace brisk
