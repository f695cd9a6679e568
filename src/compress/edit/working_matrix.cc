#include "compress/edit/working_matrix.h"

#include <cmath>
#include <utility>

#include "base/status.h"
#include "compute/quant/format.h"

namespace brisk {

std::byte* StoredRows::blocks() const {
  return memory.data() + bytes_of(format.dtype, first * depth);
}

Tensor StoredRows::tensor() const {
  if (!format.scheme.has_value()) {
    const auto size = static_cast<size_t>(bytes_of(format.dtype, rows * depth));
    return {.dtype = format.dtype, .shape = {rows, depth}, .data = {blocks(), size}};
  }
  Tensor tensor = scaled_tensor(*format.scheme, outputs, depth, memory);
  ScaledMatrix part = *tensor.scaled;
  part.first_output = first;
  tensor.scaled = std::make_shared<const ScaledMatrix>(std::move(part));
  tensor.shape = {rows, depth};
  return tensor;
}

absl::StatusOr<WorkingMatrix> decode_matrix(LayerMatrix place, int64_t from) {
  WorkingMatrix matrix;
  matrix.values.resize(static_cast<size_t>(place.rows * place.depth));
  decode_values(place.linear->weight, from * place.depth, place.rows * place.depth,
                matrix.values.data());
  for (size_t i = 0; i < matrix.values.size(); ++i) {
    if (std::isfinite(matrix.values[i])) continue;
    return invalid_input("{}: the weight at row {}, column {} is not finite", place.name,
                         from + static_cast<int64_t>(i) / place.depth,
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

StoredRows rows_in(CheckpointEdit& edit, const LayerMatrix& place, const MatrixFormat& format) {
  return {.format = format,
          .memory = edit.replace(*place.tensor, format),
          .outputs = place.tensor->tensor.values() / place.depth,
          .first = place.first_row,
          .rows = place.rows,
          .depth = place.depth};
}

void compute_with(const LayerMatrix& place, const StoredRows& rows) {
  place.linear->weight = rows.tensor();
}

}  // namespace brisk
