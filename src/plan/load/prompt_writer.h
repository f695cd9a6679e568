// Prompts as they go into a request's body: token ids, or words for servers that take only text.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "plan/load/workload.h"

namespace brisk {

// Which ids or words prompts are made of.
class PromptAlphabet {
 public:
  // Ids of a vocabulary of `vocab_size` tokens; its first ids are left out, which are often
  // special. REQUIRES: vocab_size > 0.
  static PromptAlphabet ids_below(int32_t vocab_size);
  // REQUIRES: not empty.
  static PromptAlphabet of_ids(const std::vector<int32_t>& ids);
  static PromptAlphabet of_words();

  bool is_ids() const { return is_ids_; }

  // Appends the prompt as JSON: a list of numbers or a string.
  void append(std::string& out, const std::vector<PromptPart>& prompt, uint64_t seed) const;

 private:
  std::vector<std::string> pieces_;  // each with what separates it from the next
  bool is_ids_ = false;
};

// Plain English words, for prompts and for asking a server what ids it gives to them.
std::string sample_words();

}  // namespace brisk
