// The products of the tile unit.
#include "compute/kernels/cpu/tiles.h"
// clang-format off
#include "compute/kernels/cpu/tile_ops_amx.h"
#include "compute/kernels/cpu/tile_unpack_body.h"
#include "compute/kernels/cpu/tile_walk.h"
#define BRISK_TILE_KERNELS kTileKernelsAmx
#include "compute/kernels/cpu/tile_product_body.h"
