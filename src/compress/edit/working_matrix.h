// A matrix of a model as f32 while it is worked on, and where what becomes of it is kept.
#pragma once

#include <absl/status/statusor.h>

#include <cstddef>
#include <vector>

#include "compress/edit/checkpoint_edit.h"
#include "compress/edit/layer_matrices.h"

namespace brisk {

struct WorkingMatrix {
  LayerMatrix place;
  std::vector<float> values;  // (rows, depth)
};

// Errors: InvalidArgument naming the matrix when a weight is not finite.
absl::StatusOr<WorkingMatrix> decode_matrix(LayerMatrix place);

// All of a layer, see layer_matrices.
absl::StatusOr<std::vector<WorkingMatrix>> decode_layer(Model& model, size_t layer);

// Where the matrix's rows go in the edited checkpoint, whose tensor will be in `dtype`.
std::byte* rows_in(CheckpointEdit& edit, const LayerMatrix& place, DType dtype);

// From here on the model computes with these rows, which outlive it.
void compute_with(const LayerMatrix& place, DType dtype, const std::byte* rows);

}  // namespace brisk
