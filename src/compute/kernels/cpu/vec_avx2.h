// 16 floats as two AVX2 registers. The three vec_*.h give the same results, bit for bit.
#pragma once

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#define BRISK_ISA_TABLE kKernelsAvx2
#define BRISK_ISA_PANELS kPanelKernelsAvx2
#define BRISK_ISA_SPARSE kSparseKernelsAvx2
#define BRISK_ISA_NAME "avx2"

namespace brisk {
namespace {

constexpr Isa kIsa = Isa::kAvx2;
constexpr int kTileRows = 3;
constexpr int kTileCols = 2;
constexpr int kDirectRows = 3;
constexpr int kQueriesTogether = 4;  // of attention

struct Vec {
  __m256 lo, hi;
};

// All ones in the first n of 8 lanes, n <= 0 and n >= 8 included.
inline __m256i first_lanes(int64_t n) {
  const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), lanes);
}

inline Vec zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
inline Vec splat(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
inline Vec load(const void* p) {
  const float* f = static_cast<const float*>(p);
  return {_mm256_loadu_ps(f), _mm256_loadu_ps(f + 8)};
}
inline Vec load_first(const void* p, int64_t n) {
  const float* f = static_cast<const float*>(p);
  return {_mm256_maskload_ps(f, first_lanes(n)), _mm256_maskload_ps(f + 8, first_lanes(n - 8))};
}
inline void store(void* p, Vec a) {
  float* f = static_cast<float*>(p);
  _mm256_storeu_ps(f, a.lo);
  _mm256_storeu_ps(f + 8, a.hi);
}
inline void store_first(void* p, Vec a, int64_t n) {
  float* f = static_cast<float*>(p);
  _mm256_maskstore_ps(f, first_lanes(n), a.lo);
  _mm256_maskstore_ps(f + 8, first_lanes(n - 8), a.hi);
}
inline Vec keep_first(Vec a, int64_t n) {
  return {_mm256_and_ps(a.lo, _mm256_castsi256_ps(first_lanes(n))),
          _mm256_and_ps(a.hi, _mm256_castsi256_ps(first_lanes(n - 8)))};
}

inline Vec fma(Vec a, Vec b, Vec c) {
  return {_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
}
inline Vec operator+(Vec a, Vec b) {
  return {_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)};
}
inline Vec operator-(Vec a, Vec b) {
  return {_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)};
}
inline Vec operator*(Vec a, Vec b) {
  return {_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)};
}
inline Vec operator/(Vec a, Vec b) {
  return {_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)};
}
inline Vec max(Vec a, Vec b) { return {_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)}; }
inline Vec min(Vec a, Vec b) { return {_mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi)}; }
inline Vec absolute(Vec a) {
  const __m256 sign = _mm256_set1_ps(-0.0f);
  return {_mm256_andnot_ps(sign, a.lo), _mm256_andnot_ps(sign, a.hi)};
}
inline Vec round_to_even(Vec a) {
  constexpr int kMode = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
  return {_mm256_round_ps(a.lo, kMode), _mm256_round_ps(a.hi, kMode)};
}
inline __m256 power_of_two_8(__m256 n) {
  const __m256i exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
  return _mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23));
}
// 2^n for whole n in [-126, 127].
inline Vec power_of_two(Vec n) { return {power_of_two_8(n.lo), power_of_two_8(n.hi)}; }
// `a` where x >= limit, else 0.
inline Vec zero_below(Vec a, Vec x, Vec limit) {
  return {_mm256_and_ps(a.lo, _mm256_cmp_ps(x.lo, limit.lo, _CMP_GE_OQ)),
          _mm256_and_ps(a.hi, _mm256_cmp_ps(x.hi, limit.hi, _CMP_GE_OQ))};
}

inline float sum(Vec a) {
  const __m256 eight = _mm256_add_ps(a.lo, a.hi);
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
}
inline float largest(Vec a) {
  const __m256 eight = _mm256_max_ps(a.lo, a.hi);
  const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_shuffle_ps(two, two, 1)));
}

