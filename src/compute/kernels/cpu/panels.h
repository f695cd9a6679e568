// Weights in the order in which the integer kernels read them, and activations as int8 beside them:
// plain C types, for the files compiled for an instruction set.
//
// A panel is 16 columns (rows of the weight matrix) over the whole depth, as one linear stream of
// blocks. A block is a header with the scales of its columns, then its codes in groups of 32
// inputs. Codes are unsigned; byte 64 j + 4 c + i of a group belongs to column c and input
// 4 j + i, so that four inputs of a column meet four broadcast activations in one 32-bit lane
// (vpdpbusd, vpmaddubsw). 4-bit codes share a byte: the low half is input k, the high half k + 16.
//
// Numerics, the same for every instruction set, bit for bit. A row of activations is rounded to
// int8 in groups of 32 with the scale max|x| / 127. For each group in increasing order
//   y += (w_scale * x_scale) * float(sum of (code - offset) * x)    one fused multiply-add
//   y += w_minimum * (x_scale * float(sum of x))                    formats with minimums: another
// where the sums are exact integers. q6_k has a scale per 16 inputs: two terms a group.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace brisk {

enum class PanelFormat : uint8_t { kQ4_0, kQ8_0, kQ4_K, kQ5_K, kQ6_K, kScaled8, kInt4, kInt4Wide };
constexpr int kPanelFormatCount = 8;

constexpr int kPanelColumns = 16;
constexpr int kGroupInputs = 32;
constexpr int kRowBlock = 16;  // rows of activations that are laid out together

struct PanelLayout {
  int groups;        // of a block
  int header_bytes;  // of a block
  int group_bytes;   // of the codes of a group
  int offset;        // subtracted from every code; 0: the format has minimums instead

  constexpr int block_bytes() const { return header_bytes + groups * group_bytes; }
  constexpr int block_inputs() const { return groups * kGroupInputs; }
};

// Headers, per column (16 values of a kind stand together):
//   q4_0, q8_0  a f16 scale for each of the two groups
//   q4_k, q5_k  f16 scale, f16 minimum, then for each group: u8 scales; for each group: u8 minimums
//   q6_k        f16 scale, then for each half group: i8 scales; padded to 64 bytes
//   scaled8     f32 scale, f32 minimum
//   int4        for each of the two groups a f16 scale, then for each a u8 zero point: its minimum
//               is 0 - scale * zero
//   int4_wide   the same with f32 scales
// Codes:
//   q4_0, q4_k, int4, int4_wide  256 bytes of 4 bits
//   q5_k        the same, then a 64-bit word for each j: bit 4 c + i is the fifth bit
//   q6_k        256 bytes of low 4 bits, then 128 bytes of high 2 bits: byte 64 h + 4 c + i holds,
//               lowest bits first, those of j = 4 h, 4 h + 1, 4 h + 2, 4 h + 3
//   q8_0, scaled8  512 bytes
constexpr PanelLayout kPanelLayouts[kPanelFormatCount] = {
    {.groups = 2, .header_bytes = 64, .group_bytes = 256, .offset = 8},
    {.groups = 2, .header_bytes = 64, .group_bytes = 512, .offset = 128},
    {.groups = 8, .header_bytes = 320, .group_bytes = 256, .offset = 0},
    {.groups = 8, .header_bytes = 320, .group_bytes = 320, .offset = 0},
    {.groups = 8, .header_bytes = 320, .group_bytes = 384, .offset = 32},
    {.groups = 1, .header_bytes = 128, .group_bytes = 512, .offset = 128},
    {.groups = 2, .header_bytes = 96, .group_bytes = 256, .offset = 0},
    {.groups = 2, .header_bytes = 160, .group_bytes = 256, .offset = 0},
};

// Rows of activations as int8, in blocks of kRowBlock rows (the last may have fewer). In the block
// that begins at row b with n rows, group g of row b + r has its
//   codes at   codes + 32 * (b * groups + g * n + r)     32 values
//   scale at   scales + (b * groups + g * n + r)
// and sums, start_8, start_128 likewise; start_32 has two values each, one for each half.
struct QuantizedRows {
  int8_t* codes;
  float* scales;
  float* sums;         // scale * sum of the codes
  int32_t* start_8;    // -8 * sum of the codes: where sums over codes with that offset begin
  int32_t* start_128;  // -128 * sum of the codes
  int32_t* start_32;   // -32 * sum of the codes, of inputs 0..15 and 16..31
  int64_t rows;
  int64_t groups;  // even, so that whole blocks can be read; what is beyond the depth is zero
};

struct QuantizeArgs {
  const float* x;  // (rows, depth), row i at x + i * x_stride
  int64_t x_stride;
  int64_t depth;                    // a multiple of kGroupInputs
  int64_t first_row, last_row;      // which rows of `out`, the last exclusive
  int64_t first_group, last_group;  // and of each of them
  QuantizedRows out;
};

// y[r][c] = x[r] . w[c] (+ bias[c]) (+ y[r][c]) for all rows of x and c < cols.
struct PanelArgs {
  QuantizedRows x;
  const void* panels;
  int64_t panel_bytes;
  int64_t cols;
  const float* bias;  // (cols) or null
  float* y;           // row i at y + i * y_stride
  int64_t y_stride;
  bool add;
};
using PanelKernel = void (*)(const PanelArgs&);

// The integer products of an instruction set.
struct PanelKernels {
  PanelKernel linear[kPanelFormatCount];
  // Multiply-adds as fast as they go: of u8 and s8 into s32, and of u4 and s8, many of which may be
  // added before they are widened to s32. Operations are 2 * multiply_adds * iterations.
  struct Peak {
    int32_t (*run)(int64_t iterations);
    int64_t multiply_adds;
  };
  Peak int8_peak;
  Peak int4_peak;
};

extern const PanelKernels kPanelKernelsScalar;
extern const PanelKernels kPanelKernelsAvx2;
extern const PanelKernels kPanelKernelsAvx512;

}  // namespace brisk
