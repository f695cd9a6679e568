#include "compute/kernels/cpu/kernel_table.h"
#include "compute/kernels/cpu/vec_avx512.h"
// clang-format off
#include "compute/kernels/cpu/math_body.h"
#include "compute/kernels/cpu/linear_body.h"
#include "compute/kernels/cpu/low_rank_body.h"
#include "compute/kernels/cpu/elementwise_body.h"
#include "compute/kernels/cpu/kv_append_body.h"
#include "compute/kernels/cpu/attention_partials_body.h"
#include "compute/kernels/cpu/attention_body.h"
#include "compute/kernels/cpu/measure_body.h"
#include "compute/kernels/cpu/vocabulary_body.h"
#include "compute/kernels/cpu/table_body.h"
// clang-format on

namespace brisk {
namespace {

constexpr KernelTable with_tiles(const char* name, const TileKernels* tiles,
                                 const TileAttention* attention) {
  KernelTable table = kKernelsAvx512;
  table.isa = Isa::kAmx;
  table.name = name;
  table.sparse = nullptr;
  table.tiles = tiles;
  table.tile_attention = attention;
  return table;
}

constexpr KernelTable without_vbmi2() {
  KernelTable table = kKernelsAvx512;
  table.sparse = &kSparseKernelsAvx2;
  return table;
}

}  // namespace

constexpr KernelTable kKernelsAvx512Vnni = without_vbmi2();
constexpr KernelTable kKernelsAmx = with_tiles("amx", &kTileKernelsAmx, &kTileAttentionAmx);
constexpr KernelTable kKernelsAmxEmulated =
    with_tiles("amx-emulated", &kTileKernelsEmulated, &kTileAttentionEmulated);

}  // namespace brisk
