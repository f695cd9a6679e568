// The wire format of protocol buffers, field by field, from untrusted bytes.
// https://protobuf.dev/programming-guides/encoding
#pragma once

#include <cstdint>
#include <string_view>

namespace brisk {

// Walks the fields of one message:
//   ProtobufFields fields(bytes);
//   while (fields.next()) { switch (fields.number()) ... }
//   if (!fields.ok()) ...
class ProtobufFields {
 public:
  explicit ProtobufFields(std::string_view message) : rest_(message) {}

  // The next field; false at the end of the message, or where it is malformed.
  bool next();
  bool ok() const { return ok_; }

  uint32_t number() const { return number_; }

  // The field's value; zero or empty when the field is of another type.
  std::string_view bytes() const { return bytes_; }  // strings and messages
  uint64_t integer() const { return integer_; }      // varints
  bool boolean() const { return integer_ != 0; }
  int32_t int32() const { return static_cast<int32_t>(integer_); }
  float float32() const { return float_; }

 private:
  bool read_varint(uint64_t* value);
  bool read_fixed(size_t size, uint64_t* value);
  bool fail();

  std::string_view rest_;
  bool ok_ = true;
  uint32_t number_ = 0;
  std::string_view bytes_;
  uint64_t integer_ = 0;
  float float_ = 0;
};

}  // namespace brisk
