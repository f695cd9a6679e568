// The functions an instruction set provides, as plain C types: files compiled for an instruction
// set include this header, their vector header and nothing else, so that no inline library code is
// ever emitted with instructions that other CPUs lack (tests/compute/weak_symbols_test checks).
//
// Numerics, the same for every instruction set, bit for bit:
// - A dot product over `depth` runs in 16 lanes: lane l adds, by fused multiply-add and in
//   increasing order, the products at positions l, l + 16, l + 32, ...; the lanes are then added as
//   a tree (8 + 8, 4 + 4, 2 + 2, 1 + 1). Weights are decoded to f32 first, exactly as
//   Format::decode does.
// - exp and tanh are the same polynomial everywhere.
// - A low-rank addition runs one chain of fused multiply-adds for each output, from what is there,
// in
//   order of the rank.
// So results depend neither on the number of rows nor on the instruction set. Products of packed
// weights have numerics of their own: panels.h, the same everywhere, and tiles.h, for tile units.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "compute/kernels/cpu/panels.h"
#include "compute/kernels/cpu/sparse.h"
#include "compute/kernels/cpu/tiles.h"
#include "compute/kernels/cpu/vocabulary.h"

namespace brisk {

enum class Isa : uint8_t { kScalar, kAvx2, kAvx512, kAmx };

// y[r][c] = x[r] . w[c] (+ bias[c]) (+ y[r][c]) for r < rows, c < cols.
struct LinearArgs {
  const float* x;  // (rows, depth), row i at x + i * x_stride
  int64_t x_stride;
  int64_t rows;
  const void* w;  // (cols, depth) in the kernel's format, any alignment
  int64_t w_row_bytes;
  int64_t cols;
  int64_t depth;      // a multiple of the format's block
  const float* bias;  // (cols) or null
  float* y;           // (rows, cols), row i at y + i * y_stride
  int64_t y_stride;
  bool add;  // add to y instead of overwriting it
};
using LinearKernel = void (*)(const LinearArgs&);

// `values` (a multiple of the format's block) to f32.
using DecodeKernel = void (*)(const void* blocks, int64_t values, float* out);

// y[r][c] += sum over j < rank of h[r][j] * b[j][c].
struct LowRankArgs {
  const float* h;  // (rows, rank), row i at h + i * h_stride
  int64_t h_stride;
  int64_t rows;
  int64_t rank;
  const void* panels;  // b, in the kernel's format: panels (rank, kLowRankColumns), the last padded
  int64_t panel_bytes;
  int64_t cols;
  float* y;  // (rows, cols), row i at y + i * y_stride
  int64_t y_stride;
};
constexpr int64_t kLowRankColumns = 32;
using LowRankKernel = void (*)(const LowRankArgs&);

struct NormArgs {
  const float* x;       // (cols)
  const float* weight;  // (cols) or null
  const float* bias;    // (cols) or null
  float weight_offset;  // gemma: 1
  float eps;
  int64_t cols;
  float* y;  // (cols); may be x
};

constexpr int kKvBlockTokens = 16;  // tokens of a KV block

// Element formats of the KV cache. int8 and fp8 (e4m3, OCP 8-bit floating point v1.0) have a scale
// for every token and head: 16 f32 behind the keys of a block and head, and behind its values.
// int4 has a scale and a minimum for every token and group of 32 dimensions, a value being
// code * scale + minimum: 16 bf16 of each, group by group, behind the keys and behind the values.
// Of its keys, dimensions 2i and 2i + 1 of a token share a byte (so that no two tokens do); of its
// values, dimensions i and i + 16 of a group. The first is in the low half.
enum class KvElement : uint8_t { kF32, kF16, kBF16, kInt8, kFp8, kInt4 };
constexpr int kKvElementCount = 6;
constexpr int64_t kKvInt4Group = 32;
struct KvElementLayout {
  int bits;         // of a value
  int64_t group;    // of dimensions that have scales of their own; 0: all of a head
  int scale_bytes;  // of 16 tokens of a group
};
constexpr KvElementLayout kKvElementLayouts[kKvElementCount] = {
    {32, 0, 0}, {16, 0, 0}, {16, 0, 0}, {8, 0, 64}, {8, 0, 64}, {4, kKvInt4Group, 64}};

struct KvHeadBytes {
  int64_t keys, values;  // of a block and head
};
constexpr KvHeadBytes kv_head_bytes(KvElement element, int64_t head_dim) {
  const KvElementLayout& layout = kKvElementLayouts[static_cast<int>(element)];
  const int64_t groups = layout.group > 0 ? (head_dim + layout.group - 1) / layout.group : 1;
  const int64_t stride = (head_dim + 15) / 16 * 16;
  const int64_t key_rows = (head_dim * layout.bits * kKvBlockTokens / 8 + 15) / 16 * 16;
  const int64_t value_row = (stride * layout.bits / 8 + 15) / 16 * 16;
  const int64_t scales = groups * layout.scale_bytes;
  return {.keys = key_rows + scales, .values = value_row * kKvBlockTokens + scales};
}

// Floating-point operations of one iteration of KernelTable::multiply_add: 16 lanes, 8 chains.
constexpr int64_t kMultiplyAddFlops = 2 * 16 * 8;

constexpr int kKvSegmentBlocks = 16;  // blocks whose softmax is computed together

// Attention of consecutive positions of a sequence, for the query heads that share one KV head.
// In a block, keys lie transposed, (head_dim, 16 tokens), and values as (16 tokens, value_stride);
// int4 as KvElement says.
struct AttentionArgs {
  const float* q;  // (rows, heads, head_dim), row r at q + r * q_stride
  int64_t q_stride;
  int64_t rows;
  int64_t heads;
  int64_t head_dim;
  int64_t value_stride;   // head_dim rounded up to 16
  const int32_t* blocks;  // block table of the sequence
  const void* keys;       // block b begins at keys + b * block_bytes
  const void* values;
  int64_t block_bytes;
  int64_t position;  // of the first row; everything up to the last row's is in the cache
  int64_t window;    // positions that a query sees, of which its own is the last; 0: all
  int64_t segment;   // of those that the rows see: all, or some with `partials`
  int64_t segment_end;
  float scale;
  float softcap;  // 0: none
  float* out;     // (rows, heads, head_dim), row r at out + r * out_stride
  int64_t out_stride;
  // (segments, rows * heads, attention_partial_floats()) or null: results of the segments, which
  // KernelTable::merge_attention makes `out` of, instead of `out`.
  float* partials;
  float* scratch;  // attention_scratch_floats(head_dim)
};
// A partial result: the maximum of the scores and the sum of the exponentials, in the first of 16
// floats, and the weighted values.
constexpr int64_t attention_partial_floats(int64_t value_stride) { return 16 + value_stride; }
constexpr int kAttentionQueriesTogetherMax = 8;  // of attention_body.h
constexpr int64_t attention_scratch_floats(int64_t head_dim) {
  // Scores; partial and merged results; a block's scaled weights; the query and its sums.
  return kAttentionQueriesTogetherMax *
         (kKvSegmentBlocks * kKvBlockTokens + attention_partial_floats(head_dim + 16) +
          (head_dim + 16) + kKvBlockTokens + head_dim + head_dim / kKvInt4Group + 1);
}

// The same on a tile unit, for elements that bf16 holds: the queries, and the exponentials times
// the scales of the values, are rounded to bf16 (nearest even, subnormal numbers to zero); products
// are those of tiles.h over head_dim and over a segment's tokens, in blocks of 32 in order. What
// follows a query, if it is not finite, may reach it where both are in one call.
struct TileAttention {
  void (*attention[kKvElementCount])(const AttentionArgs&);  // null: not held
};
constexpr int64_t kTileQueries = 64;  // that are done together
// Scratch is 64-byte aligned here.
constexpr int64_t tile_attention_scratch_bytes(int64_t head_dim) {
  const int64_t groups = (head_dim + 31) / 32, stride = (head_dim + 15) / 16 * 16;
  constexpr int64_t kTokens = kKvSegmentBlocks * kKvBlockTokens;
  // Keys, values, queries; scores and weights; partial and merged results.
  return 2 * (kTokens + kTokens + kTileQueries) * 32 * groups + (4 + 2) * kTileQueries * kTokens +
         4 * kTileQueries * (attention_partial_floats(stride) + stride);
}
extern const TileAttention kTileAttentionAmx;
extern const TileAttention kTileAttentionEmulated;

// Writes one token's key and value of one KV head into its slot of a block.
struct KvAppendArgs {
  const float* key;    // (head_dim)
  const float* value;  // (head_dim)
  int64_t head_dim;
  int64_t value_stride;
  void* keys;  // of the block and head
  void* values;
  int64_t slot;  // token in the block
};

struct KernelTable {
  Isa isa;
  const char* name;

