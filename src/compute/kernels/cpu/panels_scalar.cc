// Integer products one number at a time: the definition that the others must equal, bit for bit.
#include "compute/kernels/cpu/kernel_table.h"
// clang-format off
#include "compute/kernels/cpu/vec_scalar.h"
#include "compute/kernels/cpu/panel_rows_body.h"
// clang-format on

namespace brisk {
namespace {

inline int u8_at(const char* p) { return static_cast<unsigned char>(*p); }
inline float f32_at(const char* p) {
  float x;
  __builtin_memcpy(&x, p, 4);
  return x;
}

inline int nibble(const char* p, int column, int k) {
  const int byte = u8_at(p + 64 * (k % 16 / 4) + 4 * column + k % 4);
  return k < 16 ? byte & 15 : byte >> 4;
}

template <PanelFormat F>
struct Format {
  static constexpr PanelLayout kLayout = kPanelLayouts[static_cast<int>(F)];
  static constexpr int kOffset = kLayout.offset;
  static constexpr int kStarts = 1;
  static constexpr int kRuns = 1;  // runs of inputs with a scale of their own, in a group
  static constexpr bool kMinimum = false;
  static float minimum(const char*, int, int) { return 0; }
};

struct Q4_0 : Format<PanelFormat::kQ4_0> {
  static float scale(const char* block, int g, int, int c) {
    return f16_scalar(block + 32 * g + 2 * c);
  }
  static int code(const char* p, int c, int k) { return nibble(p, c, k); }
};

struct Q8_0 : Format<PanelFormat::kQ8_0> {
  static float scale(const char* block, int g, int, int c) {
    return f16_scalar(block + 32 * g + 2 * c);
  }
  static int code(const char* p, int c, int k) { return u8_at(p + 64 * (k / 4) + 4 * c + k % 4); }
};

template <PanelFormat F>
struct KWithMinimum : Format<F> {
  static constexpr bool kMinimum = true;
  static float scale(const char* block, int g, int, int c) {
    return f16_scalar(block + 2 * c) * static_cast<float>(u8_at(block + 64 + 16 * g + c));
  }
  static float minimum(const char* block, int g, int c) {
    return 0.0f -
           f16_scalar(block + 32 + 2 * c) * static_cast<float>(u8_at(block + 192 + 16 * g + c));
  }
};

struct Q4_K : KWithMinimum<PanelFormat::kQ4_K> {
  static int code(const char* p, int c, int k) { return nibble(p, c, k); }
};

struct Q5_K : KWithMinimum<PanelFormat::kQ5_K> {
  static int code(const char* p, int c, int k) {
    const int bit = 4 * c + k % 4;
    return nibble(p, c, k) | (u8_at(p + 256 + 8 * (k / 4) + bit / 8) >> (bit % 8) & 1) << 4;
  }
};

struct Q6_K : Format<PanelFormat::kQ6_K> {
  static constexpr int kStarts = 2;
  static constexpr int kRuns = 2;
  static float scale(const char* block, int g, int run, int c) {
    const auto steps = static_cast<signed char>(block[32 + 32 * g + 16 * run + c]);
    return f16_scalar(block + 2 * c) * static_cast<float>(steps);
  }
  static int code(const char* p, int c, int k) {
    const int high = u8_at(p + 256 + 64 * (k / 16) + 4 * c + k % 4) >> (k % 16 / 4 * 2) & 3;
    return nibble(p, c, k) | high << 4;
  }
};

struct Scaled8 : Format<PanelFormat::kScaled8> {
  static constexpr bool kMinimum = true;
  static float scale(const char* block, int, int, int c) { return f32_at(block + 4 * c); }
  static float minimum(const char* block, int, int c) { return f32_at(block + 64 + 4 * c); }
  static int code(const char* p, int c, int k) { return Q8_0::code(p, c, k); }
};

template <PanelFormat F>
struct WithZeros : Format<F> {
  static constexpr bool kMinimum = true;
  static float scale(const char* block, int g, int, int c) {
    return F == PanelFormat::kInt4 ? f16_scalar(block + 32 * g + 2 * c)
                                   : f32_at(block + 64 * g + 4 * c);
  }
  static float minimum(const char* block, int g, int c) {
    const char* zeros = block + (F == PanelFormat::kInt4 ? 64 : 128);
    return 0.0f - scale(block, g, 0, c) * static_cast<float>(u8_at(zeros + 16 * g + c));
  }
  static int code(const char* p, int c, int k) { return nibble(p, c, k); }
};
using Int4 = WithZeros<PanelFormat::kInt4>;
using Int4Wide = WithZeros<PanelFormat::kInt4Wide>;

template <class P>
inline void add_group(const RowRun& x, const char* block, int g, float (&acc)[kPanelColumns]) {
  const char* p = block + P::kLayout.header_bytes + g * P::kLayout.group_bytes;
  constexpr int kRunInputs = kGroupInputs / P::kRuns;
  for (int c = 0; c < kPanelColumns; ++c) {
    for (int run = 0; run < P::kRuns; ++run) {
      int32_t sum = P::kOffset == 0 ? 0 : x.starts[run];
      for (int k = run * kRunInputs; k < (run + 1) * kRunInputs; ++k) {
        sum += P::code(p, c, k) * x.codes[k];
      }
      const float scale = P::scale(block, g, run, c) * x.scales[0];
      acc[c] = __builtin_fmaf(scale, static_cast<float>(sum), acc[c]);
    }
    if (P::kMinimum) acc[c] = __builtin_fmaf(P::minimum(block, g, c), x.sums[0], acc[c]);
  }
}

template <class P>
struct Tile {
  static void run(const PanelArgs& a, int64_t row, int64_t rows, int64_t panel) {
    for (int64_t r = row; r < row + rows; ++r) run_row(a, r, panel);
  }

  static void run_row(const PanelArgs& a, int64_t row, int64_t panel) {
    RowRun x = rows_from<P>(a.x, row);
    const char* block = static_cast<const char*>(a.panels) + panel * a.panel_bytes;
    const char* const end = block + a.panel_bytes;
    float acc[kPanelColumns] = {};
    for (; block < end; block += P::kLayout.block_bytes()) {
      for (int g = 0; g < P::kLayout.groups; ++g) {
        add_group<P>(x, block, g, acc);
        x.advance(P::kStarts);
      }
    }
    for (int64_t c = panel * kPanelColumns; c < a.cols && c < (panel + 1) * kPanelColumns; ++c) {
      float* y = a.y + row * a.y_stride + c;
      float value = acc[c % kPanelColumns];
      if (a.bias != nullptr) value += a.bias[c];
      *y = a.add ? *y + value : value;
    }
  }
};

template <class P>
void linear(const PanelArgs& a) {
  panel_product<P, Tile<P>>(a);
}

int32_t integer_peak(int64_t iterations) {
  int32_t chains[8] = {0, 1, 2, 3, 4, 5, 6, 7};
  for (int64_t n = 0; n < iterations; ++n) {
    for (int32_t& chain : chains) chain = chain * 3 & 0xFFFF;
  }
  for (int i = 1; i < 8; ++i) chains[0] += chains[i];
  return chains[0];
}

}  // namespace

constexpr PanelKernels kPanelKernelsScalar = {
    .linear = {linear<Q4_0>, linear<Q8_0>, linear<Q4_K>, linear<Q5_K>, linear<Q6_K>,
               linear<Scaled8>, linear<Int4>, linear<Int4Wide>},
    .int8_peak = {integer_peak, 8},
    .int4_peak = {integer_peak, 8},
};

}  // namespace brisk
