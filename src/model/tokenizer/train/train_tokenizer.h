// A tokenizer of one's own: byte-level BPE with ChatML's special tokens, in the files that Hugging
// Face's libraries and brisk read.
#pragma once

#include <absl/status/statusor.h>

#include <functional>
#include <string>
#include <vector>

#include "model/tokenizer/train/bpe_trainer.h"

namespace brisk {

struct TokenizerTraining {
  std::vector<std::string> corpora;  // see read_corpus
  int32_t vocab_size = 8192;         // bytes and special tokens included
  std::vector<std::string> special = {"<|endoftext|>", "<|im_start|>", "<|im_end|>"};
  int64_t count_min = 2;  // a pair that occurs less often becomes no token
  // Told what goes on, how far it is and of how much. May be empty.
  std::function<void(std::string_view what, uint64_t done, uint64_t total)> progress = nullptr;
};

struct TrainedTokenizer {
  std::string tokenizer_json;
  std::string tokenizer_config;  // tokenizer_config.json
  int32_t vocab_size = 0;
  int64_t texts = 0;
  int64_t words = 0;  // different ones
  int64_t bytes = 0;
  int64_t tokens = 0;  // that the corpus has with it
};

// Digits are single tokens, and words are cut as Qwen's and GPT-4's tokenizers do. The ids: bytes,
// merges in their order, special tokens. Nothing is put before or after a text; "<|im_end|>" ends
// an answer where it is among the special tokens, else the first of them does. Errors: as
// read_corpus; InvalidArgument when there is no text, when the vocabulary is too small for the
// bytes, or larger than the corpus allows (with how large it can be).
absl::StatusOr<TrainedTokenizer> train_tokenizer(const TokenizerTraining& training);

// tokenizer_config.json for a vocabulary with these special tokens.
std::string make_tokenizer_config(const std::vector<std::string>& special);

// What the training files say in lines of their own, for trainers that read text only.
// Errors: as read_corpus.
absl::StatusOr<std::string> corpus_lines(const std::vector<std::string>& corpora);

}  // namespace brisk
