#include "serve/tools/json_scanner.h"

#include <algorithm>
#include <string_view>

namespace brisk::api {
namespace {

constexpr size_t kNumberBytesMax = 64;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool is_hex(char c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

size_t skip_digits(std::string_view& text) {
  const size_t count = std::min(text.find_first_not_of("0123456789"), text.size());
  text.remove_prefix(count);
  return count;
}

bool is_beginning(std::string_view word) {
  for (const std::string_view whole : {"true", "false", "null"}) {
    if (whole.starts_with(word)) return true;
  }
  return false;
}

}  // namespace

bool is_json_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

bool is_json_number(std::string_view text) {
  if (text.starts_with('-')) text.remove_prefix(1);
  const bool has_zero = text.starts_with('0');
  const size_t whole = skip_digits(text);
  if (whole == 0 || (has_zero && whole > 1)) return false;
  if (text.starts_with('.')) {
    text.remove_prefix(1);
    if (skip_digits(text) == 0) return false;
  }
  if (text.starts_with('e') || text.starts_with('E')) {
    text.remove_prefix(1);
    if (text.starts_with('+') || text.starts_with('-')) text.remove_prefix(1);
    if (skip_digits(text) == 0) return false;
  }
  return text.empty();
}

JsonScanner::Result JsonScanner::push(char byte) {
  switch (state_) {
    case State::kString:
    case State::kEscape:
    case State::kHex:
      return in_string(byte);
    case State::kNumber:
      if (is_digit(byte) || byte == '.' || byte == 'e' || byte == 'E' || byte == '+' ||
          byte == '-') {
        token_ += byte;
        return token_.size() > kNumberBytesMax ? Result::kWrong : Result::kMore;
      }
      return end_number(byte);
    case State::kWord:
      token_ += byte;
      if (!is_beginning(token_)) return Result::kWrong;
      return token_ == "true" || token_ == "false" || token_ == "null" ? end_value()
                                                                       : Result::kMore;
    default:
      break;
  }
  if (is_json_space(byte)) return Result::kMore;
  switch (state_) {
    case State::kFirstItem:
      return byte == ']' ? close(byte) : begin_value(byte);
    case State::kFirstKey:
    case State::kKey:
      if (byte == '}' && state_ == State::kFirstKey) return close(byte);
      is_key_ = true;
      state_ = State::kString;
      return byte == '"' ? Result::kMore : Result::kWrong;
    case State::kColon:
      state_ = State::kValue;
      return byte == ':' ? Result::kMore : Result::kWrong;
    case State::kAfterItem:
      if (byte != ',') return close(byte);
      state_ = open_.back() == '{' ? State::kKey : State::kValue;
      return Result::kMore;
    default:
      return begin_value(byte);
  }
}

JsonScanner::Result JsonScanner::begin_value(char byte) {
  if (byte == '{' || byte == '[') return open(byte);
  if (byte == '"') {
    is_key_ = false;
    state_ = State::kString;
    return Result::kMore;
  }
  token_ = byte;
  if (is_digit(byte) || byte == '-') {
    state_ = State::kNumber;
    return Result::kMore;
  }
  state_ = State::kWord;
  return is_beginning(token_) ? Result::kMore : Result::kWrong;
}

JsonScanner::Result JsonScanner::open(char byte) {
  if (std::ssize(open_) >= kScanDepthMax) return Result::kWrong;
  open_ += byte;
  state_ = byte == '{' ? State::kFirstKey : State::kFirstItem;
  return Result::kMore;
}

JsonScanner::Result JsonScanner::close(char byte) {
  if (open_.empty() || byte != (open_.back() == '{' ? '}' : ']')) return Result::kWrong;
  open_.pop_back();
  return end_value();
}

JsonScanner::Result JsonScanner::end_value() {
  state_ = State::kAfterItem;
  return open_.empty() ? Result::kDone : Result::kMore;
}

JsonScanner::Result JsonScanner::end_number(char byte) {
  if (!is_json_number(token_)) return Result::kWrong;
  if (open_.empty()) return Result::kDoneBefore;
  state_ = State::kAfterItem;
  return push(byte);
}

JsonScanner::Result JsonScanner::in_string(char byte) {
  if (state_ == State::kHex) {
    if (!is_hex(byte)) return Result::kWrong;
    if (++hex_digits_ == 4) state_ = State::kString;
    return Result::kMore;
  }
  if (state_ == State::kEscape) {
    hex_digits_ = 0;
    state_ = byte == 'u' ? State::kHex : State::kString;
    const bool is_known = std::string_view("\"\\/bfnrtu").find(byte) != std::string_view::npos;
    return is_known ? Result::kMore : Result::kWrong;
  }
  if (byte == '\\') {
    state_ = State::kEscape;
    return Result::kMore;
  }
  if (byte == '"') {
    if (!is_key_) return end_value();
    state_ = State::kColon;
    return Result::kMore;
  }
  return static_cast<unsigned char>(byte) < 0x20 ? Result::kWrong : Result::kMore;
}

}  // namespace brisk::api
