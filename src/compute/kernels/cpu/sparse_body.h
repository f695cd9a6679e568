// Sparse products and their way back to dense, written once over Vec, formats of floats and
// expand_bytes. Include after a vec_*.h and what it says below.
//
// A format of floats W has kBytes of a value and expand(mask, p), 32 weights as `Inputs32` from the
// values at p. expand_bytes(mask, p, absent, out) writes 64 bytes: the next one from p where a bit
// is set, else `absent`.
#pragma once

namespace brisk {
namespace {

inline uint32_t mask_at(const char* p) {
  uint32_t mask;
  __builtin_memcpy(&mask, p, 4);
  return mask;
}
inline uint64_t wide_mask_at(const char* p) {
  uint64_t mask;
  __builtin_memcpy(&mask, p, 8);
  return mask;
}
inline int64_t bits_set(uint32_t mask) { return static_cast<uint32_t>(__builtin_popcount(mask)); }
inline int64_t bits_set(uint64_t mask) { return static_cast<uint32_t>(__builtin_popcountll(mask)); }

inline const char* panel_of(const void* matrix, int64_t panel) {
  uint64_t offset;
  __builtin_memcpy(&offset, static_cast<const char*>(matrix) + 8 * panel, 8);
  return static_cast<const char*>(matrix) + offset;
}

// --- Floats ---

struct WholeUnit {  // as a number of inputs that compilers know
  constexpr operator int64_t() const { return kSparseUnitInputs; }
};

// Calls step(k, n, next) for the inputs [k, k + n) of the quad at `p`, unit by unit, which takes
// next(c) for each of its columns in order; where the quad ends.
template <class W, class Step>
inline const char* walk_quad(const char* p, int64_t depth, Step step) {
  constexpr int kUnitMasks = 4 * kSparseQuadColumns;  // bytes
  constexpr int64_t kBlockInputs = kSparseBlockUnits * kSparseUnitInputs;
  for (int64_t k = 0; k < depth;) {
    const int64_t end = depth - k < kBlockInputs ? depth : k + kBlockInputs;
    const char* masks = p;
    p += (end - k + kSparseUnitInputs - 1) / kSparseUnitInputs * kUnitMasks;
    const auto next = [&](int c) __attribute__((always_inline)) {
      const uint32_t mask = mask_at(masks + 4 * c);
      const Inputs32 weights = W::expand(mask, p);
      p += W::kBytes * bits_set(mask);
      return weights;
    };
    for (; k + kSparseUnitInputs <= end; k += kSparseUnitInputs, masks += kUnitMasks) {
      step(k, WholeUnit{}, next);
    }
    if (k < end) step(k, end - k, next);
    k = end;
  }
  return p;
}

// Rows [row, row + R) times a quad. The lanes of each accumulator are those of the dense kernels.
template <class W, int R>
inline const char* multiply_quad(const SparseArgs& a, const char* p, int64_t row, int64_t col) {
  constexpr int C = kSparseQuadColumns;
  Vec acc[R][C];
  for (int r = 0; r < R; ++r) {
    for (int c = 0; c < C; ++c) acc[r][c] = zero();
  }
  const float* x = a.x + row * a.x_stride;
  p = walk_quad<W>(p, a.depth, [&](int64_t k, auto n, auto next) __attribute__((always_inline)) {
    Vec first[R], second[R];
    if (n == kSparseUnitInputs) {
      for (int r = 0; r < R; ++r) {
        first[r] = load(x + r * a.x_stride + k);
        second[r] = load(x + r * a.x_stride + k + 16);
        keep_in_register(first[r]);
        keep_in_register(second[r]);
      }
    } else {
      for (int r = 0; r < R; ++r) {
        first[r] = load_first(x + r * a.x_stride + k, n < 16 ? n : 16);
        second[r] = n > 16 ? load_first(x + r * a.x_stride + k + 16, n - 16) : zero();
      }
    }
#pragma GCC unroll 4
    for (int c = 0; c < C; ++c) {
      const Inputs32 weights = next(c);
      for (int r = 0; r < R; ++r) acc[r][c] = fma(first[r], weights.first, acc[r][c]);
      if (n > 16) {
        for (int r = 0; r < R; ++r) acc[r][c] = fma(second[r], weights.second, acc[r][c]);
      }
    }
  });
  for (int c = 0; c < C && col + c < a.cols; ++c) {
    for (int r = 0; r < R; ++r) {
      float* y = a.y + (row + r) * a.y_stride + col + c;
      float value = sum(acc[r][c]);
      if (a.bias != nullptr) value += a.bias[col + c];
      *y = a.add ? *y + value : value;
    }
  }
  return p;
}

template <class W, int R>
inline void linear_rows(const SparseArgs& a) {
  if constexpr (R > 1) {
    if (a.rows < R) return linear_rows<W, R - 1>(a);
  }
  for (int64_t col = 0; col < a.cols; col += kPanelColumns) {
    const char* p = panel_of(a.matrix, a.first_panel + col / kPanelColumns);
    for (int c = 0; c < kPanelColumns; c += kSparseQuadColumns) {
      p = multiply_quad<W, R>(a, p, 0, col + c);
    }
  }
}

template <class W>
void linear_floats(const SparseArgs& a) {
  linear_rows<W, kSparseRows>(a);
}

template <class W>
void unpack_floats(const SparseUnpackArgs& a) {
  const char* p = panel_of(a.matrix, a.panel);
  float* out = static_cast<float*>(a.out);
  for (int quad = 0; quad < kPanelColumns; quad += kSparseQuadColumns) {
    p = walk_quad<W>(p, a.depth, [&](int64_t k, auto n, auto next) {
      for (int c = 0; c < kSparseQuadColumns; ++c) {
        const Inputs32 weights = next(c);
        float* at = out + (quad + c) * a.depth + k;
        if (n == kSparseUnitInputs) {
          store(at, weights.first);
          store(at + 16, weights.second);
        } else {
          store_first(at, weights.first, n < 16 ? n : 16);
          if (n > 16) store_first(at + 16, weights.second, n - 16);
        }
      }
    });
  }
}

// --- Codes ---

inline void split_nibbles(const char* p, char (&out)[64]) {
  for (int i = 0; i < 32; ++i) {
    out[2 * i] = static_cast<char>(p[i] & 15);
    out[2 * i + 1] = static_cast<char>(static_cast<unsigned char>(p[i]) >> 4);
  }
}

// The 8 x 64 codes of a group, and where the next ones begin.
template <SparseFormat F>
inline const char* expand_group(const char* masks, const char* p, char (&codes)[8][64]) {
  constexpr SparseLayout kLayout = kSparseLayouts[static_cast<int>(F)];
  for (int j = 0; j < 8; ++j) {
    const uint64_t mask = wide_mask_at(masks + 8 * j);
    if constexpr (kLayout.value_bits == 8) {
      expand_bytes(mask, p, kLayout.absent, codes[j]);
      p += bits_set(mask);
    } else {
      char split[64];
      split_nibbles(p, split);
      expand_bytes(mask, split, kLayout.absent, codes[j]);
      p += (bits_set(mask) + 1) / 2;
    }
  }
  return p;
}

template <SparseFormat F>
void unpack_codes(const SparseUnpackArgs& a) {
  constexpr SparseLayout kLayout = kSparseLayouts[static_cast<int>(F)];
  constexpr PanelLayout kDense = kPanelLayouts[static_cast<int>(kLayout.dense)];
  static_assert(kDense.groups == kSparseBlockGroups && kDense.header_bytes == kSparseHeaderBytes);
  const char* p = panel_of(a.matrix, a.panel);
  char* out = static_cast<char*>(a.out);
  for (int64_t k = 0; k < a.depth; k += kDense.block_inputs()) {
    __builtin_memcpy(out, p, kSparseHeaderBytes);
    out += kSparseHeaderBytes;
    const char* masks = p + kSparseHeaderBytes;
    p = masks + 8 * kSparseBlockMasks;
    for (int g = 0; g < kDense.groups; ++g, out += kDense.group_bytes) {
      alignas(64) char codes[8][64];
      p = expand_group<F>(masks + 64 * g, p, codes);
      if constexpr (kLayout.value_bits == 8) {
        __builtin_memcpy(out, codes, sizeof codes);
      } else {
        for (int j = 0; j < 4; ++j) {
          for (int i = 0; i < 64; ++i) {
            out[64 * j + i] = static_cast<char>(codes[j][i] | codes[j + 4][i] << 4);
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace brisk
