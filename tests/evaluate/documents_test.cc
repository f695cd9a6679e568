#include "compress/evaluate/documents.h"

#include <gtest/gtest.h>

#include "base/status.h"
#include "compute/sys/mapped_file.h"

namespace brisk {
namespace {

TEST(ReadDocuments, NamesTheLineThatIsWrong) {
  const std::string path = testing::TempDir() + "/documents.jsonl";
  ASSERT_TRUE(write_file_atomically(path, "{\"text\":\"a\"}\n\n{\"txt\":\"b\"}\n").ok());
  const auto documents = read_documents(path);
  ASSERT_FALSE(documents.ok());
  EXPECT_NE(message_of(documents.status()).find("line 3"), std::string::npos) << documents.status();
}

}  // namespace
}  // namespace brisk
