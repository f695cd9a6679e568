// Random matrices whose codes, scales and zero points lie apart, in the layouts that checkpoints
// have, for tests of products.
#pragma once

#include <cmath>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "base/rng.h"
#include "compute/tensor/half.h"
#include "compute/tensor/scaled_matrix.h"
#include "compute/tensor/tensor.h"

namespace brisk {

struct ScaledKind {
  std::string name;
  int bits = 4;
  int64_t group = 64;
  DType scales = DType::kF16;
  bool symmetric = false;
  enum class Layout { kAlongInputs, kAlongOutputs, kInterleaved, kRows } layout = Layout::kRows;
  float scale = 0.01f;  // about
};

struct StoredScaled {
  Tensor tensor;
  std::vector<std::byte> codes, scales, zeros;
};

// What every layout has in common: integer `i` of a line begins at bit i * bits of its words.
inline void put_bits(IntGrid grid, int64_t line, int64_t i, int value) {
  auto* data = const_cast<std::byte*>(grid.data);
  for (int b = 0; b < grid.bits; ++b) {
    const int64_t bit = i * grid.bits + b;
    std::byte& byte = data[line * grid.line_bytes + bit / 32 * grid.word_bytes + bit % 32 / 8];
    if ((value >> b & 1) != 0) byte |= static_cast<std::byte>(1 << (bit % 8));
  }
}

inline int64_t words_of(int64_t integers, int bits) { return (integers * bits + 31) / 32; }

// A grid of (outputs, inputs) integers in memory of its own.
inline IntGrid make_grid(ScaledKind::Layout layout, int bits, int64_t outputs, int64_t inputs,
                         std::vector<std::byte>* memory) {
  using enum ScaledKind::Layout;
  IntGrid grid = {.bits = bits, .interleaved = layout == kInterleaved};
  grid.lines_are_outputs = layout == kRows || layout == kAlongInputs;
  const int64_t lines = grid.lines_are_outputs ? outputs : inputs;
  const int64_t words = words_of(grid.lines_are_outputs ? inputs : (outputs + 7) / 8 * 8, bits);
  memory->assign(static_cast<size_t>(4 * lines * words), std::byte{0});
  grid.data = memory->data();
  const bool scattered = layout == kAlongInputs;  // words of a line are a row of lines apart
  grid.line_bytes = scattered ? 4 : 4 * words;
  grid.word_bytes = scattered ? 4 * lines : 4;
  return grid;
}

inline void fill_grid(Rng& rng, const IntGrid& grid, int64_t outputs, int64_t inputs) {
  constexpr int kPlace[8] = {0, 4, 1, 5, 2, 6, 3, 7};  // of an output in an interleaved word
  for (int64_t o = 0; o < outputs; ++o) {
    for (int64_t i = 0; i < inputs; ++i) {
      const int64_t line = grid.lines_are_outputs ? o : i;
      int64_t at = grid.lines_are_outputs ? i : o;
      if (grid.interleaved) at = at / 8 * 8 + kPlace[at % 8];
      put_bits(grid, line, at, static_cast<int>(rng.next_below(1u << grid.bits)));
    }
  }
}

inline std::unique_ptr<StoredScaled> random_scaled(Rng& rng, const ScaledKind& kind,
                                                   int64_t outputs, int64_t inputs) {
  auto stored = std::make_unique<StoredScaled>();
  auto matrix = std::make_shared<ScaledMatrix>();
  const int64_t groups = (inputs + kind.group - 1) / kind.group;
  matrix->inputs = inputs;
  matrix->group_inputs = kind.group;
  matrix->codes = make_grid(kind.layout, kind.bits, outputs, inputs, &stored->codes);
  fill_grid(rng, matrix->codes, outputs, inputs);
  matrix->scale_dtype = kind.scales;
  matrix->scale_output_stride = groups;
  const size_t bytes = kind.scales == DType::kF32 ? 4 : 2;
  stored->scales.resize(static_cast<size_t>(outputs * groups) * bytes);
  for (size_t i = 0; i < stored->scales.size(); i += bytes) {
    const auto scale = kind.scale * static_cast<float>(1 + std::abs(rng.next_gaussian()));
    const uint16_t half = kind.scales == DType::kF16 ? f32_to_f16(scale) : f32_to_bf16(scale);
    if (bytes == 2) std::memcpy(stored->scales.data() + i, &half, 2);
    if (bytes == 4) std::memcpy(stored->scales.data() + i, &scale, 4);
  }
  matrix->scales = stored->scales.data();
  matrix->zero = kind.symmetric ? 1 << (kind.bits - 1) : 1;
  if (!kind.symmetric) {
    matrix->zeros = make_grid(kind.layout, kind.bits, outputs, groups, &stored->zeros);
    fill_grid(rng, *matrix->zeros, outputs, groups);
  }
  stored->tensor = {.dtype = DType::kScaled, .shape = {outputs, inputs}, .data = stored->codes};
  stored->tensor.scaled = std::move(matrix);
  return stored;
}

// One for each packed format that such a matrix may become.
inline std::vector<ScaledKind> packed_kinds() {
  using enum ScaledKind::Layout;
  return {{.name = "int4", .layout = kInterleaved},
          {.name = "int4 in rows", .group = 32},
          {.name = "int4 along inputs", .group = 128, .layout = kAlongInputs},
          {.name = "int4 of small scales", .scales = DType::kBF16, .scale = 1e-9f},
          {.name = "int4 symmetric", .symmetric = true, .layout = kAlongInputs},
          {.name = "int4 symmetric, f32", .scales = DType::kF32, .symmetric = true},
          {.name = "int3", .bits = 3, .layout = kAlongInputs},
          {.name = "int3 symmetric", .bits = 3, .symmetric = true, .layout = kAlongOutputs},
          {.name = "int2", .bits = 2, .layout = kAlongInputs},
          {.name = "int8", .bits = 8, .layout = kAlongInputs},
          {.name = "int8 symmetric", .bits = 8, .symmetric = true}};
}

}  // namespace brisk
