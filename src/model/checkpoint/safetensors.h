// The safetensors container: a JSON header that says where each tensor lies, then their bytes.
// Format: huggingface/safetensors, README "Format"; its rules are all checked.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "compute/tensor/tensor.h"

namespace brisk {

inline constexpr JsonLimits kSafetensorsHeaderLimits = {
    .depth_max = 8, .bytes_max = 100'000'000};  // the latter is the format's own

struct SafetensorsTensor {
  std::string name;
  Tensor tensor;
};

// Tensors are views into the bytes it was parsed from, in the order of their offsets. Tensors
// without values are left out; U8 and BOOL are read as bytes (i8).
struct SafetensorsFile {
  std::vector<SafetensorsTensor> tensors;
  Json metadata = Json::object();  // "__metadata__": strings only
};

// Whether the bytes look like a safetensors header.
bool is_safetensors(std::span<const std::byte> file);

// Errors: InvalidArgument unless the header is exact (each dtype and shape takes its offsets'
// bytes, the tensors fill the file without gaps or overlaps); Unimplemented for dtypes brisk has
// not.
absl::StatusOr<SafetensorsFile> parse_safetensors(std::span<const std::byte> file);

// The format's name of a dtype; nullopt when it has none.
std::optional<std::string_view> safetensors_dtype(DType dtype);

}  // namespace brisk
