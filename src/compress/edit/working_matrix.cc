#include "compress/edit/working_matrix.h"

#include <cmath>
#include <utility>

#include "base/status.h"
#include "compute/quant/format.h"

namespace brisk {

absl::StatusOr<WorkingMatrix> decode_matrix(LayerMatrix place) {
  WorkingMatrix matrix;
  matrix.values.resize(static_cast<size_t>(place.rows * place.depth));
  decode_values(place.linear->weight, 0, place.rows * place.depth, matrix.values.data());
  for (size_t i = 0; i < matrix.values.size(); ++i) {
    if (std::isfinite(matrix.values[i])) continue;
    return invalid_input("{}: the weight at row {}, column {} is not finite", place.name,
                         static_cast<int64_t>(i) / place.depth,
                         static_cast<int64_t>(i) % place.depth);
  }
  matrix.place = std::move(place);
  return matrix;
}

absl::StatusOr<std::vector<WorkingMatrix>> decode_layer(Model& model, size_t layer) {
  BRISK_ASSIGN_OR_RETURN(std::vector<LayerMatrix> places, layer_matrices(model, layer));
  std::vector<WorkingMatrix> matrices;
  for (LayerMatrix& place : places) {
    BRISK_ASSIGN_OR_RETURN(WorkingMatrix matrix, decode_matrix(std::move(place)));
    matrices.push_back(std::move(matrix));
  }
  return matrices;
}

std::byte* rows_in(CheckpointEdit& edit, const LayerMatrix& place, DType dtype) {
  return edit.replace(*place.tensor, dtype, place.tensor->tensor.shape) +
         bytes_of(dtype, place.first_row * place.depth);
}

void compute_with(const LayerMatrix& place, DType dtype, const std::byte* rows) {
  place.linear->weight = {
      .dtype = dtype,
      .shape = {place.rows, place.depth},
      .data = {rows, static_cast<size_t>(bytes_of(dtype, place.rows * place.depth))}};
}

}  // namespace brisk