// Bit i: a's lane i is below b's; not where either is NaN.
inline uint32_t lanes_below(Vec a, Vec b) {
  const int lo = _mm256_movemask_ps(_mm256_cmp_ps(a.lo, b.lo, _CMP_LT_OQ));
  const int hi = _mm256_movemask_ps(_mm256_cmp_ps(a.hi, b.hi, _CMP_LT_OQ));
  return static_cast<uint32_t>(lo | hi << 8);
}
// Writes first + i for each bit i of `lanes`, in order; how many. May write 16.
inline int64_t put_lanes(int32_t* out, uint32_t lanes, int32_t first) {
  int64_t count = 0;
  for (; lanes != 0; lanes &= lanes - 1) out[count++] = first + __builtin_ctz(lanes);
  return count;
}

// 16 doubles.
struct Wide {
  __m256d v[4];
};
inline Wide wide_zero() {
  const __m256d none = _mm256_setzero_pd();
  return {{none, none, none, none}};
}
inline Wide add_wide(Wide sums, Vec a) {
  return {{_mm256_add_pd(sums.v[0], _mm256_cvtps_pd(_mm256_castps256_ps128(a.lo))),
           _mm256_add_pd(sums.v[1], _mm256_cvtps_pd(_mm256_extractf128_ps(a.lo, 1))),
           _mm256_add_pd(sums.v[2], _mm256_cvtps_pd(_mm256_castps256_ps128(a.hi))),
           _mm256_add_pd(sums.v[3], _mm256_cvtps_pd(_mm256_extractf128_ps(a.hi, 1)))}};
}
inline void store_wide(double* p, Wide a) {
  for (int i = 0; i < 4; ++i) _mm256_storeu_pd(p + 4 * i, a.v[i]);
}

