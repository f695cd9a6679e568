// Texts: whatever the bytes, a byte-level and a SentencePiece tokenizer give them back unchanged,
// whole and as a stream. The vocabularies are made of common pairs, so that words merge.
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "model/tokenizer/tokenizer.h"
#include "model/tokenizer/utf8.h"

namespace {

using brisk::TokenizerData;
using brisk::TokenType;

void must(bool fact) {
  if (!fact) std::abort();
}

std::unique_ptr<const brisk::Tokenizer> create(TokenizerData data) {
  auto tokenizer = brisk::Tokenizer::create(std::move(data));
  must(tokenizer.ok());
  return std::move(*tokenizer);
}

constexpr std::pair<const char*, const char*> kPairs[] = {
    {"t", "h"}, {"th", "e"}, {"a", "n"}, {"an", "d"}, {"e", "e"}, {"ee", "ee"},     {"1", "2"},
    {"i", "n"}, {"in", "g"}, {"o", "u"}, {"'", "s"},  {"'", "'"}, {"\xC3", "\xA9"}, {"e", "r"},
};

std::unique_ptr<const brisk::Tokenizer> byte_level(const char* family) {
  TokenizerData data;
  data.kind = brisk::TokenizerKind::kByteLevelBpe;
  data.pre_tokenizer = family;
  for (int byte = 0; byte < 256; ++byte) data.tokens.emplace_back(1, static_cast<char>(byte));
  for (const auto& [left, right] : kPairs) {
    data.tokens.push_back(std::string(left) + right);
    data.merges.emplace_back(left, right);
  }
  data.types.assign(data.tokens.size(), TokenType::kNormal);
  data.tokens.emplace_back("<|end|>");
  data.types.push_back(TokenType::kControl);
  return create(std::move(data));
}

std::unique_ptr<const brisk::Tokenizer> sentencepiece(brisk::TokenizerKind kind) {
  TokenizerData data;
  data.kind = kind;
  data.tokens = {"<unk>", "<|end|>"};
  data.types = {TokenType::kUnknown, TokenType::kControl};
  for (int byte = 0; byte < 256; ++byte) {
    data.tokens.push_back(fmt::format("<0x{:02X}>", byte));
    data.types.push_back(TokenType::kByte);
  }
  for (const char* piece : {"\xE2\x96\x81", "t", "h", "e", "th", "the", "\xE2\x96\x81the", "a",
                            "\xE2\x96\x81\xE2\x96\x81", "\xC3\xA9", "ee", "eeee"}) {
    data.tokens.emplace_back(piece);
    data.types.push_back(TokenType::kNormal);
  }
  for (size_t i = 0; i < data.tokens.size(); ++i) {
    data.scores.push_back(-static_cast<float>(i) / 16);
  }
  data.rules.unknown = 0;
  return create(std::move(data));
}

void check(const brisk::Tokenizer& tokenizer, std::string_view text, bool parse_special) {
  const std::vector<int32_t> ids =
      tokenizer.encode(text, {.add_special = true, .parse_special = parse_special});
  std::string streamed;
  brisk::TextDecoder decoder(tokenizer, true, true);
  for (const int32_t id : ids) {
    const std::string part = decoder.push(id);
    must(brisk::utf8_valid_prefix(part) == part.size());
    streamed += part;
  }
  streamed += decoder.finish();
  const std::string decoded = tokenizer.decode(ids, true);
  must(streamed == brisk::utf8_repaired(decoded));
  // A space that SentencePiece puts after a special token stays, and its visible space is a space.
  const bool exact = !parse_special && text.find("\xE2\x96\x81") == text.npos;
  if (exact) must(decoded == text);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::unique_ptr<const brisk::Tokenizer> kTokenizers[] = {
      byte_level("gpt-2"),
      byte_level("llama-bpe"),
      byte_level("default"),
      byte_level("deepseek-llm"),
      sentencepiece(brisk::TokenizerKind::kSentencePieceBpe),
      sentencepiece(brisk::TokenizerKind::kSentencePieceUnigram),
  };
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const auto& tokenizer : kTokenizers) {
    check(*tokenizer, text, false);
    check(*tokenizer, text, true);
  }
  return 0;
}
