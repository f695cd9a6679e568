// Hugging Face checkpoints: whatever config.json, generation_config.json and a safetensors file
// hold, reading them ends with an error or with a model that runs a step.
#include <cstddef>
#include <cstdint>
#include <span>

#include "tests/support/read_small_checkpoint.h"
#include "tests/support/use_checkpoint.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span<const uint8_t> file(data, size);
  brisk::use_checkpoint(brisk::read_hugging_face_bytes(std::as_bytes(file))).IgnoreError();
  return 0;
}
