// Files of API keys. What is read and written again is the same, and no message quotes a line.
#include <cstddef>
#include <cstdint>
#include <string>

#include "base/check.h"
#include "serve/http/key_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace brisk;
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto keys = http::parse_api_keys(text, "keys");
  if (!keys.ok()) return 0;
  std::string written;
  for (const http::ApiKey& key : *keys) written += http::format_api_key(key) + '\n';
  const auto again = http::parse_api_keys(written, "keys");
  BRISK_CHECK(again.ok() && again->size() == keys->size());
  for (size_t i = 0; i < keys->size(); ++i) {
    BRISK_CHECK((*again)[i].digest == (*keys)[i].digest);
    BRISK_CHECK((*again)[i].limits == (*keys)[i].limits);
    BRISK_CHECK((*again)[i].weight == (*keys)[i].weight && (*again)[i].name == (*keys)[i].name);
  }
  http::parse_tokens_used(text);
  return 0;
}
