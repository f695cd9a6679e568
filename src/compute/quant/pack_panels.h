// Weights into panels (compute/kernels/cpu/panels.h), without loss: every packed weight decodes to
// the very value that the stored one does.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "compute/kernels/cpu/panels.h"
#include "compute/sys/thread_team.h"
#include "compute/tensor/tensor.h"

namespace brisk {

// The format of panels that holds `matrix`, (columns, depth) row by row, exactly; none for float
// formats and for those whose groups are shorter than a panel's.
std::optional<PanelFormat> panel_format_for(const Tensor& matrix);

// What the packed weights decode to; for people, and for choosing among formats.
DType dtype_of(PanelFormat format);

// All dimensions but the last are columns.
int64_t panel_count(const Tensor& matrix);
// Bytes of one panel of `depth` inputs.
int64_t panel_bytes(PanelFormat format, int64_t depth);

// Writes panels [panels.begin, panels.end) of the matrix to `out`, where the first of them begins.
// Columns beyond the matrix weigh nothing. REQUIRES: format is panel_format_for(matrix).
void pack_panels(const Tensor& matrix, PanelFormat format, Range panels, std::byte* out);

}  // namespace brisk