  // Few rows: weights are decoded in registers. Any `rows` up to direct_rows_max.
  int64_t direct_rows_max;
  LinearKernel direct_f32;
  LinearKernel direct_f16;
  LinearKernel direct_bf16;
  LinearKernel direct_q8_0;
  LinearKernel direct_q4_0;
  // Many rows over weights that are f32 already.
  LinearKernel linear_f32;
  DecodeKernel decode_f16;
  DecodeKernel decode_bf16;
  DecodeKernel decode_q8_0;
  DecodeKernel decode_q4_0;

  LowRankKernel add_low_rank_f32;
  LowRankKernel add_low_rank_f16;
  LowRankKernel add_low_rank_bf16;

  // Integer products of packed weights, and the activations they take.
  const PanelKernels* panels;
  void (*quantize_groups)(const QuantizeArgs&);
  // Products of weights with many zeros; null with tiles, which run them densely.
  const SparseKernels* sparse;
  // Where not null, weights are packed into tiles instead, of which these are the products.
  const TileKernels* tiles;

  void (*rms_norm)(const NormArgs&);
  void (*layer_norm)(const NormArgs&);
  // y = activation(gate) * up, elementwise; gate == y is allowed. `up` null: no factor.
  void (*silu)(const float* gate, const float* up, int64_t count, float* y);
  void (*gelu_tanh)(const float* gate, const float* up, int64_t count, float* y);
  void (*relu2)(const float* gate, const float* up, int64_t count, float* y);
  // y = cap * tanh(x / cap), in place.
  void (*softcap)(float* x, int64_t count, float cap);
  void (*softmax)(float* x, int64_t count);
  // y += scale * x
  void (*add_scaled)(const float* x, float scale, int64_t count, float* y);
  // BitNet b1.58 activations: x / |x| / sqrt(count), then to the nearest of the 255 multiples of
  // max / 127. y may be x.
  void (*quantize_row)(const float* x, int64_t count, float* y);

  // For measuring the machine. Reads every byte of [p, p + bytes), a multiple of 512, and gives a
  // value that depends on them. Runs eight independent chains of fused multiply-adds.
  float (*read_all)(const void* p, int64_t bytes);
  float (*multiply_add)(int64_t iterations);

  VocabularyKernels vocabulary;

  void (*kv_append[kKvElementCount])(const KvAppendArgs&);
  void (*attention[kKvElementCount])(const AttentionArgs&);
  void (*merge_attention)(const AttentionArgs&);
  // Null where there are no tiles.
  const TileAttention* tile_attention;
};

extern const KernelTable kKernelsScalar;
extern const KernelTable kKernelsAvx2;
extern const KernelTable kKernelsAvx512;
// Those of AVX-512 where VBMI2 is missing: sparse products are AVX2's.
extern const KernelTable kKernelsAvx512Vnni;
// Those of AVX-512, but weights in tiles.
extern const KernelTable kKernelsAmx;
extern const KernelTable kKernelsAmxEmulated;

}  // namespace brisk
