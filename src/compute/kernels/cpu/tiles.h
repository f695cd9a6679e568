// Weights as operand A of the tile unit (Intel AMX), activations as operand B: plain C types, for
// the files compiled for an instruction set.
//
// A panel is 32 outputs (rows of the weight matrix) over the whole depth. It is a row of units of
// 32 outputs x 32 inputs, and a unit unpacks to two tiles of bf16: outputs 0..15 and 16..31, one
// output's 32 inputs a row. Panels follow each other, so that whoever computes neighbouring outputs
// reads one stream, scales beside their codes.
//
// Numerics, the same bits for any number of rows and for any share of the outputs:
// - A weight is decoded to f32 exactly as its format decodes, then rounded to bf16, to nearest
//   even; an activation likewise. Subnormal numbers count as zero. (Truncating instead would save
//   nothing here: one instruction rounds 32 values.)
// - y = 0; then for each 32 inputs in increasing order, as TDPBF16PS does:
//     even = 0; for i = 0, 2, ... 30: even = fma(w[i], x[i], even)
//     odd  = 0; for i = 1, 3, ... 31: odd  = fma(w[i], x[i], odd)
//     y    = y + (even + odd)
//   in f32, rounded to nearest even, subnormal results as zero.
// - Then the bias is added, then what y held (where the call adds).
// They differ from the numerics of panels.h: results agree among tiles only.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace brisk {

enum class TileFormat : uint8_t {
  kQ4_0,
  kQ4_1,
  kQ4_K,
  kIQ4_NL,
  kMXFP4,
  kQ5_0,
  kQ5_1,
  kQ5_K,
  kQ6_K,
  kQ8_0,
  kBF16,
  kInt4,
  kInt4Wide,
};
constexpr int kTileFormatCount = 13;

constexpr int kTileOutputs = 32;   // of a panel
constexpr int kTileInputs = 32;    // of a unit
constexpr int kTileRowBlock = 16;  // rows of activations of a B tile
constexpr int kTileBytes = 1024;   // of 16 rows of 64 bytes

struct TileLayout {
  int units;         // of a block: those that share a header
  int header_bytes;  // of a block, before its units
  int code_bytes;    // of a unit
  int scale_bytes;   // of a unit, after its codes

  constexpr int unit_bytes() const { return code_bytes + scale_bytes; }
  constexpr int block_bytes() const { return header_bytes + units * unit_bytes(); }
  constexpr int block_inputs() const { return units * kTileInputs; }
};

// Everything is a multiple of 64 bytes. Values "an output" stand together for the 32 outputs.
// Codes of a unit:
//   4 bits   8 x 32 words of 16 bits: word k of the j-th 32 holds, lowest bits first, the codes of
//            outputs 4 j .. 4 j + 3 for input k
//   5 bits   those, then 2 x 32 words: bit b of word k of the h-th has the fifth bit of output
//            16 h + b for input k
//   6 bits   those of 4 bits, then 4 x 32 words: bits 2 b, 2 b + 1 of word k of the h-th are the
//            high bits of output 8 h + b for input k; here word 8 l + i is for input 4 l + i and
//            word 8 l + 4 + i for input 16 + 4 l + i (l, i < 4), the order of unpacking to 32 bits
//   8 bits   32 x 32 bytes, signed: an output's inputs in order
//   bf16     32 x 32 bf16, likewise: the two tiles themselves
// Scales of a unit: q4_0, iq4_nl, q5_0, q8_0 f16 an output; q4_1, q5_1 f16 scale, then f16 minimum;
// mxfp4 bf16; int4 f16, then u8 zero point, padded; int4_wide f32, then the same;
// q4_k, q5_k u8 scale, then u8 minimum, under a header of f16 scale and
// f16 minimum an output; q6_k i8 for inputs 0..15, then for 16..31, under a header of f16.
constexpr TileLayout kTileLayouts[kTileFormatCount] = {
    {.units = 1, .header_bytes = 0, .code_bytes = 512, .scale_bytes = 64},
    {.units = 1, .header_bytes = 0, .code_bytes = 512, .scale_bytes = 128},
    {.units = 8, .header_bytes = 128, .code_bytes = 512, .scale_bytes = 64},
    {.units = 1, .header_bytes = 0, .code_bytes = 512, .scale_bytes = 64},
    {.units = 1, .header_bytes = 0, .code_bytes = 512, .scale_bytes = 64},
    {.units = 1, .header_bytes = 0, .code_bytes = 640, .scale_bytes = 64},
    {.units = 1, .header_bytes = 0, .code_bytes = 640, .scale_bytes = 128},
    {.units = 8, .header_bytes = 128, .code_bytes = 640, .scale_bytes = 64},
    {.units = 8, .header_bytes = 64, .code_bytes = 768, .scale_bytes = 64},
    {.units = 1, .header_bytes = 0, .code_bytes = 1024, .scale_bytes = 64},
    {.units = 1, .header_bytes = 0, .code_bytes = 2048, .scale_bytes = 0},
    {.units = 1, .header_bytes = 0, .code_bytes = 512, .scale_bytes = 128},
    {.units = 1, .header_bytes = 0, .code_bytes = 512, .scale_bytes = 192},
};

