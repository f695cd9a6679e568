#include "compute/quant/pack_panels.h"

#include <array>
#include <cstring>

#include "base/check.h"
#include "base/units.h"
#include "compute/quant/codecs.h"
#include "compute/quant/format.h"
#include "compute/quant/k_scales.h"

namespace brisk {
namespace {

constexpr int kSuper = 256;

uint8_t u8(const std::byte* at) { return static_cast<uint8_t>(*at); }

// One column of a block, decoded as far as its integers.
struct Column {
  std::array<uint8_t, kSuper> codes;
  const std::byte* half_scales[2];  // f16: q4_0 and q8_0 a group, k-quants scale and minimum
  std::array<uint8_t, 16> steps;    // integer scales
  std::array<uint8_t, 8> minimums;
  float scale, minimum;  // scaled8
};

// --- Reading: the stored blocks of one column from `input` on. ---

void read_q4_0(const std::byte* stored, int groups, Column& column) {
  for (int g = 0; g < groups; ++g, stored += 18) {
    column.half_scales[g] = stored;
    for (int i = 0; i < 16; ++i) {
      column.codes[static_cast<size_t>(32 * g + i)] = u8(stored + 2 + i) & 15;
      column.codes[static_cast<size_t>(32 * g + 16 + i)] = u8(stored + 2 + i) >> 4;
    }
  }
}

void read_q8_0(const std::byte* stored, int groups, Column& column) {
  for (int g = 0; g < groups; ++g, stored += 34) {
    column.half_scales[g] = stored;
    for (int i = 0; i < 32; ++i) {
      column.codes[static_cast<size_t>(32 * g + i)] = u8(stored + 2 + i) ^ 0x80;
    }
  }
}

// Codes of 5 bits minus 16, as the codes of q8_0: 128 more than the weight's.
void read_q5_0(const std::byte* stored, int groups, Column& column) {
  for (int g = 0; g < groups; ++g, stored += 22) {
    column.half_scales[g] = stored;
    uint32_t fifth;
    std::memcpy(&fifth, stored + 2, 4);
    for (int i = 0; i < 32; ++i) {
      const uint8_t byte = u8(stored + 6 + i % 16);
      const unsigned low = i < 16 ? byte & 15u : byte >> 4u;
      column.codes[static_cast<size_t>(32 * g + i)] =
          static_cast<uint8_t>((low | (fifth >> i & 1u) << 4) + 112);
    }
  }
}

void read_k_header(const std::byte* stored, Column& column) {
  column.half_scales[0] = stored;
  column.half_scales[1] = stored + 2;
  const auto runs = quant::unpack_k_scales(reinterpret_cast<const uint8_t*>(stored + 4));
  for (size_t j = 0; j < 8; ++j) {
    column.steps[j] = runs.scale[j];
    column.minimums[j] = runs.minimum[j];
  }
}

void read_q4_k(const std::byte* stored, Column& column) {
  read_k_header(stored, column);
  for (int i = 0; i < kSuper; ++i) {
    const uint8_t byte = u8(stored + 16 + i / 64 * 32 + i % 32);
    column.codes[static_cast<size_t>(i)] = i % 64 < 32 ? byte & 15 : byte >> 4;
  }
}

void read_q5_k(const std::byte* stored, Column& column) {
  read_k_header(stored, column);
  for (int i = 0; i < kSuper; ++i) {
    const uint8_t byte = u8(stored + 48 + i / 64 * 32 + i % 32);
    const int low = i % 64 < 32 ? byte & 15 : byte >> 4;
    const int fifth = u8(stored + 16 + i % 32) >> (i / 32) & 1;
    column.codes[static_cast<size_t>(i)] = static_cast<uint8_t>(low | fifth << 4);
  }
}

void read_q6_k(const std::byte* stored, Column& column) {
  column.half_scales[0] = stored + 208;
  std::memcpy(column.steps.data(), stored + 192, 16);
  for (int i = 0; i < kSuper; ++i) {
    const int half = i / 128, within = i % 128;
    const int four = u8(stored + half * 64 + within % 64) >> (within / 64 * 4) & 15;
    const int two = u8(stored + 128 + half * 32 + within % 32) >> (within / 32 * 2) & 3;
    column.codes[static_cast<size_t>(i)] = static_cast<uint8_t>(four | two << 4);
  }
}

// Codes of 3 bits minus 4, as the codes of q6_k: 32 more than the weight's.
void read_q3_k(const std::byte* stored, Column& column) {
  column.half_scales[0] = stored + 108;
  for (int run = 0; run < 16; ++run) {
    const int low = u8(stored + 96 + run % 8) >> (run / 8 * 4) & 15;
    const int high = u8(stored + 104 + run % 4) >> (run / 4 * 2) & 3;
    column.steps[static_cast<size_t>(run)] = static_cast<uint8_t>((low | high << 4) - 32);
  }
  for (int i = 0; i < kSuper; ++i) {
    const int low = u8(stored + 32 + i / 128 * 32 + i % 32) >> (i % 128 / 32 * 2) & 3;
    const int high = u8(stored + i % 32) >> (i / 32) & 1;
    column.codes[static_cast<size_t>(i)] = static_cast<uint8_t>(low + 4 * high + 28);
  }
}

void read_codes_of_iq4_nl(const std::byte* stored, int groups, Column& column) {
  for (int g = 0; g < groups; ++g, stored += 18) {
    column.half_scales[g] = stored;
    for (int i = 0; i < 32; ++i) {
      const uint8_t byte = u8(stored + 2 + i % 16);
      const int index = i < 16 ? byte & 15 : byte >> 4;
      column.codes[static_cast<size_t>(32 * g + i)] =
          static_cast<uint8_t>(quant::kIq4NlValues[index] + 128);
    }
  }
}

// One group of the formats that become scaled8.
void read_scaled(const Tensor& matrix, int64_t first, Column& column) {
  const std::byte* block = matrix.data.data();
  column.minimum = 0;
  switch (matrix.dtype) {
    case DType::kQ4_1:
    case DType::kQ5_1: {
      const bool five = matrix.dtype == DType::kQ5_1;
      block += first / 32 * (five ? 24 : 20);
      column.scale = quant::load_f16(block);
      // Codes begin at 128 there, so that nothing has to be taken off the minimum.
      column.minimum = quant::load_f16(block + 2);
      uint32_t fifth = 0;
      if (five) std::memcpy(&fifth, block + 4, 4);
      const std::byte* codes = block + (five ? 8 : 4);
      for (int i = 0; i < 32; ++i) {
        const unsigned low = i < 16 ? u8(codes + i) & 15u : u8(codes + i - 16) >> 4u;
        column.codes[static_cast<size_t>(i)] =
            static_cast<uint8_t>(128 + (low | (fifth >> i & 1u) << 4));
      }
      return;
    }
    case DType::kMXFP4:
      block += first / 32 * 17;
      column.scale = quant::mxfp4_half_scale(block[0]);
      for (int i = 0; i < 32; ++i) {
        const uint8_t byte = u8(block + 1 + i % 16);
        const int index = i < 16 ? byte & 15 : byte >> 4;
        column.codes[static_cast<size_t>(i)] =
            static_cast<uint8_t>(128 + quant::kMxfp4Doubled[index]);
      }
      return;
    default:
      BRISK_CHECK(false);
  }
}

// --- Writing: one column of a block into its panel. ---

void write_bytes(const Column& column, int g, int c, std::byte* group) {
  for (int j = 0; j < 8; ++j) {
    std::memcpy(group + 64 * j + 4 * c, column.codes.data() + 32 * g + 4 * j, 4);
  }
}

void write_nibbles(const Column& column, int g, int c, std::byte* group) {
  const uint8_t* codes = column.codes.data() + static_cast<ptrdiff_t>(32) * g;
  for (int k = 0; k < 16; ++k) {
    group[64 * (k / 4) + 4 * c + k % 4] =
        static_cast<std::byte>((codes[k] & 15) | (codes[k + 16] & 15) << 4);
  }
}

void write_fifth_bits(const Column& column, int g, int c, std::byte* words) {
  for (int k = 0; k < 32; ++k) {
    if ((column.codes[static_cast<size_t>(32 * g + k)] & 16) == 0) continue;
    const int bit = 4 * c + k % 4;
    words[8 * (k / 4) + bit / 8] |= static_cast<std::byte>(1 << (bit % 8));
  }
}

void write_high_pairs(const Column& column, int g, int c, std::byte* bytes) {
  const uint8_t* codes = column.codes.data() + static_cast<ptrdiff_t>(32) * g;
  for (int h = 0; h < 2; ++h) {
    for (int i = 0; i < 4; ++i) {
      unsigned pairs = 0;
      for (int j = 0; j < 4; ++j) pairs |= (codes[16 * h + 4 * j + i] >> 4u & 3u) << (2 * j);
      bytes[64 * h + 4 * c + i] = static_cast<std::byte>(pairs);
    }
  }
}

void write_column(PanelFormat format, const Column& column, int groups, int c, std::byte* block) {
  const PanelLayout& layout = kPanelLayouts[static_cast<size_t>(format)];
  for (int g = 0; g < groups; ++g) {
    std::byte* group = block + layout.header_bytes + g * layout.group_bytes;
    switch (format) {
      case PanelFormat::kQ4_0:
        std::memcpy(block + 32 * g + 2 * c, column.half_scales[g], 2);
        write_nibbles(column, g, c, group);
        break;
      case PanelFormat::kQ8_0:
        std::memcpy(block + 32 * g + 2 * c, column.half_scales[g], 2);
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
    }
  }
  if (format == PanelFormat::kQ4_K || format == PanelFormat::kQ5_K) {
    std::memcpy(block + 2 * c, column.half_scales[0], 2);
    std::memcpy(block + 32 + 2 * c, column.half_scales[1], 2);
  } else if (format == PanelFormat::kQ6_K) {
    std::memcpy(block + 2 * c, column.half_scales[0], 2);
  }
}

// Reads block `b` of matrix row `row`; gives its groups, fewer than the layout's at the end.
int read_block(const Tensor& matrix, int64_t row, int64_t first, int groups, Column& column) {
  const int64_t depth = matrix.shape.back();
  const auto left = static_cast<int>((depth - first) / kGroupInputs);
  const int count = left < groups ? left : groups;
  const std::byte* stored = matrix.data.data() + bytes_of(matrix.dtype, row * depth + first);
  switch (matrix.dtype) {
    case DType::kQ4_0:
      read_q4_0(stored, count, column);
      break;
    case DType::kQ8_0:
      read_q8_0(stored, count, column);
      break;
    case DType::kQ5_0:
      read_q5_0(stored, count, column);
      break;
    case DType::kIQ4_NL:
      read_codes_of_iq4_nl(stored, count, column);
      break;
    case DType::kQ4_K:
      read_q4_k(stored, column);
      break;
    case DType::kQ5_K:
      read_q5_k(stored, column);
      break;
    case DType::kQ6_K:
      read_q6_k(stored, column);
      break;
    case DType::kQ3_K:
      read_q3_k(stored, column);
      break;
    default:
      read_scaled(matrix, row * depth + first, column);
      break;
  }
  return count;
}

}  // namespace

std::optional<PanelFormat> panel_format_for(const Tensor& matrix) {
  if (matrix.shape.empty() || matrix.shape.back() % kGroupInputs != 0) return std::nullopt;
  switch (matrix.dtype) {
    case DType::kQ4_0:
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
    case DType::kQ2_K:            // a minimum for every 16 inputs
    case DType::kInt8Grouped:     // llama2.c: small models, run exactly
    case DType::kTernaryGrouped:  // BitNet rounds its activations in its own way
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
  Column column = {};
  for (int64_t panel = panels.begin; panel < panels.end; ++panel, out += bytes) {
    std::memset(out, 0, static_cast<size_t>(bytes));
    for (int c = 0; c < kPanelColumns; ++c) {
      const int64_t row = panel * kPanelColumns + c;
      if (row * depth >= matrix.values()) break;
      std::byte* block = out;
      for (int64_t first = 0; first < depth; first += layout.block_inputs()) {
        const int groups = read_block(matrix, row, first, layout.groups, column);
        write_column(format, column, groups, c, block);
        block += layout.block_bytes();
      }
    }
  }
}

}  // namespace brisk
