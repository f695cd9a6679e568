// Lines of batches. What is read has what a request needs, and its body is JSON again.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "base/json.h"
#include "serve/batch/batch_input.h"
#include "serve/http/query.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace brisk;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto line = batch::parse_input_line(text, {}); line.ok()) {
    BRISK_CHECK(!line->custom_id.empty() && !line->url.empty());
    const auto body = parse_json(line->body);
    BRISK_CHECK(body.ok() && body->is_object());
  }
  BRISK_CHECK(http::query_parameter(text, "after").find('\0') == std::string::npos);
  return 0;
}
