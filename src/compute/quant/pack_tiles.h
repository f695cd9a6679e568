// Weights into the stream of the tile unit (compute/kernels/cpu/tiles.h). A packed weight decodes
// to the very value that the stored one does; formats of 16 bits and more are rounded to bf16 here,
// as every weight is before it is multiplied.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "compute/kernels/cpu/tiles.h"
#include "compute/sys/thread_team.h"
#include "compute/tensor/tensor.h"

namespace brisk {

// The format of tiles that holds `matrix`, (outputs, depth) row by row; none for depths that are
// not whole units and for formats whose groups are shorter than a unit's.
std::optional<TileFormat> tile_format_for(const Tensor& matrix);

// All dimensions but the last are outputs.
int64_t tile_panel_count(const Tensor& matrix);
// Bytes of one panel of `depth` inputs: a multiple of 64.
int64_t tile_panel_bytes(TileFormat format, int64_t depth);

// Writes panels [panels.begin, panels.end) of the matrix to `out`, where the first of them begins.
// Outputs beyond the matrix weigh nothing. REQUIRES: format is tile_format_for(matrix).
void pack_tiles(const Tensor& matrix, TileFormat format, Range panels, std::byte* out);

}  // namespace brisk
