// Sparse weights with AVX-512 VBMI2: one instruction puts 32 words or 64 bytes back.
#include "compute/kernels/cpu/kernel_table.h"
#include "compute/kernels/cpu/vec_avx512.h"
// clang-format off
#include "compute/kernels/cpu/panel_rows_body.h"
// clang-format on

namespace brisk {
namespace {

constexpr int kSparseRows = 4;

struct Inputs32 {
  Vec first, second;
};
// Else compilers load the inputs again for each column: one operand of a multiply-add may lie in
// memory, but loads are what these loops are short of.
inline void keep_in_register(Vec& a) { asm("" : "+v"(a.v)); }

// The target of an expansion that zeroes depends on what it held before (seen on Zen 4: loops ran
// at its latency); a register that was just cleared does not.
inline __m512i cleared() {
  __m512i zeros = _mm512_setzero_si512();
  asm("" : "+v"(zeros));
  return zeros;
}
// From a register: expansions from memory are slower.
inline __m512i load_whole(const char* p) {
  __m512i values = _mm512_loadu_si512(p);
  asm("" : "+v"(values));
  return values;
}

struct SparseBF16 {
  static constexpr int kBytes = 2;
  static Inputs32 expand(uint32_t mask, const char* p) {
    const __m512i words = _mm512_mask_expand_epi16(cleared(), mask, load_whole(p));
    const __m512i odd = _mm512_set1_epi32(static_cast<int>(0xFFFF0000));
    return {{_mm512_castsi512_ps(_mm512_slli_epi32(words, 16))},
            {_mm512_castsi512_ps(_mm512_and_si512(words, odd))}};
  }
};

struct SparseF16 {
  static constexpr int kBytes = 2;
  static Inputs32 expand(uint32_t mask, const char* p) {
    const __m512i words = _mm512_mask_expand_epi16(cleared(), mask, load_whole(p));
    return {{_mm512_cvtph_ps(_mm512_castsi512_si256(words))},
            {_mm512_cvtph_ps(_mm512_extracti64x4_epi64(words, 1))}};
  }
};

struct SparseF32 {
  static constexpr int kBytes = 4;
  static Inputs32 expand(uint32_t mask, const char* p) {
    const __m512i first =
        _mm512_mask_expand_epi32(cleared(), static_cast<__mmask16>(mask), load_whole(p));
    p += 4 * __builtin_popcount(mask & 0xFFFF);
    const __m512i second =
        _mm512_mask_expand_epi32(cleared(), static_cast<__mmask16>(mask >> 16), load_whole(p));
    return {{_mm512_castsi512_ps(first)}, {_mm512_castsi512_ps(second)}};
  }
};

inline void expand_bytes(uint64_t mask, const char* p, int absent, char (&out)[64]) {
  const __m512i fill = _mm512_set1_epi8(static_cast<char>(absent));
  _mm512_storeu_si512(out, _mm512_mask_expand_epi8(fill, mask, load_whole(p)));
}

}  // namespace
}  // namespace brisk

// clang-format off
#include "compute/kernels/cpu/sparse_body.h"
// clang-format on

namespace brisk {
namespace {

// --- Codes: expanded into registers, then as in panels_avx512.cc. ---

template <SparseFormat F>
struct Codes {
  static constexpr SparseLayout kLayout = kSparseLayouts[static_cast<int>(F)];
  static constexpr int kOffset = kPanelLayouts[static_cast<int>(kLayout.dense)].offset;
  static constexpr int kStarts = 1;
  static_assert(kOffset == kLayout.absent);

