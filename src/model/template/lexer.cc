#include "model/template/lexer.h"

#include <absl/strings/ascii.h>

#include <algorithm>

#include "base/status.h"
#include "model/template/number.h"
#include "model/template/string_literal.h"
#include "model/template/unicode.h"

namespace brisk::jinja {
namespace {

constexpr std::string_view kOperators[] = {
    "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[",
    "]",  "(",  ")",  "{",  "}",  ">",  "<", "=", ".", ":", "|", ",", ";",
};

bool is_ascii_digit(char c) { return absl::ascii_isdigit(static_cast<unsigned char>(c)); }

// Line ends become '\n', and one at the very end goes.
std::string normalized(std::string_view source) {
  std::string text;
  text.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r' && i + 1 < source.size() && source[i + 1] == '\n') continue;
    text += source[i] == '\r' ? '\n' : source[i];
  }
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(source) {}

  absl::StatusOr<std::vector<Token>> run() {
    while (at_ < source_.size()) {
      const size_t begin = find_begin();
      if (begin == source_.size()) {
        add_data(source_.substr(at_));
        break;
      }
      BRISK_RETURN_IF_ERROR(lex_construct(begin));
    }
    tokens_.push_back({.kind = TokenKind::kEnd, .line = line_, .text = {}});
    return std::move(tokens_);
  }

 private:
  template <class... Args>
  absl::Status error(fmt::format_string<Args...> format, Args&&... args) const {
    return invalid_input("line {}: {}", line_, fmt::format(format, std::forward<Args>(args)...));
  }

  char peek(size_t ahead = 0) const {
    return at_ + ahead < source_.size() ? source_[at_ + ahead] : '\0';
  }

  bool looking_at(std::string_view text) const { return source_.substr(at_).starts_with(text); }

  // Moves to `end`, counting lines.
  void advance_to(size_t end) {
    line_ += static_cast<int>(std::count(source_.begin() + static_cast<ptrdiff_t>(at_),
                                         source_.begin() + static_cast<ptrdiff_t>(end), '\n'));
    at_ = end;
  }

  void skip_space() {
    size_t end = at_;
    while (end < source_.size()) {
      size_t next = end;
      if (!is_space(next_character(source_, &next))) break;
      end = next;
    }
    advance_to(end);
  }

  size_t find_begin() const {
    for (size_t i = source_.find('{', at_); i < source_.size(); i = source_.find('{', i + 1)) {
      const char next = i + 1 < source_.size() ? source_[i + 1] : '\0';
      if (next == '{' || next == '%' || next == '#') return i;
    }
    return source_.size();
  }

  void add_data(std::string_view data) {
    if (data.empty()) return;
    tokens_.push_back({.kind = TokenKind::kData, .line = line_, .text = std::string(data)});
  }

  // What is printed of the text before a construct, given the construct's sign.
  std::string_view text_before(size_t begin, char sign, bool is_output) const {
    std::string_view text = source_.substr(at_, begin - at_);
    if (sign == '-') return strip(text, Side::kRight);
    if (sign == '+' || is_output) return text;
    const size_t newline = text.rfind('\n');
    if (newline == std::string_view::npos && !line_starting_) return text;
    const size_t line = newline == std::string_view::npos ? 0 : newline + 1;
    return strip(text.substr(line), Side::kBoth).empty() ? text.substr(0, line) : text;
  }

  // The text before the construct at `begin`, and the construct itself.
  absl::Status lex_construct(size_t begin) {
    const char kind = source_[begin + 1];
    char sign = begin + 2 < source_.size() ? source_[begin + 2] : '\0';
    if (sign != '-' && sign != '+') sign = '\0';
    add_data(text_before(begin, sign, kind == '{'));
    advance_to(begin + (sign == '\0' ? 2 : 3));
    if (kind == '#') return skip_comment();
    if (kind == '%' && looking_at_raw()) return lex_raw();
    const bool is_tag = kind == '%';
    tokens_.push_back({.kind = is_tag ? TokenKind::kTagBegin : TokenKind::kOutputBegin,
                       .line = line_,
                       .text = {}});
    return lex_inside(is_tag);
  }

  // Behind the end of a tag or comment: '-' takes all white space with it, otherwise one line end
  // goes unless there is a '+'.
  void finish_construct(char sign) {
    const size_t start = at_;
    if (sign == '-')
      skip_space();
    else if (sign != '+' && peek() == '\n')
      advance_to(at_ + 1);
    line_starting_ = at_ > start && source_[at_ - 1] == '\n';
  }

