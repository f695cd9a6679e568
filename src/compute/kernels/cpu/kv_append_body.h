// How keys and values get into the blocks of the KV cache, written once over Vec. Include after
// elementwise_body.h.
#pragma once

namespace brisk {
namespace {

// kMax: 0, or the largest number that elements hold; they are then scaled by token and head.
// Int4Kv, whose values share bytes, has functions of its own.
struct F32Kv {
  static constexpr int64_t kBytes = 4;
  static constexpr float kMax = 0;
  static Vec load(const char* p) { return brisk::load(p); }
  static void store(char* p, Vec a) { brisk::store(p, a); }
};
struct F16Kv {
  static constexpr int64_t kBytes = 2;
  static constexpr float kMax = 0;
  static Vec load(const char* p) { return load_f16(p); }
  static void store(char* p, Vec a) { store_f16(p, a); }
};
struct BF16Kv {
  static constexpr int64_t kBytes = 2;
  static constexpr float kMax = 0;
  static Vec load(const char* p) { return load_bf16(p); }
  static void store(char* p, Vec a) { store_bf16(p, a); }
};
struct Int8Kv {
  static constexpr int64_t kBytes = 1;
  static constexpr float kMax = 127;
  static Vec load(const char* p) { return load_i8(p); }
  static void store(char* p, Vec a) { store_i8(p, round_to_even(a)); }
};
struct Fp8Kv {
  static constexpr int64_t kBytes = 1;
  static constexpr float kMax = 448;
  static Vec load(const char* p) { return load_fp8(p); }
  static void store(char* p, Vec a) { store_fp8(p, a); }
};

struct Int4Kv {
  static constexpr float kMax = 0;
};
template <class E>
constexpr bool kIsInt4 = __is_same(E, Int4Kv);

// The scale of one token's vector, and what its elements are multiplied with.
struct TokenScale {
  float scale, inverse;
};
template <class E>
inline TokenScale scale_of(const float* x, int64_t dim) {
  Vec top = zero();
  each_16(dim, [&](int64_t d, int64_t n) { top = max(absolute(load_first(x + d, n)), top); });
  const float most = largest(top);
  if (!(most > 1e-30f)) return {0, 0};
  return {most * (1.0f / E::kMax), E::kMax / most};
}

// What is scaled never exceeds kMax, but for a rounding of the inverse.
template <class E>
inline Vec scaled(Vec x, float inverse) {
  return min(max(x * splat(inverse), splat(-E::kMax)), splat(E::kMax));
}

template <class E>
void kv_append(const KvAppendArgs& a) {
  char* keys = static_cast<char*>(a.keys) + a.slot * E::kBytes;
  char* values = static_cast<char*>(a.values) + a.slot * a.value_stride * E::kBytes;
  TokenScale key = {1, 1}, value = {1, 1};
  if constexpr (E::kMax != 0) {
    key = scale_of<E>(a.key, a.head_dim);
    value = scale_of<E>(a.value, a.head_dim);
    char* key_scales = static_cast<char*>(a.keys) + a.head_dim * kKvBlockTokens;
    char* value_scales = static_cast<char*>(a.values) + a.value_stride * kKvBlockTokens;
    __builtin_memcpy(key_scales + 4 * a.slot, &key.scale, 4);
    __builtin_memcpy(value_scales + 4 * a.slot, &value.scale, 4);
  }
  each_16(a.head_dim, [&](int64_t d, int64_t n) {
    char column[16 * E::kBytes];
    Vec k = load_first(a.key + d, n), v = load_first(a.value + d, n);
    if constexpr (E::kMax != 0) {
      k = scaled<E>(k, key.inverse);
      v = scaled<E>(v, value.inverse);
    }
    E::store(column, k);
    for (int64_t i = 0; i < n; ++i) {
      __builtin_memcpy(keys + (d + i) * kKvBlockTokens * E::kBytes, column + i * E::kBytes,
                       static_cast<size_t>(E::kBytes));
    }
    E::store(values + d * E::kBytes, v);
  });
}

// What code * scale + minimum spans, for one token and group of at most 32 dimensions.
struct GroupSpan {
  float scale, minimum, inverse;
};
inline float rounded_to_bf16(float x) {
  char bytes[32];
  store_bf16(bytes, splat(x));
  return largest(load_bf16(bytes));
}
// The first n of 16 values, the others equal to the first.
inline Vec load_repeated(const float* x, int64_t n) {
  const Vec first = splat(x[0]);
  return load_first(x, n) + (first - keep_first(first, n));
}
inline GroupSpan span_of(const float* x, int64_t n) {
  const Vec low = load_repeated(x, n < 16 ? n : 16);
  const Vec high = n > 16 ? load_repeated(x + 16, n - 16) : low;
  const float most = largest(max(low, high));
  const float minimum = rounded_to_bf16(-largest(zero() - min(low, high)));
  const float scale = rounded_to_bf16((most - minimum) * (1.0f / 15));
  if (!(scale > 1e-30f)) return {0, minimum, 0};
  return {scale, minimum, 1.0f / scale};
}

// The codes of 16 values as bytes, zero from the nth on.
inline void codes_of(const float* x, int64_t n, const GroupSpan& span, uint8_t* codes) {
  const Vec steps = (load_first(x, n) - splat(span.minimum)) * splat(span.inverse);
  const Vec clipped = min(max(round_to_even(steps), zero()), splat(15));
  store_i8(codes, keep_first(clipped, n));
}

// Writes a group's scale and minimum for token `slot` and gives its codes.
inline void append_group(const float* x, int64_t n, char* scales, int64_t slot, uint8_t* codes) {
  const GroupSpan span = span_of(x, n);
  char bytes[32];
  store_bf16(bytes, splat(span.scale));
  __builtin_memcpy(scales + 2 * slot, bytes, 2);
  store_bf16(bytes, splat(span.minimum));
  __builtin_memcpy(scales + 2 * (kKvBlockTokens + slot), bytes, 2);
  codes_of(x, n < 16 ? n : 16, span, codes);
  codes_of(x + 16, n < 16 ? 0 : n - 16, span, codes + 16);
}

constexpr int64_t kInt4ScaleBytes =
    kKvElementLayouts[static_cast<int>(KvElement::kInt4)].scale_bytes;

// Where the scales of int4 begin behind the keys and the values of a block and head, and a token's
// values.
inline int64_t int4_key_bytes(int64_t head_dim) { return (head_dim + 1) / 2 * kKvBlockTokens; }
inline int64_t int4_value_row(int64_t value_stride) { return (value_stride + 16) / 32 * 16; }

void kv_append_int4(const KvAppendArgs& a) {
  char* const keys = static_cast<char*>(a.keys);
  char* const values = static_cast<char*>(a.values);
  char* key_scales = keys + int4_key_bytes(a.head_dim);
  char* value_scales = values + int4_value_row(a.value_stride) * kKvBlockTokens;
  char* row = values + a.slot * int4_value_row(a.value_stride);
  for (int64_t d = 0; d < a.head_dim; d += kKvInt4Group) {
    const int64_t n = a.head_dim - d < kKvInt4Group ? a.head_dim - d : kKvInt4Group;
    uint8_t codes[kKvInt4Group];
    append_group(a.key + d, n, key_scales, a.slot, codes);
    for (int64_t i = 0; i < n; i += 2) {
      keys[(d + i) / 2 * kKvBlockTokens + a.slot] = static_cast<char>(codes[i] | codes[i + 1] << 4);
    }
    append_group(a.value + d, n, value_scales, a.slot, codes);
    for (int64_t i = 0; i < 16; ++i) row[i] = static_cast<char>(codes[i] | codes[i + 16] << 4);
    key_scales += kInt4ScaleBytes, value_scales += kInt4ScaleBytes, row += 16;
  }
}

}  // namespace
}  // namespace brisk
