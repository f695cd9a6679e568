// Files that say which models a server has: whatever the bytes, reading them ends with models that
// can be told apart, or with a line that says what was wrong.
#include <cstdlib>
#include <string_view>

#include "serve/api/models_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto configs = brisk::api::parse_models(text, "/models", {});
  if (!configs.ok() && configs.status().message().empty()) std::abort();
  if (configs.ok() && !brisk::api::check(*configs).ok()) std::abort();
  return 0;
}
