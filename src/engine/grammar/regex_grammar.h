// Regular expressions as grammars. Over Unicode characters, with
//   literals; . (any character but a line's end); [classes] with ranges and ^; \d \w \s and \D \W
//   \S (ASCII); \n \r \t \f \v \0 \xHH \uHHHH \u{H...}; \ before punctuation; ( ), (?: ), (?<name>
//   );
//   |; * + ? {m} {m,} {m,n}, also lazy, which means the same for whole texts; ^ and $ at the ends
//   of the expression or of its outermost alternatives.
// Not: look-around, back-references, \b, \p, flags, possessive and atomic groups.
#pragma once

#include <absl/status/statusor.h>

#include <string_view>

#include "engine/grammar/grammar.h"

namespace brisk {

inline constexpr size_t kRegexBytesMax = 16'384;

struct RegexOptions {
  bool in_json_string = false;  // characters are spelled as in one
  bool searches = false;        // without ^ and $ anything may stand before and after
};

// Errors: InvalidArgument, with the byte at fault.
absl::StatusOr<ExprId> regex_expr(std::string_view pattern, RegexOptions options, Grammar* grammar);

// The texts that match as a whole.
absl::StatusOr<Grammar> regex_grammar(std::string_view pattern);

}  // namespace brisk
