// Cuts text into the words within which byte-level BPE merges.
#pragma once

#include <absl/status/statusor.h>

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/tokenizer/regex.h"
#include "model/tokenizer/tokenizer_data.h"

namespace brisk {

// A family of models that cut alike, under the names that GGUF's tokenizer.ggml.pre uses.
struct PreTokenizerFamily {
  std::vector<std::string_view> names;
  std::vector<std::string_view> patterns;  // each cuts the words that the ones before it left
  bool ignore_merges = false;              // see TokenizerRules
  bool add_bos = false;                    // what holds when the file does not say
  bool nfc = false;                        // text is composed first
};

std::span<const PreTokenizerFamily> pre_tokenizer_families();

// Null when brisk does not know the name.
const PreTokenizerFamily* find_pre_tokenizer_family(std::string_view name);

// One cut. Linear in the text for every pattern of the families. Others may backtrack (lookaheads
// over long runs), so they see long texts in pieces of a few kilobytes, cut before a space.
class SplitPattern {
 public:
  static absl::StatusOr<SplitPattern> create(SplitStep step);

  // Appends the words that `text` is cut into; none is empty.
  void split(std::string_view text, std::vector<std::string_view>* words) const;

 private:
  struct Part {
    std::string_view text;
    bool is_match;
  };

  explicit SplitPattern(SplitStep step) : step_(std::move(step)) {}
  void find_parts(std::string_view text, std::vector<Part>* parts) const;
  void find_trailing_space(std::string_view text, std::vector<Part>* parts) const;

  SplitStep step_;
  bool is_known_linear_ = false;
  bool is_trailing_space_ = false;  // \s+$, which takes a regex quadratic time
  std::shared_ptr<const Regex> regex_;
};

// Immutable; any thread may call it.
class PreTokenizer {
 public:
  // No cuts at all when `data` names neither a family nor patterns.
  // Errors: Unimplemented for an unknown family, and what Regex::compile says.
  static absl::StatusOr<PreTokenizer> create(const TokenizerData& data);

  // Appends the words of `text`. Runs of bytes that are not UTF-8 are words of their own.
  void split(std::string_view text, std::vector<std::string_view>* words) const;

 private:
  void split_valid(std::string_view text, std::vector<std::string_view>* words) const;

  std::vector<SplitPattern> steps_;
};

}  // namespace brisk
