// 16 floats as an array: the definition that the other vec_*.h must equal, bit for bit.
#pragma once

#include <stddef.h>
#include <stdint.h>

#define BRISK_ISA_TABLE kKernelsScalar
#define BRISK_ISA_PANELS kPanelKernelsScalar
#define BRISK_ISA_SPARSE kSparseKernelsScalar
#define BRISK_ISA_NAME "scalar"

namespace brisk {
namespace {

constexpr Isa kIsa = Isa::kScalar;
constexpr int kTileRows = 1;
constexpr int kTileCols = 2;
constexpr int kDirectRows = 1;
constexpr int kQueriesTogether = 4;  // of attention
constexpr int kLanes = 16;

struct Vec {
  float v[kLanes];
};

template <class F>
inline Vec each(F f) {
  Vec r;
  for (int i = 0; i < kLanes; ++i) r.v[i] = f(i);
  return r;
}

inline uint32_t bits_of(float x) {
  uint32_t bits;
  __builtin_memcpy(&bits, &x, 4);
  return bits;
}
inline float float_of(uint32_t bits) {
  float x;
  __builtin_memcpy(&x, &bits, 4);
  return x;
}

inline Vec zero() { return Vec{}; }
inline Vec splat(float x) {
  return each([&](int) { return x; });
}
inline Vec load(const void* p) {
  Vec r;
  __builtin_memcpy(r.v, p, sizeof r.v);
  return r;
}
inline Vec load_first(const void* p, int64_t n) {
  Vec r{};
  __builtin_memcpy(r.v, p, static_cast<size_t>(n) * sizeof(float));
  return r;
}
inline void store(void* p, Vec a) { __builtin_memcpy(p, a.v, sizeof a.v); }
inline void store_first(void* p, Vec a, int64_t n) {
  __builtin_memcpy(p, a.v, static_cast<size_t>(n) * sizeof(float));
}
inline Vec keep_first(Vec a, int64_t n) {
  return each([&](int i) { return i < n ? a.v[i] : 0.0f; });
}

inline Vec fma(Vec a, Vec b, Vec c) {
  return each([&](int i) { return __builtin_fmaf(a.v[i], b.v[i], c.v[i]); });
}
inline Vec operator+(Vec a, Vec b) {
  return each([&](int i) { return a.v[i] + b.v[i]; });
}
inline Vec operator-(Vec a, Vec b) {
  return each([&](int i) { return a.v[i] - b.v[i]; });
}
inline Vec operator*(Vec a, Vec b) {
  return each([&](int i) { return a.v[i] * b.v[i]; });
}
inline Vec operator/(Vec a, Vec b) {
  return each([&](int i) { return a.v[i] / b.v[i]; });
}
// As the x86 instructions: the second operand when either is NaN.
inline Vec max(Vec a, Vec b) {
  return each([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
}
inline Vec min(Vec a, Vec b) {
  return each([&](int i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; });
}
inline Vec absolute(Vec a) {
  return each([&](int i) { return __builtin_fabsf(a.v[i]); });
}
inline Vec round_to_even(Vec a) {
  return each([&](int i) { return __builtin_rintf(a.v[i]); });
}
// 2^n for whole n in [-126, 127].
inline Vec power_of_two(Vec n) {
  return each([&](int i) {
    const bool whole = n.v[i] >= -126 && n.v[i] <= 127;  // NaN has no meaning here, but no trap
    return float_of(static_cast<uint32_t>((whole ? static_cast<int>(n.v[i]) : 0) + 127) << 23);
  });
}
// `a` where x >= limit, else 0.
inline Vec zero_below(Vec a, Vec x, Vec limit) {
  return each([&](int i) { return x.v[i] >= limit.v[i] ? a.v[i] : 0.0f; });
}

inline float sum(Vec a) {
  for (int half = kLanes / 2; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) a.v[i] += a.v[i + half];
  }
  return a.v[0];
}
inline float largest(Vec a) {
  float best = a.v[0];
  for (int i = 1; i < kLanes; ++i) best = a.v[i] > best ? a.v[i] : best;
  return best;
}

// Bit i: a's lane i is below b's; not where either is NaN.
inline uint32_t lanes_below(Vec a, Vec b) {
  uint32_t lanes = 0;
  for (int i = 0; i < kLanes; ++i) lanes |= (a.v[i] < b.v[i] ? 1u : 0u) << i;
  return lanes;
}
// Writes first + i for each bit i of `lanes`, in order; how many. May write 16.
inline int64_t put_lanes(int32_t* out, uint32_t lanes, int32_t first) {
  int64_t count = 0;
  for (; lanes != 0; lanes &= lanes - 1) out[count++] = first + __builtin_ctz(lanes);
  return count;
}

// 16 doubles.
struct Wide {
  double v[kLanes];
};
inline Wide wide_zero() { return Wide{}; }
inline Wide add_wide(Wide sums, Vec a) {
  for (int i = 0; i < kLanes; ++i) sums.v[i] += static_cast<double>(a.v[i]);
  return sums;
}
inline void store_wide(double* p, Wide a) { __builtin_memcpy(p, a.v, sizeof a.v); }

inline uint16_t u16_at(const void* p, int i) {
  uint16_t bits;
  __builtin_memcpy(&bits, static_cast<const char*>(p) + 2 * i, 2);
  return bits;
}
inline float f16_to_float(uint16_t bits) {
  const uint32_t sign = (bits & 0x8000u) << 16;
  const uint32_t magnitude = bits & 0x7FFFu;
  if (magnitude >= 0x7C00) return float_of(sign | 0x7F800000u | (magnitude & 0x3FFu) << 13);
  if (magnitude < 0x400) {
    return float_of(sign | bits_of(static_cast<float>(magnitude) * 0x1p-24f));
  }
  return float_of(sign | ((magnitude << 13) + (112u << 23)));
}
inline uint16_t float_to_f16(float x) {
  const uint32_t bits = bits_of(x);
  const uint32_t sign = bits >> 16 & 0x8000u;
  const uint32_t magnitude = bits & 0x7FFFFFFFu;
  if (magnitude > 0x7F800000u) {
    return static_cast<uint16_t>(sign | 0x7E00u | (magnitude >> 13 & 0x3FFu));
  }
  if (magnitude >= 0x477FF000u) return static_cast<uint16_t>(sign | 0x7C00u);
  if (magnitude < 0x38800000u) {
    const float shifted = float_of(magnitude) + 0.5f;
    return static_cast<uint16_t>(sign | (bits_of(shifted) - 0x3F000000u));
  }
  const uint32_t rounded = magnitude + 0xFFFu + (magnitude >> 13 & 1u);
  return static_cast<uint16_t>(sign | ((rounded - (112u << 23)) >> 13));
}
inline float f16_scalar(const void* p) { return f16_to_float(u16_at(p, 0)); }
inline Vec load_f16(const void* p) {
  return each([&](int i) { return f16_to_float(u16_at(p, i)); });
}
inline Vec load_bf16(const void* p) {
  return each([&](int i) { return float_of(static_cast<uint32_t>(u16_at(p, i)) << 16); });
}
inline Vec load_i8(const void* p) {
  return each([&](int i) { return static_cast<float>(static_cast<const int8_t*>(p)[i]); });
}
// The low or high halves of 16 bytes, as unsigned numbers minus 8.
inline Vec load_low_nibbles(const void* p) {
  return each(
      [&](int i) { return static_cast<float>((static_cast<const uint8_t*>(p)[i] & 15) - 8); });
}
inline Vec load_high_nibbles(const void* p) {
  return each(
      [&](int i) { return static_cast<float>((static_cast<const uint8_t*>(p)[i] >> 4) - 8); });
}
struct Nibbles {
  Vec low, high;
};
// Both halves of 16 bytes, as unsigned numbers.
inline Nibbles load_nibbles(const void* p) {
  const uint8_t* bytes = static_cast<const uint8_t*>(p);
  return {each([&](int i) { return static_cast<float>(bytes[i] & 15); }),
          each([&](int i) { return static_cast<float>(bytes[i] >> 4); })};
}
inline void store_f16(void* p, Vec a) {
  for (int i = 0; i < kLanes; ++i) {
    const uint16_t bits = float_to_f16(a.v[i]);
    __builtin_memcpy(static_cast<char*>(p) + 2 * i, &bits, 2);
  }
}
inline void store_bf16(void* p, Vec a) {
  for (int i = 0; i < kLanes; ++i) {
    const uint32_t bits = bits_of(a.v[i]);
    const bool nan = (bits & 0x7FFFFFFFu) > 0x7F800000u;
    const uint32_t kept = nan ? bits | 0x400000u : bits + 0x7FFFu + (bits >> 16 & 1u);
    const uint16_t high = static_cast<uint16_t>(kept >> 16);
    __builtin_memcpy(static_cast<char*>(p) + 2 * i, &high, 2);
  }
}
// Whole numbers in [-127, 127].
inline void store_i8(void* p, Vec a) {
  for (int i = 0; i < kLanes; ++i) {
    const bool whole = a.v[i] >= -127 && a.v[i] <= 127;  // NaN has no meaning here, but no trap
    static_cast<int8_t*>(p)[i] = static_cast<int8_t>(whole ? static_cast<int>(a.v[i]) : 0);
  }
}
// fp8 e4m3: sign, 4 bits of exponent (bias 7), 3 of mantissa; read by way of f16, whose bias is 8
// more.
inline Vec load_fp8(const void* p) {
  return each([&](int i) {
    const unsigned bits = static_cast<const uint8_t*>(p)[i];
    return f16_to_float(static_cast<uint16_t>((bits & 0x80u) << 8 | (bits & 0x7Fu) << 7)) * 256.0f;
  });
}
// To nearest, ties to even. Numbers in [-448, 448].
inline void store_fp8(void* p, Vec a) {
  for (int i = 0; i < kLanes; ++i) {
    const uint32_t bits = bits_of(a.v[i]);
    const uint32_t sign = bits >> 24 & 0x80u, magnitude = bits & 0x7FFFFFFFu;
    // Below 2^-6 steps are 2^-9; above, 20 bits of mantissa go.
    const uint32_t small = bits_of(float_of(magnitude) + 16384.0f) - bits_of(16384.0f);
    const uint32_t normal = ((magnitude + 0x7FFFFu + (magnitude >> 20 & 1u)) >> 20) - (120u << 3);
    const uint32_t code = magnitude < 0x3C800000u ? small : normal;
    static_cast<uint8_t*>(p)[i] = static_cast<uint8_t>(sign | code);
  }
}

}  // namespace
}  // namespace brisk
