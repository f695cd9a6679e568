#include "model/checkpoint/tensor_table.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

#include "base/status.h"
#include "base/units.h"
#include "compute/quant/format.h"

namespace brisk {

absl::Status add_tensor(Checkpoint& checkpoint, std::string name, Tensor tensor) {
  if (!checkpoint.index.emplace(name, checkpoint.tensors.size()).second) {
    return invalid_input("tensor \"{}\" appears twice", name);
  }
  checkpoint.tensors.push_back({std::move(name), std::move(tensor)});
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> bytes_of_shape(std::string_view name, DType dtype,
                                        const std::vector<int64_t>& shape) {
  constexpr uint64_t kValuesMax = uint64_t{1} << 48;
  const Format& format = format_of(dtype);
  uint64_t values = 1;
  for (const int64_t extent : shape) {
    if (extent <= 0) {
      return invalid_input("tensor \"{}\" has the impossible shape {}", name, shape_text(shape));
    }
    if (!checked_multiply(values, static_cast<uint64_t>(extent), &values) || values > kValuesMax) {
      return invalid_input("tensor \"{}\" of shape {} is too large", name, shape_text(shape));
    }
  }
  const int64_t row = shape.empty() ? 1 : shape.back();
  if (row % format.block_values != 0) {
    return invalid_input("tensor \"{}\" has rows of {} values, but {} stores blocks of {}", name,
                         row, format.name, format.block_values);
  }
  return static_cast<uint64_t>(bytes_of(dtype, static_cast<int64_t>(values)));
}

absl::StatusOr<uint64_t> bytes_of_packed(std::string_view name, Packing packing,
                                         const std::vector<int64_t>& shape) {
  const int64_t outputs = panel_outputs(packing);
  const bool is_stack = shape.size() == 3;
  if ((shape.size() != 2 && !is_stack) || shape.back() % depth_unit(packing) != 0 ||
      (is_stack && shape[1] % outputs != 0)) {
    return invalid_input("tensor \"{}\" of shape {} cannot be packed", name, shape_text(shape));
  }
  // Checks the extents; a value takes no less than half a byte and no more than two.
  BRISK_RETURN_IF_ERROR(bytes_of_shape(name, DType::kI8, shape).status());
  const int64_t columns = is_stack ? shape[0] * shape[1] : shape[0];
  return static_cast<uint64_t>(ceil_div(columns, outputs) * panel_bytes(packing, shape.back()));
}

absl::Status check_no_overlap(std::vector<TensorExtent> extents) {
  std::sort(extents.begin(), extents.end(),
            [](const TensorExtent& a, const TensorExtent& b) { return a.begin < b.begin; });
  for (size_t i = 1; i < extents.size(); ++i) {
    if (extents[i].begin < extents[i - 1].end) {
      return invalid_input("tensors \"{}\" and \"{}\" overlap in the file", extents[i - 1].name,
                           extents[i].name);
    }
  }
  return absl::OkStatus();
}

std::string shape_text(const std::vector<int64_t>& shape) {
  return fmt::format("({})", fmt::join(shape, ", "));
}

}  // namespace brisk
