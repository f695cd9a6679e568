// The tile instructions of tile_ops_amx.h in software, after their description in Intel's manual:
// what would fault on the machine traps here. Include after tiles.h.
#pragma once

#include <immintrin.h>

namespace brisk {
namespace {

struct EmulatedTile {
  alignas(64) uint32_t rows[16][16];
};

// A thread's tile registers.
struct EmulatedUnit {
  TileConfig config;
  EmulatedTile tiles[8];
};
thread_local EmulatedUnit emulated_unit;

inline void trap_unless(bool condition) {
  if (!condition) __builtin_trap();
}

void emulate_zero(int t) {
  const EmulatedUnit& unit = emulated_unit;
  trap_unless(unit.config.palette == 1);
  emulated_unit.tiles[t] = {};
}

inline void tile_configure(const TileConfig& config) {
  trap_unless(config.palette == 1 && config.start_row == 0);
  for (int i = 0; i < 14; ++i) trap_unless(config.reserved[i] == 0);
  for (int t = 0; t < 16; ++t) {
    const bool used = config.rows[t] != 0;
    trap_unless(config.rows[t] <= 16 && config.row_bytes[t] <= 64);
    trap_unless(used == (config.row_bytes[t] != 0) && (t < 8 || !used));
  }
  emulated_unit.config = config;
  for (int t = 0; t < 8; ++t) emulate_zero(t);
}
inline void tile_release() { emulated_unit = {}; }

template <int T>
inline void tile_zero() {
  emulate_zero(T);
}

void emulate_load(int t, const char* p, int64_t stride) {
  EmulatedUnit& unit = emulated_unit;
  emulate_zero(t);
  trap_unless(unit.config.rows[t] != 0);
  for (int r = 0; r < unit.config.rows[t]; ++r) {
    __builtin_memcpy(unit.tiles[t].rows[r], p + r * stride, unit.config.row_bytes[t]);
  }
}
template <int T>
inline void tile_load(const void* p, int64_t stride) {
  emulate_load(T, static_cast<const char*>(p), stride);
}

void emulate_store(int t, char* p, int64_t stride) {
  const EmulatedUnit& unit = emulated_unit;
  trap_unless(unit.config.palette == 1 && unit.config.rows[t] != 0);
  for (int r = 0; r < unit.config.rows[t]; ++r) {
    __builtin_memcpy(p + r * stride, unit.tiles[t].rows[r], unit.config.row_bytes[t]);
  }
}
template <int T>
inline void tile_store(void* p, int64_t stride) {
  emulate_store(T, static_cast<char*>(p), stride);
}

// The shapes that a product takes: (rows, k) x (k, columns), k in 32-bit elements.
inline int checked_depth(int c, int a, int b) {
  const TileConfig& config = emulated_unit.config;
  trap_unless(config.palette == 1 && c != a && c != b && a != b);
  trap_unless(config.rows[c] != 0 && config.rows[a] != 0 && config.rows[b] != 0);
  trap_unless(config.rows[a] == config.rows[c] && config.row_bytes[b] == config.row_bytes[c]);
  trap_unless(config.row_bytes[a] == 4 * config.rows[b]);
  return config.rows[b];
}

// Not inlined, so that no arithmetic moves across the change of the control register.
__attribute__((noinline)) void emulate_dot_rows(EmulatedTile* c, const EmulatedTile* a,
                                                const EmulatedTile* b, int rows, int depth) {
  const __m512i high = _mm512_set1_epi32(static_cast<int>(0xFFFF0000));
  for (int m = 0; m < rows; ++m) {
    __m512 even = _mm512_setzero_ps(), odd = _mm512_setzero_ps();
    for (int k = 0; k < depth; ++k) {
      const __m512i w = _mm512_set1_epi32(static_cast<int>(a->rows[m][k]));
      const __m512i x = _mm512_load_si512(b->rows[k]);
      even = _mm512_fmadd_ps(_mm512_castsi512_ps(_mm512_slli_epi32(w, 16)),
                             _mm512_castsi512_ps(_mm512_slli_epi32(x, 16)), even);
      odd = _mm512_fmadd_ps(_mm512_castsi512_ps(_mm512_and_si512(w, high)),
                            _mm512_castsi512_ps(_mm512_and_si512(x, high)), odd);
    }
    const __m512 sum = _mm512_add_ps(_mm512_load_ps(c->rows[m]), _mm512_add_ps(even, odd));
    _mm512_store_ps(c->rows[m], sum);
  }
}

void emulate_dot(int c, int a, int b) {
  const int depth = checked_depth(c, a, b);
  EmulatedUnit& unit = emulated_unit;
  constexpr unsigned kFlushAndDenormalsAreZero = 0x8040, kAllMasked = 0x1F80;  // round to nearest
  const unsigned before = _mm_getcsr();
  _mm_setcsr(kAllMasked | kFlushAndDenormalsAreZero);
  emulate_dot_rows(&unit.tiles[c], &unit.tiles[a], &unit.tiles[b], unit.config.rows[c], depth);
  _mm_setcsr(before);
}
template <int C, int A, int B>
inline void tile_dot() {
  emulate_dot(C, A, B);
}

void emulate_dot_int8(int c, int a, int b) {
  const int depth = checked_depth(c, a, b);
  EmulatedUnit& unit = emulated_unit;
  for (int m = 0; m < unit.config.rows[c]; ++m) {
    for (int n = 0; n < unit.config.row_bytes[c] / 4; ++n) {
      uint32_t sum = unit.tiles[c].rows[m][n];
      for (int k = 0; k < depth; ++k) {
        for (int shift = 0; shift < 32; shift += 8) {
          const auto w = static_cast<int8_t>(unit.tiles[a].rows[m][k] >> shift);
          const auto x = static_cast<int8_t>(unit.tiles[b].rows[k][n] >> shift);
          sum += static_cast<uint32_t>(w * x);
        }
      }
      unit.tiles[c].rows[m][n] = sum;
    }
  }
}
template <int C, int A, int B>
inline void tile_dot_int8() {
  emulate_dot_int8(C, A, B);
}

}  // namespace
}  // namespace brisk
