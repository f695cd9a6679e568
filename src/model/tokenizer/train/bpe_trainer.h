// Byte-level BPE: the pair of neighbours that occurs most often becomes one token, again and again.
// Sennrich, Haddow, Birch, "Neural machine translation of rare words with subword units" (ACL
// 2016).
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "model/tokenizer/train/word_counts.h"

namespace brisk {

inline constexpr int32_t kByteTokens = 256;  // tokens 0 to 255 are the bytes

struct BpeMerges {
  std::vector<std::pair<int32_t, int32_t>> merges;  // the i-th one makes token 256 + i
  std::vector<std::string> tokens;                  // bytes of every token, those 256 too
  int64_t corpus_tokens = 0;                        // of the words, in the end
};

// Makes up to `merges_max` merges; fewer when no pair occurs `count_min` times any more.
// Of pairs that occur equally often the one with the lowest left token goes first, then the one
// with the lowest right one, so that the result depends on `words` only. `progress` is told the
// merges made so far.
BpeMerges train_bpe(const std::vector<WordCount>& words, int32_t merges_max, int64_t count_min,
                    const std::function<void(int32_t)>& progress);

}  // namespace brisk
