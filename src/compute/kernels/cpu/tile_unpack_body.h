// From the formats of tiles.h to tiles of bf16, with AVX-512. Include after a tile_ops_*.h.
#pragma once

#include <immintrin.h>

namespace brisk {
namespace {

inline __m512i load_512(const void* p) { return _mm512_loadu_si512(p); }

// 32 values to bf16, nearest even: `low` are the first 16. Subnormal values become zero.
inline __m512i to_bf16(__m512 low, __m512 high) {
  return reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(high, low));
}

// The factors of a unit's outputs as f32. They pass through memory on purpose: from there an
// instruction takes one for all its lanes, which from a register needs a shuffle.
struct UnitScales {
  alignas(64) float first[kTileOutputs];
  alignas(64) float second[kTileOutputs];  // a minimum to add, or the scale of inputs 16..31
};

// Both halves of 32 factors: `convert` makes 16 from where they lie.
template <class C>
inline void fill(float* out, const C& convert) {
  _mm512_store_ps(out, convert(0));
  _mm512_store_ps(out + 16, convert(1));
}

inline __m512 f16_16(const char* p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
inline __m512 u8_16(const char* p) {
  return _mm512_cvtepi32_ps(
      _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
}
inline __m512 i8_16(const char* p) {
  return _mm512_cvtepi32_ps(
      _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
}
inline __m512 bf16_16(const char* p) {
  const __m256i words = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(words), 16));
}

// How scales lie after a unit's codes (and in its block's header).
struct HalfScales {
  static constexpr bool kMinimum = false;
  static void fill_scales(const char*, const char* at, UnitScales& s) {
    fill(s.first, [&](int h) { return f16_16(at + 32 * h); });
  }
};
struct HalfScalesAndMinimums {
  static constexpr bool kMinimum = true;
  static void fill_scales(const char*, const char* at, UnitScales& s) {
    fill(s.first, [&](int h) { return f16_16(at + 32 * h); });
    fill(s.second, [&](int h) { return f16_16(at + 64 + 32 * h); });
  }
};
struct Bf16Scales {
  static constexpr bool kMinimum = false;
  static void fill_scales(const char*, const char* at, UnitScales& s) {
    fill(s.first, [&](int h) { return bf16_16(at + 32 * h); });
  }
};
// f16 times a small integer is exact in f32, and so is that times a code: whatever the order, a
// weight is rounded once when its minimum is subtracted, as in the format's definition.
struct StepsAndMinimums {
  static constexpr bool kMinimum = true;
  static void fill_scales(const char* header, const char* at, UnitScales& s) {
    fill(s.first,
         [&](int h) { return _mm512_mul_ps(f16_16(header + 32 * h), u8_16(at + 16 * h)); });
    fill(s.second, [&](int h) {
      const __m512 positive = _mm512_mul_ps(f16_16(header + 64 + 32 * h), u8_16(at + 32 + 16 * h));
      return _mm512_sub_ps(_mm512_setzero_ps(), positive);
    });
  }
};
// scale * zero is exact, so that a weight is rounded once here too.
template <TileFormat F>
struct ScalesAndZeros {
  static constexpr bool kMinimum = true;
  static void fill_scales(const char*, const char* at, UnitScales& s) {
    constexpr bool kHalf = F == TileFormat::kInt4;
    const auto scale = [&](int h) {
      return kHalf ? f16_16(at + 32 * h) : _mm512_loadu_ps(at + 64 * h);
    };
    fill(s.first, scale);
    fill(s.second, [&](int h) {
      const __m512 zero = u8_16(at + (kHalf ? 64 : 128) + 16 * h);
      return _mm512_sub_ps(_mm512_setzero_ps(), _mm512_mul_ps(scale(h), zero));
    });
  }
};
struct StepsOfHalves {
  static constexpr bool kMinimum = false;
  static void fill_scales(const char* header, const char* at, UnitScales& s) {
    fill(s.first,
         [&](int h) { return _mm512_mul_ps(f16_16(header + 32 * h), i8_16(at + 16 * h)); });
    fill(s.second,
         [&](int h) { return _mm512_mul_ps(f16_16(header + 32 * h), i8_16(at + 32 + 16 * h)); });
  }
};

// What codes stand for before their scale.
alignas(64) constexpr float kFrom0[32] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10,
                                          11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21,
                                          22, 23, 24, 25, 26, 27, 28, 29, 30, 31};
alignas(64) constexpr float kFromMinus8[16] = {-8, -7, -6, -5, -4, -3, -2, -1,
                                               0,  1,  2,  3,  4,  5,  6,  7};
alignas(64) constexpr float kFromMinus16[32] = {-16, -15, -14, -13, -12, -11, -10, -9, -8, -7, -6,
                                                -5,  -4,  -3,  -2,  -1,  0,   1,   2,  3,  4,  5,
                                                6,   7,   8,   9,   10,  11,  12,  13, 14, 15};
alignas(64) constexpr float kIq4Levels[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                              1,    13,   25,  38,  53,  69,  89,  113};
alignas(64) constexpr float kMxfp4Levels[16] = {0, 1,  2,  3,  4,  6,  8,  12,
                                                0, -1, -2, -3, -4, -6, -8, -12};

// The weights that the 16 levels stand for in one output.
template <class S>
inline __m512 weights_of(const float* levels, const UnitScales& s, int output) {
  const __m512 values = _mm512_load_ps(levels), scale = _mm512_set1_ps(s.first[output]);
  if constexpr (S::kMinimum) {
    return _mm512_fmadd_ps(values, scale, _mm512_set1_ps(s.second[output]));
  } else {
    return _mm512_mul_ps(values, scale);
  }
}

template <int N>
inline __m512i shift_right(__m512i words) {
  if constexpr (N > 0) return _mm512_srli_epi16(words, N);
  if constexpr (N < 0) return _mm512_slli_epi16(words, -N);
  return words;
}

inline void store_row(char* out, int output, __m512i row) {
  _mm512_store_si512(out + 64 * output, row);
}

// Formats with codes of a kind. rows<O> unpacks output O of a unit whose codes begin at `codes`.
// 4 and 5 bits: a table of the output's 32 possible weights in bf16, looked up by code. Of a word's
// bits the lookup reads the low five only; with 16 levels the table has them twice, so that the
// fifth, a neighbour's, does not matter.
template <class S, const float* kLevels>
struct FourBits : S {
  template <int O>
  static void row(const char* codes, const UnitScales& s, char* out) {
    const __m512 weights = weights_of<S>(kLevels, s, O);
    const __m512i index = shift_right<O % 4 * 4>(load_512(codes + 64 * (O / 4)));
    store_row(out, O, _mm512_permutexvar_epi16(index, to_bf16(weights, weights)));
  }
};

template <class S, const float* kLevels>
struct FiveBits : S {
  template <int O>
  static void row(const char* codes, const UnitScales& s, char* out) {
    const __m512 low = weights_of<S>(kLevels, s, O), high = weights_of<S>(kLevels + 16, s, O);
    const __m512i four = shift_right<O % 4 * 4>(load_512(codes + 64 * (O / 4)));
    const __m512i fifth = shift_right<O % 16 - 4>(load_512(codes + 512 + 64 * (O / 16)));
    // Bits 0..3 of `four`, the others of `fifth`.
    const __m512i index = _mm512_ternarylogic_epi32(_mm512_set1_epi16(15), four, fifth, 0xCA);
    store_row(out, O, _mm512_permutexvar_epi16(index, to_bf16(low, high)));
  }
};

struct SixBits : StepsOfHalves {
  template <int O>
  static void row(const char* codes, const UnitScales& s, char* out) {
    const __m512i four = shift_right<O % 4 * 4>(load_512(codes + 64 * (O / 4)));
    const __m512i two = shift_right<O % 8 * 2 - 4>(load_512(codes + 512 + 64 * (O / 8)));
    const __m512i all = _mm512_ternarylogic_epi32(_mm512_set1_epi16(15), four, two, 0xCA);
    const __m512i code = _mm512_and_si512(all, _mm512_set1_epi16(63));
    // A code below the exponent of 2^23 is 2^23 + code, whose difference to 2^23 + 32 is exact.
    const __m512i exponent = _mm512_set1_epi16(0x4B00);
    const __m512 origin = _mm512_set1_ps(0x1p23f + 32);
    const __m512 low = _mm512_castsi512_ps(_mm512_unpacklo_epi16(code, exponent));
    const __m512 high = _mm512_castsi512_ps(_mm512_unpackhi_epi16(code, exponent));
    store_row(out, O,
              to_bf16(_mm512_mul_ps(_mm512_sub_ps(low, origin), _mm512_set1_ps(s.first[O])),
                      _mm512_mul_ps(_mm512_sub_ps(high, origin), _mm512_set1_ps(s.second[O]))));
  }
};

template <class S>
struct EightBits : S {
  template <int O>
  static void row(const char* codes, const UnitScales& s, char* out) {
    const __m512 scale = _mm512_set1_ps(s.first[O]);
    store_row(out, O,
              to_bf16(_mm512_mul_ps(i8_16(codes + 32 * O), scale),
                      _mm512_mul_ps(i8_16(codes + 32 * O + 16), scale)));
  }
};

// Tiles as they lie: nothing to unpack.
struct WholeTiles {};

template <TileFormat F>
struct CodesOf;
template <>
struct CodesOf<TileFormat::kQ4_0> : FourBits<HalfScales, kFromMinus8> {};
template <>
struct CodesOf<TileFormat::kQ4_1> : FourBits<HalfScalesAndMinimums, kFrom0> {};
template <>
struct CodesOf<TileFormat::kQ4_K> : FourBits<StepsAndMinimums, kFrom0> {};
template <>
struct CodesOf<TileFormat::kIQ4_NL> : FourBits<HalfScales, kIq4Levels> {};
template <>
struct CodesOf<TileFormat::kMXFP4> : FourBits<Bf16Scales, kMxfp4Levels> {};
template <>
struct CodesOf<TileFormat::kQ5_0> : FiveBits<HalfScales, kFromMinus16> {};
template <>
struct CodesOf<TileFormat::kQ5_1> : FiveBits<HalfScalesAndMinimums, kFrom0> {};
template <>
struct CodesOf<TileFormat::kQ5_K> : FiveBits<StepsAndMinimums, kFrom0> {};
template <>
struct CodesOf<TileFormat::kQ6_K> : SixBits {};
template <>
struct CodesOf<TileFormat::kQ8_0> : EightBits<HalfScales> {};
template <>
struct CodesOf<TileFormat::kBF16> : WholeTiles {};
template <>
struct CodesOf<TileFormat::kInt4> : FourBits<ScalesAndZeros<TileFormat::kInt4>, kFrom0> {};
template <>
struct CodesOf<TileFormat::kInt4Wide> : FourBits<ScalesAndZeros<TileFormat::kInt4Wide>, kFrom0> {};

// One unit of a format on its way into `out`, the two tiles. In eighths (4 outputs each), so that a
// caller can put tile instructions between them.
template <TileFormat F>
struct UnitUnpacking {
  static constexpr TileLayout kLayout = kTileLayouts[static_cast<int>(F)];
  static constexpr bool kInPlace = F == TileFormat::kBF16;

