#include "serve/tools/python_call.h"

#include <fmt/format.h>

#include <string_view>
#include <utility>

#include "serve/tools/json_scanner.h"

namespace brisk::api {
namespace {

constexpr size_t kWordBytesMax = 128;

bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '-' || c == '.' || c == '+' || c == '$';
}

char closing(char opening) { return opening == '(' ? ')' : opening == '[' ? ']' : '}'; }

// JSON for a literal; empty when it is none.
std::string_view constant(std::string_view word) {
  constexpr std::pair<std::string_view, std::string_view> kConstants[] = {
      {"True", "true"},   {"true", "true"}, {"False", "false"},
      {"false", "false"}, {"None", "null"}, {"null", "null"}};
  for (const auto& [python, json] : kConstants) {
    if (word == python) return json;
  }
  return {};
}

}  // namespace

ReadResult PythonArguments::push(char byte, CallSink& sink) {
  if (!is_begun_) {
    is_begun_ = true;
    open_ = "(";
    out_ = "{";
  }
  const ReadResult result = read(byte);
  if (result != ReadResult::kWrong && !out_.empty()) sink.add_arguments(std::exchange(out_, ""));
  return result;
}

ReadResult PythonArguments::read(char byte) {
  switch (state_) {
    case State::kString:
      return in_string(byte);
    case State::kEscape:
      return in_escape(byte);
    case State::kHex:
      return in_hex(byte);
    case State::kKeyword:
      return in_keyword(byte);
    case State::kWord:
      if (!is_word(byte)) return end_word(byte);
      word_ += byte;
      return word_.size() > kWordBytesMax ? ReadResult::kWrong : ReadResult::kMore;
    default:
      break;
  }
  if (is_json_space(byte)) return ReadResult::kMore;
  switch (state_) {
    case State::kFirst:
    case State::kNext:
      if (byte == closing(open_.back())) return close(byte);
      if (state_ == State::kNext) out_ += ", ";
      return begin_item(byte);
    case State::kEquals:
      state_ = State::kValue;
      return byte == '=' ? ReadResult::kMore : ReadResult::kWrong;
    case State::kKey:
      out_ += ": ";
      state_ = State::kValue;
      return byte == ':' ? ReadResult::kMore : ReadResult::kWrong;
    case State::kValue:
      return begin_value(byte);
    default:
      return after(byte);
  }
}

ReadResult PythonArguments::begin_item(char byte) {
  const bool is_keyword = open_.size() == 1;
  if (is_keyword) {
    word_.clear();
    state_ = State::kKeyword;
    return in_keyword(byte);
  }
  if (open_.back() != '{') return begin_value(byte);
  is_key_ = true;
  return byte == '"' || byte == '\'' ? begin_string(byte) : ReadResult::kWrong;
}

ReadResult PythonArguments::in_keyword(char byte) {
  if (is_word(byte) && word_.size() < kWordBytesMax) {
    word_ += byte;
    return ReadResult::kMore;
  }
  if (word_.empty() || (byte != '=' && !is_json_space(byte))) return ReadResult::kWrong;
  out_ += fmt::format("\"{}\": ", word_);
  state_ = byte == '=' ? State::kValue : State::kEquals;
  return ReadResult::kMore;
}

ReadResult PythonArguments::begin_value(char byte) {
  is_key_ = false;
  if (byte == '"' || byte == '\'') return begin_string(byte);
  if (byte == '[' || byte == '(' || byte == '{') {
    if (std::ssize(open_) >= kScanDepthMax) return ReadResult::kWrong;
    open_ += byte;
    out_ += byte == '{' ? '{' : '[';
    state_ = State::kFirst;
    return ReadResult::kMore;
  }
  word_ = byte;
  state_ = State::kWord;
  return is_word(byte) ? ReadResult::kMore : ReadResult::kWrong;
}

ReadResult PythonArguments::end_word(char byte) {
  const std::string_view known = constant(word_);
  if (known.empty() && !is_json_number(word_)) return ReadResult::kWrong;
  out_ += known.empty() ? std::string_view(word_) : known;
  state_ = State::kAfter;
  return read(byte);
}

ReadResult PythonArguments::after(char byte) {
  if (byte != ',') return close(byte);
  state_ = State::kNext;
  return ReadResult::kMore;
}

ReadResult PythonArguments::close(char byte) {
  if (byte != closing(open_.back())) return ReadResult::kWrong;
  const bool is_last = open_.size() == 1;
  out_ += is_last || byte == '}' ? '}' : ']';
  open_.pop_back();
  state_ = State::kAfter;
  return is_last ? ReadResult::kDone : ReadResult::kMore;
}

ReadResult PythonArguments::begin_string(char quote) {
  quote_ = quote;
  out_ += '"';
  state_ = State::kString;
  return ReadResult::kMore;
}

ReadResult PythonArguments::in_string(char byte) {
  if (byte == quote_) {
    out_ += '"';
    state_ = is_key_ ? State::kKey : State::kAfter;
  } else if (byte == '\\') {
    state_ = State::kEscape;
  } else if (byte == '"') {
    out_ += "\\\"";
  } else if (static_cast<unsigned char>(byte) < 0x20) {
    put_unit(static_cast<unsigned char>(byte));
  } else {
    out_ += byte;
  }
  return ReadResult::kMore;
}

ReadResult PythonArguments::in_escape(char byte) {
  state_ = State::kString;
  switch (byte) {
    case '\n':
      break;
    case '\'':
    case '/':
      out_ += byte;
      break;
    case '"':
    case '\\':
    case 'b':
    case 'f':
    case 'n':
    case 'r':
    case 't':
      out_ += {'\\', byte};
      break;
    case 'x':
    case 'u':
    case 'U':
      hex_left_ = byte == 'x' ? 2 : byte == 'u' ? 4 : 8;
      code_ = 0;
      state_ = State::kHex;
      break;
    default:  // Python keeps the backslash
      out_ += "\\\\";
      return in_string(byte);
  }
  return ReadResult::kMore;
}

ReadResult PythonArguments::in_hex(char byte) {
  const char lower = static_cast<char>(byte | 0x20);
  uint32_t digit = 0;
  if (byte >= '0' && byte <= '9') {
    digit = static_cast<uint32_t>(byte - '0');
  } else if (lower >= 'a' && lower <= 'f') {
    digit = static_cast<uint32_t>(lower - 'a' + 10);
  } else {
    return ReadResult::kWrong;
  }
  code_ = code_ * 16 + digit;
  if (--hex_left_ > 0) return ReadResult::kMore;
  state_ = State::kString;
  if (code_ > 0x10FFFF) return ReadResult::kWrong;
  if (code_ >= 0x10000) {
    put_unit(0xD800 + ((code_ - 0x10000) >> 10));
    put_unit(0xDC00 + ((code_ - 0x10000) & 0x3FF));
  } else {
    put_unit(code_);
  }
  return ReadResult::kMore;
}

void PythonArguments::put_unit(uint32_t unit) { out_ += fmt::format("\\u{:04x}", unit); }

}  // namespace brisk::api
