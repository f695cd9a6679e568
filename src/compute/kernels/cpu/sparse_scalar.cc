// Sparse weights one number at a time: the definition that the others must equal, bit for bit.
#include "compute/kernels/cpu/kernel_table.h"
// clang-format off
#include "compute/kernels/cpu/vec_scalar.h"
// clang-format on

namespace brisk {
namespace {

constexpr int kSparseRows = 1;

struct Inputs32 {
  Vec first, second;
};
inline void keep_in_register(Vec&) {}

template <int Bytes, class Read>
inline Inputs32 expand(uint32_t mask, const char* p, bool interleaved, Read read) {
  Inputs32 inputs = {zero(), zero()};
  for (int b = 0; b < kSparseUnitInputs; ++b) {
    if ((mask >> b & 1) == 0) continue;
    const int input = interleaved ? b / 2 + 16 * (b % 2) : b;
    (input < 16 ? inputs.first : inputs.second).v[input % 16] = read(p);
    p += Bytes;
  }
  return inputs;
}

struct SparseBF16 {
  static constexpr int kBytes = 2;
  static Inputs32 expand(uint32_t mask, const char* p) {
    return brisk::expand<2>(mask, p, true, [](const char* at) {
      return float_of(static_cast<uint32_t>(u16_at(at, 0)) << 16);
    });
  }
};
struct SparseF16 {
  static constexpr int kBytes = 2;
  static Inputs32 expand(uint32_t mask, const char* p) {
    return brisk::expand<2>(mask, p, false, [](const char* at) { return f16_scalar(at); });
  }
};
struct SparseF32 {
  static constexpr int kBytes = 4;
  static Inputs32 expand(uint32_t mask, const char* p) {
    return brisk::expand<4>(mask, p, false, [](const char* at) {
      float x;
      __builtin_memcpy(&x, at, 4);
      return x;
    });
  }
};

inline void expand_bytes(uint64_t mask, const char* p, int absent, char (&out)[64]) {
  for (int b = 0; b < 64; ++b) out[b] = (mask >> b & 1) != 0 ? *p++ : static_cast<char>(absent);
}

}  // namespace
}  // namespace brisk

// clang-format off
#include "compute/kernels/cpu/sparse_body.h"
// clang-format on

namespace brisk {

constexpr SparseKernels kSparseKernelsScalar = {{
    {.zeros_min = 101,
     .rows_max = kSparseRows,
     .linear = linear_floats<SparseBF16>,
     .unpack = unpack_floats<SparseBF16>},
    {.zeros_min = 101,
     .rows_max = kSparseRows,
     .linear = linear_floats<SparseF16>,
     .unpack = unpack_floats<SparseF16>},
    {.zeros_min = 101,
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