inline float f16_scalar(const void* p) {
  uint16_t bits;
  __builtin_memcpy(&bits, p, 2);
  return _cvtsh_ss(bits);
}
inline Vec load_f16(const void* p) {
  const __m128i* half = static_cast<const __m128i*>(p);
  return {_mm256_cvtph_ps(_mm_loadu_si128(half)), _mm256_cvtph_ps(_mm_loadu_si128(half + 1))};
}
inline __m256 bf16_8(__m128i bits) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
}
inline Vec load_bf16(const void* p) {
  const __m128i* half = static_cast<const __m128i*>(p);
  return {bf16_8(_mm_loadu_si128(half)), bf16_8(_mm_loadu_si128(half + 1))};
}
inline Vec widen_i8(__m128i bytes) {
  return {_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)),
          _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(bytes, 8)))};
}
inline Vec load_i8(const void* p) {
  return widen_i8(_mm_loadu_si128(static_cast<const __m128i*>(p)));
}
// The low or high halves of 16 bytes, as unsigned numbers minus 8.
inline Vec load_low_nibbles(const void* p) {
  const __m128i bytes = _mm_loadu_si128(static_cast<const __m128i*>(p));
  return widen_i8(_mm_sub_epi8(_mm_and_si128(bytes, _mm_set1_epi8(15)), _mm_set1_epi8(8)));
}
inline Vec load_high_nibbles(const void* p) {
  const __m128i bytes = _mm_srli_epi16(_mm_loadu_si128(static_cast<const __m128i*>(p)), 4);
  return widen_i8(_mm_sub_epi8(_mm_and_si128(bytes, _mm_set1_epi8(15)), _mm_set1_epi8(8)));
}
struct Nibbles {
  Vec low, high;
};
// Both halves of 16 bytes, as unsigned numbers.
inline Nibbles load_nibbles(const void* p) {
  const __m128i bytes = _mm_loadu_si128(static_cast<const __m128i*>(p));
  const __m256i first = _mm256_cvtepu8_epi32(bytes);
  const __m256i second = _mm256_cvtepu8_epi32(_mm_srli_si128(bytes, 8));
  const __m256i mask = _mm256_set1_epi32(15);
  return {{_mm256_cvtepi32_ps(_mm256_and_si256(first, mask)),
           _mm256_cvtepi32_ps(_mm256_and_si256(second, mask))},
          {_mm256_cvtepi32_ps(_mm256_srli_epi32(first, 4)),
           _mm256_cvtepi32_ps(_mm256_srli_epi32(second, 4))}};
}
inline void store_f16(void* p, Vec a) {
  constexpr int kMode = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
  __m128i* half = static_cast<__m128i*>(p);
  _mm_storeu_si128(half, _mm256_cvtps_ph(a.lo, kMode));
  _mm_storeu_si128(half + 1, _mm256_cvtps_ph(a.hi, kMode));
}
inline __m256i bf16_bits_8(__m256 a) {
  const __m256i bits = _mm256_castps_si256(a);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  const __m256i rounded = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7FFF)));
  const __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
  const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(a, a, _CMP_UNORD_Q));
  return _mm256_srli_epi32(_mm256_blendv_epi8(rounded, quiet, nan), 16);
}
inline void store_bf16(void* p, Vec a) {
  const __m256i packed = _mm256_packus_epi32(bf16_bits_8(a.lo), bf16_bits_8(a.hi));
  _mm256_storeu_si256(static_cast<__m256i*>(p), _mm256_permute4x64_epi64(packed, 0xD8));
}
// Whole numbers in [-127, 127].
inline void store_i8(void* p, Vec a) {
  const __m256i words = _mm256_packs_epi32(_mm256_cvtps_epi32(a.lo), _mm256_cvtps_epi32(a.hi));
  const __m256i ordered = _mm256_permute4x64_epi64(words, 0xD8);
  const __m128i bytes =
      _mm_packs_epi16(_mm256_castsi256_si128(ordered), _mm256_extracti128_si256(ordered, 1));
  _mm_storeu_si128(static_cast<__m128i*>(p), bytes);
}
// fp8 e4m3; see vec_scalar.h.
inline __m256 fp8_8(__m128i words) {
  const __m128i shifted = _mm_slli_epi16(words, 7);  // the sign is one bit too low
  const __m128i sign = _mm_and_si128(shifted, _mm_set1_epi16(0x4000));
  return _mm256_mul_ps(_mm256_cvtph_ps(_mm_add_epi16(shifted, sign)), _mm256_set1_ps(256.0f));
}
inline Vec load_fp8(const void* p) {
  const __m128i bytes = _mm_loadu_si128(static_cast<const __m128i*>(p));
  return {fp8_8(_mm_cvtepu8_epi16(bytes)), fp8_8(_mm_cvtepu8_epi16(_mm_srli_si128(bytes, 8)))};
}
inline __m256i fp8_codes_8(__m256 a) {
  const __m256i bits = _mm256_castps_si256(a);
  const __m256i sign = _mm256_and_si256(_mm256_srli_epi32(bits, 24), _mm256_set1_epi32(0x80));
  const __m256i magnitude = _mm256_and_si256(bits, _mm256_set1_epi32(0x7FFFFFFF));
  const __m256 grid = _mm256_set1_ps(16384.0f);
  const __m256i small =
      _mm256_sub_epi32(_mm256_castps_si256(_mm256_add_ps(_mm256_castsi256_ps(magnitude), grid)),
                       _mm256_castps_si256(grid));
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(magnitude, 20), _mm256_set1_epi32(1));
  const __m256i rounded =
      _mm256_add_epi32(magnitude, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7FFFF)));
  const __m256i normal =
      _mm256_sub_epi32(_mm256_srli_epi32(rounded, 20), _mm256_set1_epi32(120 << 3));
  const __m256i is_small = _mm256_cmpgt_epi32(_mm256_set1_epi32(0x3C800000), magnitude);
  return _mm256_or_si256(sign, _mm256_blendv_epi8(normal, small, is_small));
}
inline void store_fp8(void* p, Vec a) {
  const __m256i words = _mm256_packus_epi32(fp8_codes_8(a.lo), fp8_codes_8(a.hi));
  const __m256i ordered = _mm256_permute4x64_epi64(words, 0xD8);
  const __m128i bytes =
      _mm_packus_epi16(_mm256_castsi256_si128(ordered), _mm256_extracti128_si256(ordered, 1));
  _mm_storeu_si128(static_cast<__m128i*>(p), bytes);
}

}  // namespace
}  // namespace brisk
