#include "compute/quant/pack_panels.h"

#include <cstring>

#include "base/check.h"
#include "base/units.h"
#include "compute/quant/codecs.h"
#include "compute/quant/scaled_codes.h"
#include "compute/quant/stored_codes.h"

namespace brisk {
namespace {

// --- Codes as panels hold them: the stored ones, or others that mean the same weight. ---

// What is added to the codes of a format: those of 5, 3 and 2 bits take the place of 8, 6 and 4
// bits, and codes without an offset begin at 128, so that nothing has to be taken off their
// minimum.
uint8_t code_shift(DType dtype) {
  if (dtype == DType::kQ5_0) return 128 - 16;
  if (dtype == DType::kQ3_K) return 32 - 4;
  if (dtype == DType::kTQ2_0) return 8 - 1;
  if (dtype == DType::kQ4_1 || dtype == DType::kQ5_1) return 128;
  return 0;
}

// The table that a format's codes point into, or null.
const int8_t* code_table(DType dtype) {
  if (dtype == DType::kIQ4_NL) return quant::kIq4NlValues;
  if (dtype == DType::kMXFP4) return quant::kMxfp4Doubled;
  return nullptr;
}

void read_column(const Tensor& matrix, PanelFormat format, int64_t row, int64_t input,
                 StoredCodes* column) {
  const int groups = kPanelLayouts[static_cast<size_t>(format)].groups;
  if (matrix.dtype == DType::kScaled) {
    const bool fixed = format == PanelFormat::kQ4_0 || format == PanelFormat::kQ8_0;
    read_scaled_codes(matrix, row, input, groups, fixed, column);
    return;
  }
  read_codes(matrix, row, input, groups, column);
  const auto count = static_cast<size_t>(column->groups * kGroupInputs);
  const uint8_t shift = code_shift(matrix.dtype);
  const int8_t* table = code_table(matrix.dtype);
  for (size_t i = 0; i < count; ++i) {
    uint8_t& code = column->codes[i];
    code = static_cast<uint8_t>(table != nullptr ? table[code] + 128 : code + shift);
  }
}

// --- Writing: one column of a block into its panel. ---

void write_bytes(const StoredCodes& column, int g, int c, std::byte* group) {
  for (int j = 0; j < 8; ++j) {
    std::memcpy(group + 64 * j + 4 * c, column.codes.data() + 32 * g + 4 * j, 4);
  }
}

void write_nibbles(const StoredCodes& column, int g, int c, std::byte* group) {
  const uint8_t* codes = column.codes.data() + static_cast<ptrdiff_t>(32) * g;
  for (int k = 0; k < 16; ++k) {
    group[64 * (k / 4) + 4 * c + k % 4] =
        static_cast<std::byte>((codes[k] & 15) | (codes[k + 16] & 15) << 4);
  }
}

void write_fifth_bits(const StoredCodes& column, int g, int c, std::byte* words) {
  for (int k = 0; k < 32; ++k) {
    if ((column.codes[static_cast<size_t>(32 * g + k)] & 16) == 0) continue;
    const int bit = 4 * c + k % 4;
    words[8 * (k / 4) + bit / 8] |= static_cast<std::byte>(1 << (bit % 8));
  }
}

void write_high_pairs(const StoredCodes& column, int g, int c, std::byte* bytes) {
  const uint8_t* codes = column.codes.data() + static_cast<ptrdiff_t>(32) * g;
  for (int h = 0; h < 2; ++h) {
    for (int i = 0; i < 4; ++i) {
      unsigned pairs = 0;
      for (int j = 0; j < 4; ++j) pairs |= (codes[16 * h + 4 * j + i] >> 4u & 3u) << (2 * j);
      bytes[64 * h + 4 * c + i] = static_cast<std::byte>(pairs);
    }
  }
}

void write_column(PanelFormat format, const StoredCodes& column, int groups, int c,
                  std::byte* block) {
  const PanelLayout& layout = kPanelLayouts[static_cast<size_t>(format)];
  for (int g = 0; g < groups; ++g) {
    std::byte* group = block + layout.header_bytes + g * layout.group_bytes;
    switch (format) {
      case PanelFormat::kQ4_0:
        std::memcpy(block + 32 * g + 2 * c, column.halves[static_cast<size_t>(g)], 2);
        write_nibbles(column, g, c, group);
        break;
      case PanelFormat::kQ8_0:
        std::memcpy(block + 32 * g + 2 * c, column.halves[static_cast<size_t>(g)], 2);
        write_bytes(column, g, c, group);
        break;
      case PanelFormat::kQ4_K:
      case PanelFormat::kQ5_K:
        block[64 + 16 * g + c] = static_cast<std::byte>(column.steps[static_cast<size_t>(g)]);
        block[192 + 16 * g + c] = static_cast<std::byte>(column.minimums[static_cast<size_t>(g)]);
        write_nibbles(column, g, c, group);
        if (format == PanelFormat::kQ5_K) write_fifth_bits(column, g, c, group + 256);
        break;
      case PanelFormat::kQ6_K:
        for (int run = 0; run < 2; ++run) {
          block[32 + 32 * g + 16 * run + c] =
              static_cast<std::byte>(column.steps[static_cast<size_t>(2 * g + run)]);
        }
        write_nibbles(column, g, c, group);
        write_high_pairs(column, g, c, group + 256);
        break;
      case PanelFormat::kScaled8:
        std::memcpy(block + 4 * c, &column.scale, 4);
        std::memcpy(block + 64 + 4 * c, &column.minimum, 4);
        write_bytes(column, g, c, group);
        break;
      case PanelFormat::kInt4:
        std::memcpy(block + 32 * g + 2 * c, column.halves[static_cast<size_t>(g)], 2);
        block[64 + 16 * g + c] = static_cast<std::byte>(column.zeros[static_cast<size_t>(g)]);
        write_nibbles(column, g, c, group);
        break;
      case PanelFormat::kInt4Wide:
        std::memcpy(block + 64 * g + 4 * c, &column.scales[static_cast<size_t>(g)], 4);
        block[128 + 16 * g + c] = static_cast<std::byte>(column.zeros[static_cast<size_t>(g)]);
        write_nibbles(column, g, c, group);
        break;
    }
  }
  if (format == PanelFormat::kQ4_K || format == PanelFormat::kQ5_K) {
    std::memcpy(block + 2 * c, column.halves[0], 2);
    std::memcpy(block + 32 + 2 * c, column.halves[1], 2);
  } else if (format == PanelFormat::kQ6_K) {
    std::memcpy(block + 2 * c, column.halves[0], 2);
  }
}

std::optional<PanelFormat> format_of_scaled(const Tensor& matrix) {
  const ScaledTraits traits = traits_of(*matrix.scaled, matrix.values() / matrix.shape.back());
  if (!traits.whole_groups) return std::nullopt;
  const bool eight = matrix.scaled->codes.bits == 8;
  if (traits.shift.has_value() && traits.f16_scales) {
    return eight ? PanelFormat::kQ8_0 : PanelFormat::kQ4_0;
  }
  if (!traits.exact_minimums) return std::nullopt;
  if (eight) return PanelFormat::kScaled8;
  return traits.f16_scales ? PanelFormat::kInt4 : PanelFormat::kInt4Wide;
}

}  // namespace

std::optional<PanelFormat> panel_format_for(const Tensor& matrix) {
  if (matrix.shape.empty() || matrix.shape.back() % kGroupInputs != 0) return std::nullopt;
  switch (matrix.dtype) {
    case DType::kQ4_0:
    case DType::kTQ2_0:
      return PanelFormat::kQ4_0;
    case DType::kQ8_0:
    case DType::kQ5_0:
    case DType::kIQ4_NL:
      return PanelFormat::kQ8_0;
    case DType::kQ4_K:
      return PanelFormat::kQ4_K;
    case DType::kQ5_K:
      return PanelFormat::kQ5_K;
    case DType::kQ6_K:
    case DType::kQ3_K:
      return PanelFormat::kQ6_K;
    case DType::kQ4_1:
    case DType::kQ5_1:
    case DType::kMXFP4:
      return PanelFormat::kScaled8;
    case DType::kScaled:
      return format_of_scaled(matrix);
    case DType::kQ2_K:            // a minimum for every 16 inputs
    case DType::kInt8Grouped:     // llama2.c: small models, run exactly
    case DType::kTernaryGrouped:  // BitNet rounds its activations in its own way
    case DType::kF8E4M3:
    case DType::kF32:
    case DType::kF16:
    case DType::kBF16:
    case DType::kF64:
    case DType::kI8:
    case DType::kI16:
    case DType::kI32:
    case DType::kI64:
      return std::nullopt;
  }
  return std::nullopt;
}

DType dtype_of(PanelFormat format) {
  switch (format) {
    case PanelFormat::kQ4_0:
      return DType::kQ4_0;
    case PanelFormat::kQ8_0:
      return DType::kQ8_0;
    case PanelFormat::kQ4_K:
      return DType::kQ4_K;
    case PanelFormat::kQ5_K:
      return DType::kQ5_K;
    case PanelFormat::kQ6_K:
      return DType::kQ6_K;
    case PanelFormat::kInt4:
    case PanelFormat::kInt4Wide:
      return DType::kScaled;
    case PanelFormat::kScaled8:
      break;
  }
  return DType::kInt8Grouped;
}

int64_t panel_count(const Tensor& matrix) {
  return ceil_div<int64_t>(matrix.values() / matrix.shape.back(), kPanelColumns);
}

int64_t panel_bytes(PanelFormat format, int64_t depth) {
  const PanelLayout& layout = kPanelLayouts[static_cast<size_t>(format)];
  return ceil_div<int64_t>(depth, layout.block_inputs()) * layout.block_bytes();
}

void pack_panels(const Tensor& matrix, PanelFormat format, Range panels, std::byte* out) {
  const PanelLayout& layout = kPanelLayouts[static_cast<size_t>(format)];
  const int64_t depth = matrix.shape.back();
  const int64_t bytes = panel_bytes(format, depth);
  StoredCodes column = {};
  for (int64_t panel = panels.begin; panel < panels.end; ++panel, out += bytes) {
    std::memset(out, 0, static_cast<size_t>(bytes));
    for (int c = 0; c < kPanelColumns; ++c) {
      const int64_t row = panel * kPanelColumns + c;
      if (row * depth >= matrix.values()) break;
      std::byte* block = out;
      for (int64_t first = 0; first < depth; first += layout.block_inputs()) {
        read_column(matrix, format, row, first, &column);
        write_column(format, column, column.groups, c, block);
        block += layout.block_bytes();
      }
    }
  }
}

}  // namespace brisk
