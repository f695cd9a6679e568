// Attention on a tile unit in software.
#include "compute/kernels/cpu/kernel_table.h"
#include "compute/kernels/cpu/vec_avx512.h"
// clang-format off
#include "compute/kernels/cpu/math_body.h"
#include "compute/kernels/cpu/attention_partials_body.h"
#include "compute/kernels/cpu/tile_ops_emulated.h"
#define BRISK_TILE_ATTENTION kTileAttentionEmulated
#include "compute/kernels/cpu/tile_attention_body.h"
