// SentencePiece's own trainer, `spm_train`, as a process of its own.
#pragma once

#include <absl/status/status.h>

#include <string>
#include <vector>

namespace brisk {

struct SentencePieceTraining {
  std::vector<std::string> corpora;  // see read_corpus
  int vocab_size = 8192;
  std::vector<std::string> special;  // become control tokens
  std::string directory;             // exists; gets tokenizer.model
};

// What spm_train says goes to standard error. Errors: as read_corpus; NotFound when spm_train is
// not installed, with what to do; InvalidArgument when it refuses.
absl::Status run_sentencepiece_trainer(const SentencePieceTraining& training);

}  // namespace brisk
