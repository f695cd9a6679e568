// What a matrix is stored as: blocks or floats of a format, or codes with scales of their own.
#pragma once

#include <absl/status/statusor.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "compute/quant/scaled_scheme.h"
#include "compute/tensor/tensor.h"

namespace brisk {

struct MatrixFormat {
  DType dtype = DType::kF32;                          // kScaled: see `scheme`
  std::optional<ScaledScheme> scheme = std::nullopt;  // codes with scales of their own

  std::string_view name() const;
  double bits(int64_t depth) const;  // of a weight

  // Of a tensor of that shape, whose rows are whole blocks.
  size_t bytes(const std::vector<int64_t>& shape) const;
  // `memory`: of so many bytes; it outlives the tensor.
  Tensor tensor(std::vector<int64_t> shape, std::span<const std::byte> memory) const;
};

Json to_json(const MatrixFormat& format);
// Errors: InvalidArgument.
absl::StatusOr<MatrixFormat> matrix_format_from_json(const Json& json);

}  // namespace brisk
