// What turns words into tokens, once a text has been cut and normalised.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "model/tokenizer/tokenizer_data.h"
#include "model/tokenizer/vocabulary.h"

namespace brisk {

// Immutable; any thread may call it.
class TokenModel {
 public:
  virtual ~TokenModel() = default;

  // Appends the tokens of `words`, which follow each other in one text.
  // REQUIRES: every word is shorter than 2^31 bytes.
  virtual void encode(const std::vector<std::string_view>& words,
                      std::vector<int32_t>* ids) const = 0;

  // Whether any bytes at all can be encoded, be they UTF-8 or not.
  virtual bool encodes_bytes() const = 0;
};

// The models keep a reference to `vocabulary`, which must outlive them.
// Errors: InvalidArgument when merges or scores do not fit the vocabulary.

// Merges by score, as SentencePiece does, or by rank over characters when `data` has merges.
absl::StatusOr<std::unique_ptr<const TokenModel>> make_piece_bpe(const TokenizerData& data,
                                                                 const Vocabulary& vocabulary);

// Merges by rank over bytes.
absl::StatusOr<std::unique_ptr<const TokenModel>> make_byte_bpe(const TokenizerData& data,
                                                                const Vocabulary& vocabulary);

// The most probable segmentation (Kudo 2018, "Subword regularization").
absl::StatusOr<std::unique_ptr<const TokenModel>> make_unigram(const TokenizerData& data,
                                                               const Vocabulary& vocabulary);

}  // namespace brisk
