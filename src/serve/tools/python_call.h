// The arguments of a call as Python writes them, a=1, b=['x', None]), told as JSON: keywords with
// literals, lists, tuples and dictionaries; JSON's own words and escapes too.
#pragma once

#include <cstdint>
#include <string>

#include "serve/tools/call_sink.h"

namespace brisk::api {

class PythonArguments {
 public:
  // Reads what comes after '('; kDone is its ')'.
  ReadResult push(char byte, CallSink& sink);

 private:
  enum class State : uint8_t {
    kFirst,    // a keyword, an item or a key; or the end
    kNext,     // the same after a comma
    kKeyword,  // within one
    kEquals,
    kKey,  // within a dictionary's key, or before its ':'
    kValue,
    kAfter,
    kString,
    kEscape,
    kHex,
    kWord,  // a number or a name
  };

  ReadResult begin_item(char byte);
  ReadResult begin_value(char byte);
  ReadResult begin_string(char quote);
  ReadResult in_keyword(char byte);
  ReadResult in_string(char byte);
  ReadResult in_escape(char byte);
  ReadResult in_hex(char byte);
  ReadResult end_word(char byte);
  ReadResult after(char byte);
  ReadResult close(char byte);
  ReadResult read(char byte);
  void put_unit(uint32_t unit);

  State state_ = State::kFirst;
  std::string open_;  // what it is within, from "(" on
  std::string word_;
  std::string out_;
  bool is_begun_ = false;
  bool is_key_ = false;
  char quote_ = 0;
  int hex_left_ = 0;
  uint32_t code_ = 0;
};

}  // namespace brisk::api
