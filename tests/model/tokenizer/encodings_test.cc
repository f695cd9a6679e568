#include <gtest/gtest.h>

#include <string>

#include "model/tokenizer/base64.h"
#include "model/tokenizer/byte_alphabet.h"
#include "model/tokenizer/protobuf.h"

namespace brisk {
namespace {

using namespace std::string_literals;

TEST(ByteAlphabet, GoesBothWaysForEveryByte) {
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all.push_back(static_cast<char>(byte));
  EXPECT_EQ(bytes_of_printable(printable_of_bytes(all)), all);
  EXPECT_EQ(printable_of_bytes(" the\n"), "\u0120the\u010A");
}

TEST(ByteAlphabet, RefusesWhatIsNotInIt) {
  EXPECT_EQ(bytes_of_printable("a b"), std::nullopt);
  EXPECT_EQ(bytes_of_printable("\uFF5C"), std::nullopt);
  EXPECT_EQ(bytes_of_printable("\xC4"), std::nullopt);
  EXPECT_EQ(bytes_of_printable("\u0144"), std::nullopt);
  EXPECT_EQ(bytes_of_printable("\u0143"), "\xAD"s);
}

TEST(Base64, DecodesTheExamplesOfRfc4648) {
  const std::pair<const char*, const char*> examples[] = {{"", ""},
                                                          {"Zg==", "f"},
                                                          {"Zm8=", "fo"},
                                                          {"Zm9v", "foo"},
                                                          {"Zm9vYg==", "foob"},
                                                          {"Zm9vYmE=", "fooba"},
                                                          {"Zm9vYmFy", "foobar"}};
  for (const auto& [text, bytes] : examples) {
    std::string decoded;
    EXPECT_TRUE(decode_base64(text, &decoded)) << text;
    EXPECT_EQ(decoded, bytes);
  }
}

TEST(Base64, RefusesWhatIsNotStrict) {
  std::string decoded;
  for (const char* bad : {"Z", "Zg", "Zg=", "Zh==", "Zm9=", "Zg==Zg==", "Zg= =", "Z\ng=", "====",
                          "Zm9v!m9v", "=Zm9"}) {
    EXPECT_FALSE(decode_base64(bad, &decoded)) << bad;
  }
}

TEST(ProtobufFields, ReadsEveryWireType) {
  // 1: varint 300; 2: "ab"; 3: fixed32 1.5; 4: fixed64; 5: varint -1.
  const std::string message =
      "\x08\xAC\x02\x12\x02"
      "ab\x1D\x00\x00\xC0\x3F\x21\x01\x02\x03\x04\x05\x06\x07\x08\x28\xFF\xFF\xFF\xFF\xFF\xFF\xFF"
      "\xFF"
      "\xFF\x01"s;
  ProtobufFields fields(message);
  ASSERT_TRUE(fields.next());
  EXPECT_EQ(fields.number(), 1U);
  EXPECT_EQ(fields.integer(), 300U);
  ASSERT_TRUE(fields.next());
  EXPECT_EQ(fields.bytes(), "ab");
  ASSERT_TRUE(fields.next());
  EXPECT_EQ(fields.float32(), 1.5F);
  ASSERT_TRUE(fields.next());
  EXPECT_EQ(fields.bytes(), "");
  ASSERT_TRUE(fields.next());
  EXPECT_EQ(fields.number(), 5U);
  EXPECT_EQ(fields.int32(), -1);
  EXPECT_FALSE(fields.next());
  EXPECT_TRUE(fields.ok());
}

TEST(ProtobufFields, StopsAtMalformedFields) {
  const std::string bad[] = {
      "\x08"s,      // a varint that is missing
      "\x08\x80"s,  // one that does not end
      "\x12\x05"
      "ab"s,                                            // a string longer than the message
      "\x12\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01"s,  // and one of 2^64 - 1 bytes
      "\x1D\x00\x00"s,                                  // half a number
      "\x0B\x0C"s,                                      // a group
      "\x00\x00"s,                                      // field 0
      "\x08\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01"s,
  };
  for (const std::string& message : bad) {
    ProtobufFields fields(message);
    while (fields.next()) {
    }
    EXPECT_FALSE(fields.ok()) << testing::PrintToString(message);
  }
}

}  // namespace
}  // namespace brisk
