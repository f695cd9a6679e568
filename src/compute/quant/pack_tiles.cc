#include "compute/quant/pack_tiles.h"

#include <cmath>
#include <cstring>

#include "base/check.h"
#include "base/units.h"
#include "compute/quant/format.h"
#include "compute/quant/scaled_codes.h"
#include "compute/quant/stored_codes.h"
#include "compute/tensor/half.h"

namespace brisk {
namespace {

// Where word `k` of an output's four-bit codes stands among 32 words: q6_k has its own order.
int word_of(TileFormat format, int k) {
  if (format != TileFormat::kQ6_K) return k;
  return k % 16 / 4 * 8 + k / 16 * 4 + k % 4;
}

void or_word(std::byte* words, int index, unsigned bits) {
  words[2 * index] |= static_cast<std::byte>(bits);
  words[2 * index + 1] |= static_cast<std::byte>(bits >> 8);
}

// The codes of output `o` of a unit, in the order of tiles.h.
void write_codes(TileFormat format, const uint8_t* codes, int o, std::byte* unit) {
  switch (format) {
    case TileFormat::kQ8_0:
      for (int k = 0; k < kTileInputs; ++k) {
        unit[32 * o + k] = static_cast<std::byte>(codes[k] ^ 0x80);
      }
      return;
    case TileFormat::kQ4_0:
    case TileFormat::kQ4_1:
    case TileFormat::kQ4_K:
    case TileFormat::kIQ4_NL:
    case TileFormat::kMXFP4:
    case TileFormat::kQ5_0:
    case TileFormat::kQ5_1:
    case TileFormat::kQ5_K:
    case TileFormat::kQ6_K:
    case TileFormat::kInt4:
    case TileFormat::kInt4Wide:
      break;
    case TileFormat::kBF16:
      BRISK_CHECK(false);
  }
  const bool six = format == TileFormat::kQ6_K;
  const int high_bits = six ? 2 : 1, sharers = 16 / high_bits;  // outputs of a word of high bits
  std::byte* const high = unit + 512 + 64 * (o / sharers);
  for (int k = 0; k < kTileInputs; ++k) {
    const unsigned code = codes[k];
    const int word = word_of(format, k);
    or_word(unit + 64 * (o / 4), word, (code & 15) << (o % 4 * 4));
    if (code > 15) or_word(high, word, (code >> 4) << (o % sharers * high_bits));
  }
}

// The scales of output `o` in a unit (`at`: behind its codes) and, once a block, in the header.
void write_scales(TileFormat format, const StoredCodes& column, int u, int o, std::byte* header,
                  std::byte* at) {
  const auto step = [&](int i) { return static_cast<std::byte>(column.steps[size_t(i)]); };
  switch (format) {
    case TileFormat::kQ4_0:
    case TileFormat::kIQ4_NL:
    case TileFormat::kQ5_0:
    case TileFormat::kQ8_0:
      std::memcpy(at + 2 * o, column.halves[0], 2);
      return;
    case TileFormat::kQ4_1:
    case TileFormat::kQ5_1:
      std::memcpy(at + 2 * o, column.halves[0], 2);
      std::memcpy(at + 64 + 2 * o, column.halves[1], 2);
      return;
    case TileFormat::kMXFP4: {  // a power of two
      const uint16_t bits = f32_to_bf16(column.scale);
      std::memcpy(at + 2 * o, &bits, 2);
      return;
    }
    case TileFormat::kQ4_K:
    case TileFormat::kQ5_K:
      at[o] = step(u);
      at[32 + o] = static_cast<std::byte>(column.minimums[size_t(u)]);
      std::memcpy(header + 2 * o, column.halves[0], 2);
      std::memcpy(header + 64 + 2 * o, column.halves[1], 2);
      return;
    case TileFormat::kQ6_K:
      at[o] = step(2 * u);
      at[32 + o] = step(2 * u + 1);
      std::memcpy(header + 2 * o, column.halves[0], 2);
      return;
    case TileFormat::kInt4:
      std::memcpy(at + 2 * o, column.halves[0], 2);
      at[64 + o] = static_cast<std::byte>(column.zeros[0]);
      return;
    case TileFormat::kInt4Wide:
      std::memcpy(at + 4 * o, column.scales.data(), 4);
      at[128 + o] = static_cast<std::byte>(column.zeros[0]);
      return;
    case TileFormat::kBF16:
      BRISK_CHECK(false);
  }
}

// One output of a block of units.
void write_column(TileFormat format, const StoredCodes& column, int o, std::byte* block) {
  const TileLayout& layout = kTileLayouts[static_cast<size_t>(format)];
  for (int u = 0; u < column.groups; ++u) {
    std::byte* const unit = block + layout.header_bytes + u * layout.unit_bytes();
    write_codes(format, column.codes.data() + static_cast<ptrdiff_t>(kTileInputs) * u, o, unit);
    write_scales(format, column, u, o, block, unit + layout.code_bytes);
  }
}

// One output's weights as bf16, 64 bytes in each of its units.
void write_bf16(const Tensor& matrix, int64_t row, int o, std::byte* panel) {
  const int64_t depth = matrix.shape.back();
  const int unit_bytes = kTileLayouts[static_cast<size_t>(TileFormat::kBF16)].unit_bytes();
  float values[kTileInputs];
  uint16_t rounded[kTileInputs];
  for (int64_t k = 0; k < depth; k += kTileInputs, panel += unit_bytes) {
    decode_values(matrix, row * depth + k, kTileInputs, values);
    for (int i = 0; i < kTileInputs; ++i) {
      // A subnormal number counts as zero and must not round up to what is none.
      const bool tiny = std::fpclassify(values[i]) == FP_SUBNORMAL;
      rounded[i] = tiny ? uint16_t{0} : f32_to_bf16(values[i]);
    }
    std::memcpy(panel + static_cast<ptrdiff_t>(64) * o, rounded, sizeof rounded);
  }
}

void write_output(const Tensor& matrix, TileFormat format, int64_t row, int o, std::byte* panel) {
  if (format == TileFormat::kBF16) {
    write_bf16(matrix, row, o, panel);
    return;
  }
  const TileLayout& layout = kTileLayouts[static_cast<size_t>(format)];
  StoredCodes column = {};
  for (int64_t k = 0; k < matrix.shape.back(); k += layout.block_inputs()) {
    if (matrix.dtype == DType::kScaled) {
      const bool fixed = format == TileFormat::kQ4_0 || format == TileFormat::kQ8_0;
      read_scaled_codes(matrix, row, k, layout.units, fixed, &column);
    } else {
      read_codes(matrix, row, k, layout.units, &column);
    }
    if (matrix.dtype == DType::kQ3_K) {  // 3 bits minus 4 take the place of 6 bits minus 32
      for (uint8_t& code : column.codes) code = static_cast<uint8_t>(code + 28);
    }
    write_column(format, column, o, panel);
    panel += layout.block_bytes();
  }
}

// What no format of few bits holds is rounded to bf16 now instead of before each product.
TileFormat format_of_scaled(const Tensor& matrix) {
  const ScaledTraits traits = traits_of(*matrix.scaled, matrix.values() / matrix.shape.back());
  const bool eight = matrix.scaled->codes.bits == 8;
  if (!traits.whole_groups || matrix.scaled->input_order != nullptr) return TileFormat::kBF16;
  if (traits.shift.has_value() && traits.f16_scales) {
    return eight ? TileFormat::kQ8_0 : TileFormat::kQ4_0;
  }
  if (eight || !traits.exact_minimums) return TileFormat::kBF16;
  return traits.f16_scales ? TileFormat::kInt4 : TileFormat::kInt4Wide;
}

}  // namespace

std::optional<TileFormat> tile_format_for(const Tensor& matrix) {
  if (matrix.shape.empty() || matrix.shape.back() % kTileInputs != 0) return std::nullopt;
  switch (matrix.dtype) {
    case DType::kQ4_0:
      return TileFormat::kQ4_0;
    case DType::kQ4_1:
      return TileFormat::kQ4_1;
    case DType::kQ4_K:
      return TileFormat::kQ4_K;
    case DType::kIQ4_NL:
      return TileFormat::kIQ4_NL;
    case DType::kMXFP4:
      return TileFormat::kMXFP4;
    case DType::kQ5_0:
      return TileFormat::kQ5_0;
    case DType::kQ5_1:
      return TileFormat::kQ5_1;
    case DType::kQ5_K:
      return TileFormat::kQ5_K;
    case DType::kQ6_K:
    case DType::kQ3_K:
      return TileFormat::kQ6_K;
    case DType::kQ8_0:
      return TileFormat::kQ8_0;
    case DType::kF32:
    case DType::kF16:
    case DType::kBF16:
    case DType::kF8E4M3:
      return TileFormat::kBF16;
    case DType::kScaled:
      return format_of_scaled(matrix);
    case DType::kQ2_K:            // a minimum for every 16 inputs
    case DType::kTQ2_0:           // small enough; decoded
    case DType::kInt8Grouped:     // llama2.c: small models, run exactly
    case DType::kTernaryGrouped:  // BitNet rounds its activations in its own way
    case DType::kF64:
    case DType::kI8:
    case DType::kI16:
    case DType::kI32:
    case DType::kI64:
      return std::nullopt;
  }
  return std::nullopt;
}

int64_t tile_panel_count(const Tensor& matrix) {
  return ceil_div<int64_t>(matrix.values() / matrix.shape.back(), kTileOutputs);
}

int64_t tile_panel_bytes(TileFormat format, int64_t depth) {
  const TileLayout& layout = kTileLayouts[static_cast<size_t>(format)];
  return depth / layout.block_inputs() * layout.block_bytes();
}

void pack_tiles(const Tensor& matrix, TileFormat format, Range panels, std::byte* out) {
  const int64_t depth = matrix.shape.back();
  const int64_t bytes = tile_panel_bytes(format, depth);
  for (int64_t panel = panels.begin; panel < panels.end; ++panel, out += bytes) {
    std::memset(out, 0, static_cast<size_t>(bytes));
    for (int o = 0; o < kTileOutputs; ++o) {
      const int64_t row = panel * kTileOutputs + o;
      if (row * depth >= matrix.values()) break;
      write_output(matrix, format, row, o, out);
    }
  }
}

}  // namespace brisk