  absl::Status skip_comment() {
    const size_t end = source_.find("#}", at_);
    if (end == std::string_view::npos) return error("Missing end of comment tag");
    const char sign = end > at_ ? source_[end - 1] : '\0';
    advance_to(end + 2);
    finish_construct(sign);
    return absl::OkStatus();
  }

  // Where the tag `name`, whose "{%" and sign end at `from`, ends; npos when it is another tag.
  size_t end_of_tag(size_t from, std::string_view name, char* end_sign) const {
    const auto skip = [this](size_t i) {
      while (i < source_.size()) {
        size_t next = i;
        if (!is_space(next_character(source_, &next))) break;
        i = next;
      }
      return i;
    };
    size_t i = skip(from);
    if (!source_.substr(i).starts_with(name)) return std::string_view::npos;
    i = skip(i + name.size());
    *end_sign = i < source_.size() && (source_[i] == '-' || source_[i] == '+') ? source_[i] : '\0';
    if (*end_sign != '\0') ++i;
    return source_.substr(i).starts_with("%}") ? i + 2 : std::string_view::npos;
  }

  bool looking_at_raw() const {
    char sign = '\0';
    return end_of_tag(at_, "raw", &sign) != std::string_view::npos && sign != '+';
  }

  absl::Status lex_raw() {
    char sign = '\0';
    advance_to(end_of_tag(at_, "raw", &sign));
    line_starting_ = false;
    if (sign == '-') {
      finish_construct(sign);
    }
    for (size_t begin = source_.find("{%", at_); begin != std::string_view::npos;
         begin = source_.find("{%", begin + 2)) {
      char begin_sign = begin + 2 < source_.size() ? source_[begin + 2] : '\0';
      if (begin_sign != '-' && begin_sign != '+') begin_sign = '\0';
      char end_sign = '\0';
      const size_t end = end_of_tag(begin + (begin_sign == '\0' ? 2 : 3), "endraw", &end_sign);
      if (end == std::string_view::npos) continue;
      add_data(text_before(begin, begin_sign, false));
      advance_to(end);
      finish_construct(end_sign);
      return absl::OkStatus();
    }
    return error("Missing end of raw directive");
  }

  // The tokens of a tag or an output, its end included.
  absl::Status lex_inside(bool is_tag) {
    std::vector<char> open;  // brackets; the end is not looked for inside them
    const std::string_view end = is_tag ? "%}" : "}}";
    while (at_ < source_.size()) {
      if (open.empty()) {
        const bool plus = is_tag && peek() == '+';
        const bool has_sign = peek() == '-' || plus;
        if (source_.substr(at_ + (has_sign ? 1 : 0)).starts_with(end)) {
          const char sign = has_sign ? peek() : '\0';
          tokens_.push_back({.kind = is_tag ? TokenKind::kTagEnd : TokenKind::kOutputEnd,
                             .line = line_,
                             .text = {}});
          advance_to(at_ + (has_sign ? 3 : 2));
          finish_construct(is_tag || sign == '-' ? sign : '+');
          return absl::OkStatus();
        }
      }
      BRISK_RETURN_IF_ERROR(lex_token(&open));
    }
    return error("the template ends inside a {}", is_tag ? "tag" : "print expression");
  }

  absl::Status lex_token(std::vector<char>* open) {
    size_t next = at_;
    const char32_t c = next_character(source_, &next);
    if (is_space(c)) {
      skip_space();
      return absl::OkStatus();
    }
    if (is_ascii_digit(peek())) return lex_number();
    if (is_name_character(c)) return lex_name();
    if (c == U'"' || c == U'\'') return lex_text();
    return lex_operator(open);
  }

  static bool is_name_character(char32_t c) {
    if (c < 0x80) return c == U'_' || absl::ascii_isalnum(static_cast<unsigned char>(c));
    std::string character;
    append_character(&character, c);
    return all_of_class(character, CharacterClass::kAlnum);
  }

  absl::Status lex_name() {
    size_t end = at_;
    while (end < source_.size()) {
      size_t next = end;
      if (!is_name_character(next_character(source_, &next))) break;
      end = next;
    }
    tokens_.push_back({.kind = TokenKind::kName,
                       .line = line_,
                       .text = std::string(source_.substr(at_, end - at_))});
    at_ = end;
    return absl::OkStatus();
  }

