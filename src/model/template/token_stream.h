// The parser's view of the tokens: one ahead, with errors that say where.
#pragma once

#include <absl/status/status.h>

#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "model/template/lexer.h"

namespace brisk::jinja {

class TokenStream {
 public:
  // REQUIRES: the last token is a kEnd.
  explicit TokenStream(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  const Token& current() const { return tokens_[at_]; }
  const Token& ahead() const { return tokens_[at_ + (current().kind != TokenKind::kEnd)]; }
  int line() const { return current().line; }

  // The current token; the stream moves behind it, but never behind the end.
  Token take() {
    const Token& token = current();
    if (token.kind != TokenKind::kEnd) ++at_;
    return token;
  }

  bool is(TokenKind kind) const { return current().kind == kind; }
  bool is_operator(std::string_view text) const { return is(TokenKind::kOperator, text); }
  bool is_name(std::string_view text) const { return is(TokenKind::kName, text); }

  bool skip_operator(std::string_view text) { return is_operator(text) && skip(); }
  bool skip_name(std::string_view text) { return is_name(text) && skip(); }

  absl::Status expect(TokenKind kind, std::string_view what) {
    if (!is(kind)) return error("expected {}, got {}", what, described());
    take();
    return absl::OkStatus();
  }
  absl::Status expect_operator(std::string_view text) {
    if (!is_operator(text)) return error("expected '{}', got {}", text, described());
    take();
    return absl::OkStatus();
  }
  absl::Status expect_name(std::string_view text) {
    if (!is_name(text)) return error("expected '{}', got {}", text, described());
    take();
    return absl::OkStatus();
  }

  // The current token, for error messages.
  std::string described() const {
    switch (current().kind) {
      case TokenKind::kData:
        return "text";
      case TokenKind::kOutputBegin:
        return "'{{'";
      case TokenKind::kOutputEnd:
        return "'}}'";
      case TokenKind::kTagBegin:
        return "'{%'";
      case TokenKind::kTagEnd:
        return "'%}'";
      case TokenKind::kName:
      case TokenKind::kOperator:
        return fmt::format("'{}'", current().text);
      case TokenKind::kText:
        return "a string";
      case TokenKind::kInteger:
      case TokenKind::kFloat:
        return "a number";
      case TokenKind::kEnd:
        return "the end of the template";
    }
    return "";
  }

  template <class... Args>
  absl::Status error(fmt::format_string<Args...> format, Args&&... args) const {
    return invalid_input("line {}: {}", line(), fmt::format(format, std::forward<Args>(args)...));
  }

 private:
  bool is(TokenKind kind, std::string_view text) const {
    return current().kind == kind && current().text == text;
  }
  bool skip() {
    ++at_;
    return true;
  }

  std::vector<Token> tokens_;
  size_t at_ = 0;
};

}  // namespace brisk::jinja
