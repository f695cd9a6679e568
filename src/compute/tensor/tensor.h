// Views of tensors in memory that somebody else owns (usually a mapped checkpoint).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "compute/kernels/cpu/panels.h"
#include "compute/kernels/cpu/sparse.h"
#include "compute/kernels/cpu/tiles.h"
#include "compute/tensor/dtype.h"
#include "compute/tensor/scaled_matrix.h"

namespace brisk {

// A dense row-major tensor of any format. `shape` is outermost first, as in PyTorch: a projection
// with `out` rows of `in` weights is (out, in). Rows of block formats are whole blocks.
struct Tensor {
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  std::span<const std::byte> data;
  std::span<const float> scales = {};  // only the *Grouped formats; (values / scale_group)
  int64_t scale_group = 0;             // consecutive values that share a scale
  // Only kScaled: where everything lies, views like `data`, which spans the codes.
  std::shared_ptr<const ScaledMatrix> scaled = nullptr;

  // When one is set, `data` is the matrix in panels of this format instead of row by row
  // (quant/pack_panels.h, quant/pack_tiles.h, quant/pack_sparse.h); only CpuOps reads such a
  // tensor.
  std::optional<PanelFormat> panels = std::nullopt;
  std::optional<TileFormat> tiles = std::nullopt;
  std::optional<SparseFormat> sparse = std::nullopt;
  // Only with panels, where not null: input i of the panels is input (*input_order)[i] of the rows.
  std::shared_ptr<const std::vector<int32_t>> input_order = nullptr;

  bool is_packed() const { return panels.has_value() || tiles.has_value() || sparse.has_value(); }

  // Whether products take their input rounded (CpuOps::load_input).
  bool takes_rounded_input() const {
    return panels.has_value() || tiles.has_value() ||
           (sparse.has_value() && !kSparseLayouts[static_cast<size_t>(*sparse)].is_float);
  }

  int64_t values() const {
    int64_t product = 1;
    for (const int64_t extent : shape) product *= extent;
    return product;
  }
};

// A row-major f32 matrix; row i begins at data + i * stride.
struct MatView {
  float* data = nullptr;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t stride = 0;

  float* row(int64_t i) const { return data + i * stride; }
};

struct ConstMatView {
  const float* data = nullptr;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t stride = 0;

  ConstMatView() = default;
  ConstMatView(const float* data_in, int64_t rows_in, int64_t cols_in, int64_t stride_in)
      : data(data_in), rows(rows_in), cols(cols_in), stride(stride_in) {}
  ConstMatView(const MatView& view)  // NOLINT(google-explicit-constructor): adding const is safe
      : data(view.data), rows(view.rows), cols(view.cols), stride(view.stride) {}

  const float* row(int64_t i) const { return data + i * stride; }
};

}  // namespace brisk
