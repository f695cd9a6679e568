// The products of tiles without a tile unit; see tiles.h.
#include "compute/kernels/cpu/tiles.h"
// clang-format off
#include "compute/kernels/cpu/tile_ops_emulated.h"
#include "compute/kernels/cpu/tile_unpack_body.h"
#include "compute/kernels/cpu/tile_walk.h"
#define BRISK_TILE_KERNELS kTileKernelsEmulated
#include "compute/kernels/cpu/tile_product_body.h"
