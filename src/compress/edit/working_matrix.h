// A matrix of a model as f32 while it is worked on, and where what becomes of it is kept.
#pragma once

#include <absl/status/statusor.h>

#include <cstddef>
#include <span>
#include <vector>

#include "compress/edit/checkpoint_edit.h"
#include "compress/edit/layer_matrices.h"
#include "compress/edit/matrix_format.h"

namespace brisk {

struct WorkingMatrix {
  LayerMatrix place;
  std::vector<float> values;  // (rows, depth)
};

// Rows of a tensor that is being made.
struct StoredRows {
  MatrixFormat format;
  std::span<std::byte> memory;  // of the whole tensor
  int64_t outputs = 0;          // of it
  int64_t first = 0;            // of these
  int64_t rows = 0;
  int64_t depth = 0;

  std::byte* blocks() const;  // where they begin. REQUIRES: no scheme.
  Tensor tensor() const;      // (rows, depth); the memory outlives it
};

// Rows [from, from + place.rows) of the linear's weight. Errors: InvalidArgument naming the matrix
// when a weight is not finite.
absl::StatusOr<WorkingMatrix> decode_matrix(LayerMatrix place, int64_t from = 0);

// All of a layer, see layer_matrices.
absl::StatusOr<std::vector<WorkingMatrix>> decode_layer(Model& model, size_t layer);

// Where the matrix's rows go in the edited checkpoint, whose tensor will be in that format.
StoredRows rows_in(CheckpointEdit& edit, const LayerMatrix& place, const MatrixFormat& format);

// From here on the model computes with these rows, which outlive it.
void compute_with(const LayerMatrix& place, const StoredRows& rows);

}  // namespace brisk
