// The layouts in which packed matrices are stored as well as multiplied: panels (pack_panels.h) and
// tiles (pack_tiles.h), told apart where it matters.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <variant>

#include "compute/sys/thread_team.h"
#include "compute/tensor/tensor.h"

namespace brisk {

struct KernelTable;

using Packing = std::variant<PanelFormat, TileFormat>;

// How `kernels` take `matrix`; none where they read it as it is.
std::optional<Packing> packing_for(const Tensor& matrix, const KernelTable& kernels);

// How a tensor is packed; none where its data are rows, or sparse.
std::optional<Packing> packing_of(const Tensor& tensor);
void set_packing(Tensor& tensor, Packing packing);

// What the packed weights decode to; for people.
DType dtype_of(Packing packing);

// Outputs of a panel; inputs that a panel's depth is a multiple of.
int64_t panel_outputs(Packing packing);
int64_t depth_unit(Packing packing);

// Panels of a matrix, all dimensions but the last being outputs; bytes of one of `depth` inputs.
int64_t panel_count(Packing packing, const Tensor& matrix);
int64_t panel_bytes(Packing packing, int64_t depth);

// Writes panels [panels.begin, panels.end) of the matrix to `out`, where the first of them begins.
// REQUIRES: packing_for() gave `packing` for the matrix.
void pack(const Tensor& matrix, Packing packing, Range panels, std::byte* out);

}  // namespace brisk
