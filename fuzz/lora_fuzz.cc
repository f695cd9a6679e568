// Adapters: whatever adapter_config.json and a safetensors file hold, or a GGUF file, reading them
// ends with an error or with an adapter that can be added to rows.
#include <cstddef>
#include <cstdint>
#include <span>

#include "tests/support/use_adapter.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span<const uint8_t> file(data, size);
  brisk::use_adapter(brisk::read_adapter_bytes(std::as_bytes(file))).IgnoreError();
  return 0;
}
