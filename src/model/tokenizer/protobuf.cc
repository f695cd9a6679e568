#include "model/tokenizer/protobuf.h"

#include <bit>

namespace brisk {

bool ProtobufFields::fail() {
  ok_ = false;
  rest_ = {};
  return false;
}

bool ProtobufFields::read_varint(uint64_t* value) {
  *value = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    if (rest_.empty()) return false;
    const auto byte = static_cast<uint8_t>(rest_.front());
    rest_.remove_prefix(1);
    *value |= uint64_t{byte & 0x7FU} << shift;
    if (byte < 0x80) return true;
  }
  return false;
}

bool ProtobufFields::read_fixed(size_t size, uint64_t* value) {
  if (rest_.size() < size) return false;
  *value = 0;
  for (size_t i = size; i-- > 0;) *value = *value << 8 | static_cast<uint8_t>(rest_[i]);
  rest_.remove_prefix(size);
  return true;
}

bool ProtobufFields::next() {
  bytes_ = {};
  integer_ = 0;
  float_ = 0;
  if (rest_.empty()) return false;
  uint64_t key = 0;
  if (!read_varint(&key) || key >> 3 == 0 || key >> 3 > 0x1FFFFFFF) return fail();
  number_ = static_cast<uint32_t>(key >> 3);
  uint64_t value = 0;
  switch (key & 7) {
    case 0:
      return read_varint(&integer_) || fail();
    case 1:
      return read_fixed(8, &value) || fail();
    case 2:
      if (!read_varint(&value) || value > rest_.size()) return fail();
      bytes_ = rest_.substr(0, value);
      rest_.remove_prefix(value);
      return true;
    case 5:
      if (!read_fixed(4, &value)) return fail();
      float_ = std::bit_cast<float>(static_cast<uint32_t>(value));
      return true;
    default:  // groups, which nobody writes any more
      return fail();
  }
}

}  // namespace brisk