// Rows of activations as B tiles of bf16. The B tile of row block b (rows 16 b and on) and group g
// (inputs 32 g and on) has 16 rows of `tile_row_width` pairs: pair r of its row i is inputs 32 g +
// 2 i and 32 g + 2 i + 1 of row 16 b + r. Rows beyond the last are zero.
struct TileRows {
  void* data;  // 64-byte aligned; tile (b, g) at 64 * tile_row_width(rows) * (b * groups + g)
  int64_t rows;
  int64_t groups;  // depth / kTileInputs
};
// Up to 16 rows lie without gaps; more in blocks of 16.
constexpr int64_t tile_row_width(int64_t rows) {
  return rows < kTileRowBlock ? rows : kTileRowBlock;
}
constexpr int64_t tile_row_blocks(int64_t rows) {
  return (rows + kTileRowBlock - 1) / kTileRowBlock;
}
constexpr int64_t tile_rows_bytes(int64_t rows, int64_t groups) {
  return 64 * tile_row_width(rows) * tile_row_blocks(rows) * groups;
}

struct PackRowsArgs {
  const float* x;  // (rows, depth), row i at x + i * x_stride
  int64_t x_stride;
  int64_t first_task;  // tasks are tiles: task t is group t % groups of row block t / groups
  int64_t last_task;   // exclusive
  TileRows out;
};

// Memory that a product works in, of the calling thread.
constexpr int64_t kTileScratchBytes = (int64_t{1} << 20) + (64 << 10);

// y[r][c] = x[r] . w[c] (+ bias[c]) (+ y[r][c]) for all rows of x and c < cols.
struct TileArgs {
  TileRows x;
  const void* panels;  // 64-byte aligned
  int64_t panel_bytes;
  int64_t cols;
  const float* bias;  // (cols) or null
  float* y;           // row i at y + i * y_stride
  int64_t y_stride;
  bool add;
  void* scratch;  // kTileScratchBytes, 64-byte aligned
};
using TileKernel = void (*)(const TileArgs&);

// The shapes of the tile registers, as LDTILECFG reads them.
struct TileConfig {
  uint8_t palette;
  uint8_t start_row;
  uint8_t reserved[14];
  uint16_t row_bytes[16];
  uint8_t rows[16];
};
static_assert(sizeof(TileConfig) == 64);

// The products of a tile unit. Before the first, the process must have asked the system for tiles
// (amx_probe.h).
struct TileKernels {
  TileKernel linear[kTileFormatCount];
  void (*pack_rows)(const PackRowsArgs&);
  // Products of tiles that stay in registers, as fast as they go: operations are
  // kTileBf16Ops or kTileInt8Ops * iterations.
  float (*bf16_peak)(int64_t iterations);
  int32_t (*int8_peak)(int64_t iterations);
};
constexpr int64_t kTileBf16Ops = 4 * 2 * 16 * 16 * 32;
constexpr int64_t kTileInt8Ops = 4 * 2 * 16 * 16 * 64;

extern const TileKernels kTileKernelsAmx;
// The same kernels over tile instructions in software, for machines without them: slow, for tests.
// Needs AVX-512 with BF16.
extern const TileKernels kTileKernelsEmulated;

}  // namespace brisk
