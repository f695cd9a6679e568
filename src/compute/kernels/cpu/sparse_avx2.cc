// Sparse weights with AVX2: a table of shuffles puts eight values back at a time.
#include "compute/kernels/cpu/kernel_table.h"
#include "compute/kernels/cpu/vec_avx2.h"

namespace brisk {
namespace {

constexpr int kSparseRows = 1;

struct Inputs32 {
  Vec first, second;
};
inline void keep_in_register(Vec&) {}

constexpr unsigned char kAbsent = 0x80;  // vpshufb writes 0

// For each mask of 8: which of the packed values each place takes.
struct Places {
  unsigned char of[256][8];
};
constexpr Places make_places() {
  Places places = {};
  for (int mask = 0; mask < 256; ++mask) {
    unsigned char next = 0;
    for (int i = 0; i < 8; ++i) places.of[mask][i] = (mask >> i & 1) != 0 ? next++ : kAbsent;
  }
  return places;
}
constexpr Places kPlaces = make_places();

// The same for pairs of bytes.
struct PairPlaces {
  alignas(16) unsigned char of[256][16];
};
constexpr PairPlaces make_pair_places() {
  PairPlaces pairs = {};
  for (int mask = 0; mask < 256; ++mask) {
    for (int i = 0; i < 16; ++i) {
      const unsigned char place = kPlaces.of[mask][i / 2];
      pairs.of[mask][i] =
          place == kAbsent ? kAbsent : static_cast<unsigned char>(2 * place + i % 2);
    }
  }
  return pairs;
}
constexpr PairPlaces kPairPlaces = make_pair_places();

inline int bits_of_byte(uint32_t mask) { return __builtin_popcount(mask & 255); }

// 8 words of 16 bits.
inline __m128i expand_words(uint32_t mask, const char* p) {
  const __m128i places =
      _mm_load_si128(reinterpret_cast<const __m128i*>(kPairPlaces.of[mask & 255]));
  return _mm_shuffle_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)), places);
}
// 16 words.
inline __m256i expand_words_16(uint32_t mask, const char* p) {
  const __m128i low = expand_words(mask, p);
  return _mm256_inserti128_si256(_mm256_castsi128_si256(low),
                                 expand_words(mask >> 8, p + 2 * bits_of_byte(mask)), 1);
}

struct SparseBF16 {
  static constexpr int kBytes = 2;
  static Inputs32 expand(uint32_t mask, const char* p) {
    const __m256i low = expand_words_16(mask, p);
    const __m256i high = expand_words_16(mask >> 16, p + 2 * __builtin_popcount(mask & 0xFFFF));
    const __m256i odd = _mm256_set1_epi32(static_cast<int>(0xFFFF0000));
    return {{_mm256_castsi256_ps(_mm256_slli_epi32(low, 16)),
             _mm256_castsi256_ps(_mm256_slli_epi32(high, 16))},
            {_mm256_castsi256_ps(_mm256_and_si256(low, odd)),
             _mm256_castsi256_ps(_mm256_and_si256(high, odd))}};
  }
};

struct SparseF16 {
  static constexpr int kBytes = 2;
  static Vec expand_16(uint32_t mask, const char* p) {
    return {_mm256_cvtph_ps(expand_words(mask, p)),
            _mm256_cvtph_ps(expand_words(mask >> 8, p + 2 * bits_of_byte(mask)))};
  }
  static Inputs32 expand(uint32_t mask, const char* p) {
    return {expand_16(mask, p), expand_16(mask >> 16, p + 2 * __builtin_popcount(mask & 0xFFFF))};
  }
};

struct SparseF32 {
  static constexpr int kBytes = 4;
  static __m256 expand_8(uint32_t mask, const char* p) {
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(kPlaces.of[mask & 255]));
    const __m256i places = _mm256_cvtepi8_epi32(bytes);  // absent ones are negative
    const __m256i values = _mm256_permutevar8x32_epi32(
        _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)), places);
    return _mm256_castsi256_ps(_mm256_andnot_si256(_mm256_srai_epi32(places, 31), values));
  }
  static Vec expand_16(uint32_t mask, const char* p) {
    return {expand_8(mask, p), expand_8(mask >> 8, p + 4 * bits_of_byte(mask))};
  }
  static Inputs32 expand(uint32_t mask, const char* p) {
    return {expand_16(mask, p), expand_16(mask >> 16, p + 4 * __builtin_popcount(mask & 0xFFFF))};
  }
};

inline void expand_bytes(uint64_t mask, const char* p, int absent, char (&out)[64]) {
  const __m128i fill = _mm_set1_epi8(static_cast<char>(absent));
  for (int i = 0; i < 64; i += 8) {
    const auto byte = static_cast<uint32_t>(mask >> i & 255);
    const __m128i places = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(kPlaces.of[byte]));
    const __m128i values = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
    const __m128i expanded = _mm_blendv_epi8(_mm_shuffle_epi8(values, places), fill, places);
    _mm_storel_epi64(reinterpret_cast<__m128i*>(out + i), expanded);
    p += bits_of_byte(byte);
  }
}

}  // namespace
}  // namespace brisk

// clang-format off
#include "compute/kernels/cpu/sparse_body.h"
// clang-format on

namespace brisk {

constexpr SparseKernels kSparseKernelsAvx2 = {{
    {.zeros_min = 90,
     .rows_max = kSparseRows,
     .linear = linear_floats<SparseBF16>,
     .unpack = unpack_floats<SparseBF16>},
    {.zeros_min = 90,
     .rows_max = kSparseRows,
     .linear = linear_floats<SparseF16>,
     .unpack = unpack_floats<SparseF16>},
    {.zeros_min = 90,
     .rows_max = kSparseRows,
     .linear = linear_floats<SparseF32>,
     .unpack = unpack_floats<SparseF32>},
    {.zeros_min = 101,
     .rows_max = 0,
     .linear = nullptr,
     .unpack = unpack_codes<SparseFormat::kQ8_0>},
    {.zeros_min = 101,
     .rows_max = 0,
     .linear = nullptr,
     .unpack = unpack_codes<SparseFormat::kQ4_0>},
}};

}  // namespace brisk
