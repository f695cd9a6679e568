// Text to token ids and back, exactly as the model's own tokenizer does it.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "model/tokenizer/tokenizer_data.h"

namespace brisk {

struct EncodeOptions {
  bool add_special = true;     // the vocabulary's own BOS/EOS rules
  bool parse_special = false;  // "<|im_end|>" in the text becomes the control token, not letters
};

// Immutable; any thread may call it. Encoding takes time linear in the text (up to a logarithm),
// whatever the text is.
class Tokenizer {
 public:
  // Errors: InvalidArgument when the description contradicts itself.
  static absl::StatusOr<std::unique_ptr<const Tokenizer>> create(TokenizerData data);
  virtual ~Tokenizer() = default;

  // Bytes that are not UTF-8 are encoded as they are where the vocabulary can, else as U+FFFD.
  virtual std::vector<int32_t> encode(std::string_view text,
                                      const EncodeOptions& options) const = 0;

  // The bytes that `token` adds to a text. Control tokens give none unless `special`.
  // Ids outside the vocabulary give none.
  virtual std::string decode_token(int32_t token, bool special) const = 0;

  // A whole text; SentencePiece's leading space is removed.
  virtual std::string decode(const std::vector<int32_t>& tokens, bool special) const = 0;

  virtual int32_t vocab_size() const = 0;
  virtual const TokenizerRules& rules() const = 0;
  virtual bool is_control(int32_t token) const = 0;
  bool ends_generation(int32_t token) const;

  // How many spaces at the beginning of a text decoding takes away: what encoding put there, or
  // all of them when encoding leaves out extra ones.
  size_t leading_spaces_dropped() const;

  // Takes up to *spaces leading spaces off `bytes`, which are what `token` adds to a text. Sets
  // *spaces to how many more the next token may lose: none once something else has come.
  void drop_leading_spaces(int32_t token, size_t* spaces, std::string* bytes) const;

  // The token spelled exactly `text` in the vocabulary ("<|im_end|>"), or -1.
  virtual int32_t find(std::string_view text) const = 0;
};

// Detokenises a stream: bytes come out as soon as, and not before, they complete a character.
class TextDecoder {
 public:
  // `first` says that the tokens begin a text (SentencePiece then drops the leading space); after
  // a prompt they do not. `tokenizer` must outlive this.
  TextDecoder(const Tokenizer& tokenizer, bool first, bool special);

  // The text that `token` completes; may be empty. Always whole UTF-8 characters; bytes that can
  // never become one come out as U+FFFD.
  std::string push(int32_t token);

  // What is left at the end, incomplete bytes as U+FFFD.
  std::string finish();

 private:
  const Tokenizer& tokenizer_;
  size_t spaces_to_drop_;
  const bool special_;
  std::string pending_;  // the beginning of a character, at most 3 bytes
};

}  // namespace brisk