  // The `index`-th unit of the stream that begins with a block at `stream`.
  static const char* unit_at(const char* stream, int64_t index) {
    return block_at(stream, index) + kLayout.header_bytes +
           index % kLayout.units * kLayout.unit_bytes();
  }
  static const char* block_at(const char* stream, int64_t index) {
    return stream + index / kLayout.units * kLayout.block_bytes();
  }

  UnitUnpacking(const char* stream, int64_t index, char* to)
      : codes(unit_at(stream, index)), out(to) {
    if constexpr (!kInPlace) {
      CodesOf<F>::fill_scales(block_at(stream, index), codes + kLayout.code_bytes, scales);
      asm volatile("" ::: "memory");  // so that the scales really are read from memory
    }
  }

  template <int P>
  void eighth() {
    if constexpr (!kInPlace) {
      CodesOf<F>::template row<4 * P>(codes, scales, out);
      CodesOf<F>::template row<4 * P + 1>(codes, scales, out);
      CodesOf<F>::template row<4 * P + 2>(codes, scales, out);
      CodesOf<F>::template row<4 * P + 3>(codes, scales, out);
    }
  }
  void all() {
    eighth<0>();
    eighth<1>();
    eighth<2>();
    eighth<3>();
    eighth<4>();
    eighth<5>();
    eighth<6>();
    eighth<7>();
  }

  const char* codes;
  char* out;
  UnitScales scales;
};

}  // namespace
}  // namespace brisk