  // 64 codes; moves `p` on.
  static __m512i next(uint64_t mask, const char*& p) {
    const __m512i fill = _mm512_set1_epi8(static_cast<char>(kLayout.absent));
    if constexpr (kLayout.value_bits == 8) {
      const __m512i bytes = load_whole(p);
      p += bits_set(mask);
      return _mm512_mask_expand_epi8(fill, mask, bytes);
    } else {
      const __m256i pairs = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
      const __m512i low = _mm512_cvtepu8_epi16(pairs);
      const __m512i both = _mm512_or_si512(low, _mm512_slli_epi16(low, 4));
      p += (bits_set(mask) + 1) / 2;
      return _mm512_mask_expand_epi8(fill, mask, _mm512_and_si512(both, _mm512_set1_epi8(15)));
    }
  }
};

inline __m512i four_inputs(const int8_t* codes) {
  int32_t four;
  __builtin_memcpy(&four, codes, 4);
  return _mm512_set1_epi32(four);
}

inline __m512 add_row(__m512 y, const RowRun& x, int64_t r, const __m512i (&w)[8], __m512 scale) {
  const int8_t* codes = x.codes + kGroupInputs * r;
  __m512i sum = _mm512_set1_epi32(x.starts[r]);
#pragma GCC unroll 8
  for (int j = 0; j < 8; ++j) sum = _mm512_dpbusd_epi32(sum, w[j], four_inputs(codes + 4 * j));
  const __m512 both = _mm512_mul_ps(scale, _mm512_set1_ps(x.scales[r]));
  return _mm512_fmadd_ps(both, _mm512_cvtepi32_ps(sum), y);
}

void finish(const SparseArgs& a, int64_t col, const __m512* acc) {
  const int64_t left = a.cols - col;
  const __mmask16 mask = first_lanes(left < kPanelColumns ? left : kPanelColumns);
  for (int64_t r = 0; r < a.rows; ++r) {
    float* y = a.y + r * a.y_stride + col;
    __m512 value = acc[r];
    if (a.bias != nullptr) {
      value = _mm512_add_ps(value, _mm512_maskz_loadu_ps(mask, a.bias + col));
    }
    if (a.add) value = _mm512_add_ps(_mm512_maskz_loadu_ps(mask, y), value);
    _mm512_mask_storeu_ps(y, mask, value);
  }
}

template <SparseFormat F>
void linear_codes(const SparseArgs& a) {
  for (int64_t col = 0; col < a.cols; col += kPanelColumns) {
    RowRun x = rows_from<Codes<F>>(a.rounded, 0);
    const char* p = panel_of(a.matrix, a.first_panel + col / kPanelColumns);
    __m512 acc[kRowBlock];
    for (int64_t r = 0; r < a.rows; ++r) acc[r] = _mm512_setzero_ps();
    for (int64_t k = 0; k < a.depth; k += kSparseBlockGroups * kGroupInputs) {
      const char* header = p;
      p += kSparseHeaderBytes + 8 * kSparseBlockMasks;
      for (int g = 0; g < kSparseBlockGroups; ++g) {
        const char* masks = header + kSparseHeaderBytes + 64 * g;
        __m512i w[8];
#pragma GCC unroll 8
        for (int j = 0; j < 8; ++j) w[j] = Codes<F>::next(wide_mask_at(masks + 8 * j), p);
        const __m512 scale =
            _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(header + 32 * g)));
        for (int64_t r = 0; r < a.rows; ++r) acc[r] = add_row(acc[r], x, r, w, scale);
        x.advance(1);
      }
    }
    finish(a, col, acc);
  }
}

}  // namespace

constexpr SparseKernels kSparseKernelsAvx512 = {{
    {.zeros_min = 50,
     .rows_max = kSparseRows,
     .linear = linear_floats<SparseBF16>,
     .unpack = unpack_floats<SparseBF16>},
    {.zeros_min = 50,
     .rows_max = kSparseRows,
     .linear = linear_floats<SparseF16>,
     .unpack = unpack_floats<SparseF16>},
    {.zeros_min = 50,
     .rows_max = kSparseRows,
     .linear = linear_floats<SparseF32>,
     .unpack = unpack_floats<SparseF32>},
    {.zeros_min = 40,
     .rows_max = kRowBlock,
     .linear = linear_codes<SparseFormat::kQ8_0>,
     .unpack = unpack_codes<SparseFormat::kQ8_0>},
    {.zeros_min = 60,
     .rows_max = kRowBlock,
     .linear = linear_codes<SparseFormat::kQ4_0>,
     .unpack = unpack_codes<SparseFormat::kQ4_0>},
}};

}  // namespace brisk
