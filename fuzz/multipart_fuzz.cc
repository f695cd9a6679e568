// Uploads of files. Parts lie within the body, and what was put together properly comes apart
// again.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "serve/batch/multipart.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace brisk;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t line = std::min(input.find('\n'), input.size());
  const std::string_view type = input.substr(0, line);
  const std::string body(input.substr(std::min(line + 1, input.size())));
  if (const auto parts = batch::parse_multipart(body, type); parts.ok()) {
    for (const batch::FormPart& part : *parts) {
      BRISK_CHECK(!part.name.empty());
      BRISK_CHECK(part.content.data() >= body.data() &&
                  part.content.data() + part.content.size() <= body.data() + body.size());
    }
  }
  if (input.find("\r\n--b") != std::string_view::npos) return 0;
  const std::string whole = "--b\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\n" +
                            std::string(input) + "\r\n--b--\r\n";
  const auto parts = batch::parse_multipart(whole, "multipart/form-data; boundary=b");
  BRISK_CHECK(parts.ok() && parts->size() == 1 && parts->front().content == input);
  return 0;
}
