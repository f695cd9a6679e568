// Everything that happens to a text before it is cut into words.
#pragma once

#include <absl/status/statusor.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/tokenizer/charsmap.h"
#include "model/tokenizer/regex.h"
#include "model/tokenizer/tokenizer_data.h"
#include "model/tokenizer/trie.h"

namespace brisk {

// Immutable; any thread may call it.
class TextNormalizer {
 public:
  // `verbatim` are strings that the charsmap leaves alone (SentencePiece's user-defined symbols).
  // Errors: InvalidArgument for a malformed pattern or charsmap.
  static absl::StatusOr<TextNormalizer> create(const TokenizerData& data, Trie verbatim);

  // `begins_text`: nothing comes before this part, not even a special token.
  // The result is at most 64 times as long as `text`, and a little; a step that would make more of
  // it is left out.
  std::string normalize(std::string_view text, bool begins_text) const;

 private:
  struct Step {
    NormalizerStep step;
    std::shared_ptr<const Regex> regex;  // kReplaceRegex
  };

  TextNormalizer() = default;
  std::string apply(const Step& step, std::string_view text, size_t bytes_max) const;
  std::string with_spaces_settled(std::string_view text, bool begins_text) const;

  std::vector<Step> steps_;
  std::optional<Charsmap> charsmap_;
  Trie verbatim_;
  TokenizerRules rules_;
};

}  // namespace brisk
