// Weights into sparse panels (compute/kernels/cpu/sparse.h), without loss but for the sign of
// zeros: every weight is the very value that is stored.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "compute/kernels/cpu/sparse.h"
#include "compute/tensor/tensor.h"

namespace brisk {

// The sparse format that holds `matrix`, (columns, depth) row by row; none where there is no such.
std::optional<SparseFormat> sparse_format_for(const Tensor& matrix);

const char* name_of(SparseFormat format);  // "sparse bf16"

// Zeros among the weights of a panel of pack_panels.h's panel_count(matrix). Columns beyond the
// matrix do not count. REQUIRES here and below: format is sparse_format_for(matrix).
int64_t zeros_in_panel(const Tensor& matrix, SparseFormat format, int64_t panel);

// Bytes of a sparse panel.
int64_t sparse_panel_bytes(const Tensor& matrix, SparseFormat format, int64_t panel);

// Writes them.
void pack_sparse_panel(const Tensor& matrix, SparseFormat format, int64_t panel, std::byte* out);

// Bytes of a matrix of `panels` panels before the first of them: its offsets.
constexpr int64_t sparse_index_bytes(int64_t panels) { return 8 * (panels + 1); }

// A whole matrix, as sparse.h lays it out. For tests and measurements: models are packed by
// model/pack_weights.h.
std::vector<std::byte> pack_sparse(const Tensor& matrix, SparseFormat format);

}  // namespace brisk
