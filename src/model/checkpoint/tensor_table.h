// What all readers do with the tensors they find: check their shapes and places, and index them.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "compute/quant/packing.h"
#include "model/checkpoint/checkpoint.h"

namespace brisk {

// Where a tensor's bytes lie: [begin, end) of some data section.
struct TensorExtent {
  uint64_t begin = 0;
  uint64_t end = 0;
  std::string_view name;
};

// Adds a tensor. Errors: InvalidArgument when the name is taken.
absl::Status add_tensor(Checkpoint& checkpoint, std::string name, Tensor tensor);

// The bytes of a dense tensor. Errors: InvalidArgument when an extent is not positive, the product
// is beyond 2^48, or a row is not whole blocks.
absl::StatusOr<uint64_t> bytes_of_shape(std::string_view name, DType dtype,
                                        const std::vector<int64_t>& shape);

// The bytes of a packed matrix, or of a stack of them. Errors: as above, and when the matrices of a
// stack do not begin with a panel of their own.
absl::StatusOr<uint64_t> bytes_of_packed(std::string_view name, Packing packing,
                                         const std::vector<int64_t>& shape);

// Errors: InvalidArgument naming two tensors whose bytes overlap.
absl::Status check_no_overlap(std::vector<TensorExtent> extents);

// "(32000, 4096)".
std::string shape_text(const std::vector<int64_t>& shape);

}  // namespace brisk