  // Digits with single underscores between them, from `i` on.
  template <class IsDigit>
  size_t end_of_digits(size_t i, IsDigit digit) const {
    const auto is_digit_at = [&](size_t j) { return j < source_.size() && digit(source_[j]); };
    while (is_digit_at(i) ||
           (i < source_.size() && source_[i] == '_' && is_digit_at(i - 1) && is_digit_at(i + 1))) {
      ++i;
    }
    return i;
  }

  // The end of the float at `at_`, or `at_` when there is an integer or nothing.
  size_t end_of_float() const {
    if (at_ > 0 && source_[at_ - 1] == '.') return at_;
    size_t i = end_of_digits(at_, is_ascii_digit);
    const size_t whole = i;
    if (i + 1 < source_.size() && source_[i] == '.' && is_ascii_digit(source_[i + 1])) {
      i = end_of_digits(i + 1, is_ascii_digit);
    }
    const size_t fraction = i;
    if (i < source_.size() && (source_[i] | 0x20) == 'e') {
      ++i;
      if (i < source_.size() && (source_[i] == '-' || source_[i] == '+')) ++i;
      const size_t exponent = end_of_digits(i, is_ascii_digit);
      if (exponent > i) return exponent;
    }
    return fraction > whole ? fraction : at_;
  }

  absl::Status lex_number() {
    if (const size_t end = end_of_float(); end > at_) {
      const auto real = parse_float(source_.substr(at_, end - at_));
      if (!real) return error("'{}' is not a number", source_.substr(at_, end - at_));
      tokens_.push_back(
          {.kind = TokenKind::kFloat, .line = line_, .text = {}, .integer = 0, .real = *real});
      at_ = end;
      return absl::OkStatus();
    }
    const char letter = static_cast<char>(peek(1) | 0x20);
    const int base = peek() != '0'   ? 10
                     : letter == 'x' ? 16
                     : letter == 'o' ? 8
                     : letter == 'b' ? 2
                                     : 10;
    const auto is_digit = [base, first = peek()](char c) {
      if (base == 16) return absl::ascii_isxdigit(static_cast<unsigned char>(c));
      const int limit = base == 10 && first == '0' ? 1 : base;  // "00" is a number, "01" is not
      return c >= '0' && c < '0' + limit;
    };
    size_t start = base == 10 ? at_ : at_ + 2;
    size_t end = end_of_digits(start, is_digit);
    if (end == start) {  // "0x" without digits is the number 0 and a name
      start = at_;
      end = at_ + 1;
    }
    const auto integer = parse_integer(source_.substr(start, end - start), base);
    if (!integer) {
      return error("the number {} does not fit into 64 bits", source_.substr(at_, end - at_));
    }
    tokens_.push_back(
        {.kind = TokenKind::kInteger, .line = line_, .text = {}, .integer = *integer});
    at_ = end;
    return absl::OkStatus();
  }

  absl::Status lex_text() {
    const char quote = peek();
    size_t end = at_ + 1;
    while (end < source_.size() && source_[end] != quote) end += source_[end] == '\\' ? 2 : 1;
    if (end >= source_.size()) return error("a string has no closing {}", quote);
    auto text = unescaped(source_.substr(at_ + 1, end - at_ - 1));
    if (!text.ok()) return error("{}", message_of(text.status()));
    tokens_.push_back({.kind = TokenKind::kText, .line = line_, .text = *std::move(text)});
    advance_to(end + 1);
    return absl::OkStatus();
  }

  absl::Status lex_operator(std::vector<char>* open) {
    for (const std::string_view symbol : kOperators) {
      if (!looking_at(symbol)) continue;
      const char c = symbol[0];
      if (c == '(') open->push_back(')');
      if (c == '[') open->push_back(']');
      if (c == '{') open->push_back('}');
      if (c == ')' || c == ']' || c == '}') {
        if (open->empty()) return error("unexpected '{}'", c);
        if (open->back() != c) return error("unexpected '{}', expected '{}'", c, open->back());
        open->pop_back();
      }
      tokens_.push_back({.kind = TokenKind::kOperator, .line = line_, .text = std::string(symbol)});
      at_ += symbol.size();
      return absl::OkStatus();
    }
    size_t next = at_;
    next_character(source_, &next);
    return error("unexpected character '{}'", source_.substr(at_, next - at_));
  }

  const std::string_view source_;
  size_t at_ = 0;
  int line_ = 1;
  bool line_starting_ = true;  // what was lexed last ended a line
  std::vector<Token> tokens_;
};

}  // namespace

absl::StatusOr<std::vector<Token>> tokenize(std::string_view source) {
  const std::string text = normalized(source);
  return Lexer(text).run();
}

}  // namespace brisk::jinja
