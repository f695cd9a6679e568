#include "serve/batch/multipart.h"

#include <gtest/gtest.h>

#include "serve/http/query.h"

namespace brisk::batch {
namespace {

constexpr char kType[] = "multipart/form-data; boundary=x";

std::string part(std::string_view disposition, std::string_view content) {
  return "--x\r\nContent-Disposition: form-data" + std::string(disposition) + "\r\n\r\n" +
         std::string(content) + "\r\n";
}

TEST(Multipart, ReadsFieldsAndFiles) {
  const std::string body =
      part("; name=\"purpose\"", "batch") +
      "--x\r\ncontent-type: text/plain\r\nCONTENT-DISPOSITION: form-data; "
      "filename=\"a; \\\"b\\\".jsonl\"; name=file\r\n\r\n{\"a\": 1}\r\n--y\r\n\r\n--x--\r\n";
  const auto parts = parse_multipart(body, "Multipart/Form-Data; charset=utf-8; boundary=\"x\"");
  ASSERT_TRUE(parts.ok()) << parts.status();
  ASSERT_EQ(parts->size(), 2u);
  EXPECT_EQ((*parts)[0].name, "purpose");
  EXPECT_EQ((*parts)[0].content, "batch");
  EXPECT_EQ((*parts)[1].name, "file");
  EXPECT_EQ((*parts)[1].filename, "a; \"b\".jsonl");
  EXPECT_EQ((*parts)[1].content, "{\"a\": 1}\r\n--y\r\n");
}

TEST(Multipart, RefusesWhatIsNotWhole) {
  const std::string good = part("; name=\"a\"", "1") + "--x--\r\n";
  ASSERT_TRUE(parse_multipart(good, kType).ok());
  for (size_t size = 0; size + 4 < good.size(); ++size) {
    EXPECT_FALSE(parse_multipart(good.substr(0, size), kType).ok()) << size;
  }
  EXPECT_FALSE(parse_multipart(good, "multipart/form-data").ok());
  EXPECT_FALSE(parse_multipart(good, "text/plain; boundary=x").ok());
  EXPECT_FALSE(parse_multipart(good, "multipart/form-data; boundary=y").ok());
  EXPECT_FALSE(parse_multipart(part("", "1") + "--x--", kType).ok()) << "no name";
  std::string many;
  for (int i = 0; i < 17; ++i) many += part("; name=\"a\"", "1");
  EXPECT_FALSE(parse_multipart(many + "--x--", kType).ok());
  EXPECT_FALSE(parse_multipart("--x\r\n" + std::string(9000, 'h'), kType).ok());
}

TEST(Query, FindsAndDecodes) {
  EXPECT_EQ(http::query_parameter("limit=2&after=a%2Fb+c&after=d", "after"), "a/b c");
  EXPECT_EQ(http::query_parameter("limit=2", "after"), "");
  EXPECT_EQ(http::query_parameter("after=%2", "after"), "");
  EXPECT_EQ(http::query_parameter("after=%00", "after"), "");
  EXPECT_EQ(http::query_parameter("after", "after"), "");
}

}  // namespace
}  // namespace brisk::batch
