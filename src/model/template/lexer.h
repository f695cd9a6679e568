// A template's source cut into tokens, white space control done: Jinja's lexer with trim_blocks and
// lstrip_blocks on, as Hugging Face sets it up.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace brisk::jinja {

enum class TokenKind : uint8_t {
  kData,         // text that is printed as it stands
  kOutputBegin,  // {{
  kOutputEnd,    // }}
  kTagBegin,     // {%
  kTagEnd,       // %}
  kName,
  kText,  // a string literal, unescaped
  kInteger,
  kFloat,
  kOperator,
  kEnd,
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  int line = 1;
  std::string text;  // of data, names, string literals and operators
  int64_t integer = 0;
  double real = 0;
};

// The last token is a kEnd. Errors: InvalidArgument with the line and what was wrong there.
// REQUIRES: `source` is UTF-8.
absl::StatusOr<std::vector<Token>> tokenize(std::string_view source);

}  // namespace brisk::jinja
