// How SentencePiece models write what no piece covers: as bytes, or as the unknown token.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "model/tokenizer/tokenizer_data.h"
#include "model/tokenizer/vocabulary.h"

namespace brisk {

// Collects the tokens of one text. One thread.
class PieceWriter {
 public:
  PieceWriter(const Vocabulary& vocabulary, int32_t unknown, bool fuse, std::vector<int32_t>* ids)
      : vocabulary_(vocabulary), unknown_(unknown), fuse_(fuse), ids_(*ids) {}

  void token(int32_t id) {
    ids_.push_back(id);
    after_unknown_ = false;
  }

  // `text` is what the model has no piece for. A vocabulary with neither bytes nor an unknown
  // token drops it.
  void uncovered(std::string_view text) {
    bool has_bytes = !text.empty();
    for (const char c : text) has_bytes &= vocabulary_.byte_token(static_cast<uint8_t>(c)) >= 0;
    if (has_bytes) {
      for (const char c : text) token(vocabulary_.byte_token(static_cast<uint8_t>(c)));
      return;
    }
    if (unknown_ >= 0 && !(fuse_ && after_unknown_)) ids_.push_back(unknown_);
    after_unknown_ = true;
  }

 private:
  const Vocabulary& vocabulary_;
  const int32_t unknown_;
  const bool fuse_;
  std::vector<int32_t>& ids_;
  bool after_unknown_ = false;
};

}  // namespace brisk
