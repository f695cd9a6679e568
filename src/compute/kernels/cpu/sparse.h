// Weights of which many are zero, in the order in which the sparse kernels read them: a bit for
// every weight, and the values of those that are not zero. Plain C types, for the files compiled
// for an instruction set.
//
// Numerics: a sparse product gives the bits of the dense one (kernel_table.h for floats, panels.h
// for codes). Kernels put the values back where they were, with zeros between them, and add them up
// in the dense order; no term is left out. Only a weight of -0 is read as +0, which can change
// nothing but the sign of an output that is zero.
//
// Layout. A matrix is (panels + 1) 64-bit offsets from its first byte, then panels of 16 columns as
// in panels.h, each one linear stream without padding; offset p is where panel p begins, the last
// one where the last panel ends. kSparseSlack readable bytes follow, so that registers may be
// loaded whole. Masks and values lie at any alignment.
//
// Floats: a panel is 4 quads of 4 columns over the whole depth. A quad is blocks of 256 inputs (the
// last may have fewer): first a 32-bit mask for each 32 inputs and column, those of one run of
// inputs together, then their values in the same order. Bit b of a mask stands for input b; of
// bf16, for input b / 2 + 16 (b % 2), so that even and odd words of a register are 16 consecutive
// inputs each. Values lie in the order of their bits.
//
// Codes: a panel is blocks of two groups of 32 inputs. A block is the header of the dense format,
// 16 64-bit masks, then the codes. Mask 8 g + j belongs to inputs 4 j .. 4 j + 3 of group g; its
// bit 4 c + i to column c and input 4 j + i. q8_0 has the panel's bytes where a bit is set and 128
// elsewhere; q4_0 4-bit codes, low halves first, those of each mask from a new byte on, and 8
// elsewhere.
//
// Half of all weights cost the same here whether they form a pattern (2:4, 4:8) or not: the mask of
// a 2:4 group has as many bits as two positions.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "compute/kernels/cpu/panels.h"

namespace brisk {

enum class SparseFormat : uint8_t { kBF16, kF16, kF32, kQ8_0, kQ4_0 };
constexpr int kSparseFormatCount = 5;

constexpr int kSparseSlack = 64;        // bytes
constexpr int kSparseQuadColumns = 4;   // floats
constexpr int kSparseUnitInputs = 32;   // of a float mask
constexpr int kSparseBlockUnits = 8;    // of a float block
constexpr int kSparseMaskInputs = 4;    // of a mask of codes, for 16 columns
constexpr int kSparseBlockGroups = 2;   // of a block of codes
constexpr int kSparseHeaderBytes = 64;  // of a block of codes: the dense header
constexpr int kSparseBlockMasks = kSparseBlockGroups * kGroupInputs / kSparseMaskInputs;

// Formats of codes are multiplied as dense panels of this format are; floats have none.
struct SparseLayout {
  int value_bits;
  bool is_float;
  PanelFormat dense;  // of codes
  int absent;         // the code that is not stored
};
constexpr SparseLayout kSparseLayouts[kSparseFormatCount] = {
    {.value_bits = 16, .is_float = true, .dense = PanelFormat::kQ8_0, .absent = 0},
    {.value_bits = 16, .is_float = true, .dense = PanelFormat::kQ8_0, .absent = 0},
    {.value_bits = 32, .is_float = true, .dense = PanelFormat::kQ8_0, .absent = 0},
    {.value_bits = 8, .is_float = false, .dense = PanelFormat::kQ8_0, .absent = 128},
    {.value_bits = 4, .is_float = false, .dense = PanelFormat::kQ4_0, .absent = 8},
};

// y[r][c] = x[r] . w[c] (+ bias[c]) (+ y[r][c]) for all rows and c < cols.
struct SparseArgs {
  const float* x;         // floats: (rows, depth), row i at x + i * x_stride
  int64_t x_stride;       //
  QuantizedRows rounded;  // codes: at most kRowBlock rows
  int64_t rows;
  const void* matrix;
  int64_t first_panel;  // that of column 0
  int64_t cols;
  int64_t depth;
  const float* bias;  // (cols) or null
  float* y;           // row i at y + i * y_stride
  int64_t y_stride;
  bool add;
};

// One panel as the dense kernels read it: floats as f32, (16, depth); codes as a dense panel.
struct SparseUnpackArgs {
  const void* matrix;
  int64_t panel;
  int64_t depth;
  void* out;
};

struct SparseKernel {
  // Percent of zeros from which a single row is faster than dense: docs/compression.md has what was
  // measured. 101: never.
  int zeros_min;
  int64_t rows_max;  // that `linear` takes; 0: there is none. More rows: unpack, and dense kernels
  void (*linear)(const SparseArgs&);
  void (*unpack)(const SparseUnpackArgs&);
};

struct SparseKernels {
  SparseKernel formats[kSparseFormatCount];
};

extern const SparseKernels kSparseKernelsScalar;
extern const SparseKernels kSparseKernelsAvx2;
// Need AVX-512 VBMI2 beyond what the level asks for.
extern const SparseKernels kSparseKernelsAvx512;

}  // namespace brisk
