// Where a JSON value ends, found byte by byte while it arrives (RFC 8259; strings may hold any
// bytes but control characters).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace brisk::api {

inline constexpr int kScanDepthMax = 64;

class JsonScanner {
 public:
  enum class Result : uint8_t {
    kMore,
    kDone,        // the byte was the value's last one
    kDoneBefore,  // the value, a number, has ended before the byte
    kWrong,
  };

  // After anything but kMore nothing more may be pushed.
  Result push(char byte);

 private:
  enum class State : uint8_t {
    kValue,
    kFirstItem,  // or the end of the array
    kFirstKey,   // or the end of the object
    kKey,
    kColon,
    kAfterItem,
    kString,
    kEscape,
    kHex,
    kNumber,
    kWord,
  };

  Result begin_value(char byte);
  Result open(char byte);
  Result close(char byte);
  Result end_value();
  Result end_number(char byte);
  Result in_string(char byte);

  State state_ = State::kValue;
  bool is_key_ = false;
  int hex_digits_ = 0;
  std::string open_;   // of what it is within: '{' and '['
  std::string token_;  // number or word so far
};

bool is_json_space(char c);
// Whether `text` is a number as JSON has them.
bool is_json_number(std::string_view text);

}  // namespace brisk::api
