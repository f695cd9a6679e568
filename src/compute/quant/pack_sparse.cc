#include "compute/quant/pack_sparse.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <vector>

#include "base/units.h"
#include "compute/quant/format.h"
#include "compute/quant/pack_panels.h"

namespace brisk {
namespace {

constexpr int64_t kBlockInputs = int64_t{kSparseBlockUnits} * kSparseUnitInputs;
static_assert(std::endian::native == std::endian::little);

const SparseLayout& layout_of(SparseFormat format) {
  return kSparseLayouts[static_cast<size_t>(format)];
}

int64_t columns_of_panel(const Tensor& matrix, int64_t panel) {
  const int64_t columns = matrix.values() / matrix.shape.back();
  return std::min<int64_t>(kPanelColumns, columns - panel * kPanelColumns);
}

// Takes what a panel is made of, in order; measures alone where there is nowhere to write.
class Writer {
 public:
  explicit Writer(std::byte* out) : out_(out) {}

  int64_t bytes() const { return bytes_; }

  void put(const void* from, size_t size) {
    if (out_ != nullptr) std::memcpy(out_ + bytes_, from, size);
    bytes_ += static_cast<int64_t>(size);
  }

 private:
  std::byte* const out_;
  int64_t bytes_ = 0;
};

// --- Floats ---

// One weight of a matrix of 16-bit or 32-bit floats, as it is stored.
template <class Bits>
Bits float_bits(const Tensor& matrix, int64_t row, int64_t input) {
  Bits bits;
  std::memcpy(&bits, matrix.data.data() + (row * matrix.shape.back() + input) * sizeof bits,
              sizeof bits);
  return bits;
}

// Zeros of either sign.
template <class Bits>
bool is_zero(Bits bits) {
  return static_cast<Bits>(bits << 1) == 0;
}

template <class Bits>
int64_t float_zeros(const Tensor& matrix, int64_t panel) {
  const int64_t depth = matrix.shape.back();
  int64_t zeros = 0;
  for (int64_t c = 0; c < columns_of_panel(matrix, panel); ++c) {
    for (int64_t k = 0; k < depth; ++k) {
      zeros += is_zero(float_bits<Bits>(matrix, panel * kPanelColumns + c, k)) ? 1 : 0;
    }
  }
  return zeros;
}

// Masks and values of up to 32 inputs of a row.
template <class Bits>
struct Unit {
  uint32_t mask = 0;
  int count = 0;
  std::array<Bits, kSparseUnitInputs> values;
};

template <class Bits>
Unit<Bits> read_unit(const Tensor& matrix, int64_t row, int64_t first, bool interleaved) {
  Unit<Bits> unit;
  const int64_t depth = matrix.shape.back();
  for (int b = 0; b < kSparseUnitInputs; ++b) {
    const int64_t input = first + (interleaved ? b / 2 + 16 * (b % 2) : b);
    if (input >= depth) continue;
    const Bits bits = float_bits<Bits>(matrix, row, input);
    const bool stored = !is_zero(bits);  // without a branch, which nobody could predict
    unit.values[static_cast<size_t>(unit.count)] = bits;
    unit.mask |= uint32_t{stored} << b;
    unit.count += stored ? 1 : 0;
  }
  return unit;
}

// Inputs [first, last) of the quad of columns that begins at `row`, of which `columns` exist.
template <class Bits>
void write_block(const Tensor& matrix, int64_t row, int64_t columns, int64_t first, int64_t last,
                 bool interleaved, Writer& writer) {
  std::array<Unit<Bits>, size_t{kSparseBlockUnits} * kSparseQuadColumns> units;
  size_t count = 0;
  for (int64_t k = first; k < last; k += kSparseUnitInputs) {
    for (int64_t c = 0; c < kSparseQuadColumns; ++c) {
      units[count++] = c < columns ? read_unit<Bits>(matrix, row + c, k, interleaved)
                                   : Unit<Bits>{.mask = 0, .count = 0, .values = {}};
    }
  }
  for (size_t i = 0; i < count; ++i) writer.put(&units[i].mask, 4);
  for (size_t i = 0; i < count; ++i) {
    writer.put(units[i].values.data(), static_cast<size_t>(units[i].count) * sizeof(Bits));
  }
}

template <class Bits>
void write_floats(const Tensor& matrix, SparseFormat format, int64_t panel, Writer& writer) {
  const int64_t depth = matrix.shape.back();
  const int64_t columns = columns_of_panel(matrix, panel);
  const bool interleaved = format == SparseFormat::kBF16;
  for (int64_t quad = 0; quad < kPanelColumns; quad += kSparseQuadColumns) {
    for (int64_t k = 0; k < depth; k += kBlockInputs) {
      write_block<Bits>(matrix, panel * kPanelColumns + quad, columns - quad, k,
                        std::min(depth, k + kBlockInputs), interleaved, writer);
    }
  }
}

// --- Codes ---

std::vector<std::byte> dense_panel(const Tensor& matrix, PanelFormat format, int64_t panel) {
  std::vector<std::byte> dense(static_cast<size_t>(panel_bytes(format, matrix.shape.back())));
  pack_panels(matrix, format, {panel, panel + 1}, dense.data());
  return dense;
}

// Code of a dense group that belongs to bit `b` of mask `j`.
uint8_t code_at(const std::byte* group, const SparseLayout& layout, int j, int b) {
  if (layout.value_bits == 8) return std::to_integer<uint8_t>(group[64 * j + b]);
  const auto both = std::to_integer<unsigned>(group[64 * (j % 4) + b]);
  return static_cast<uint8_t>(j < 4 ? both & 15 : both >> 4);
}

// What one mask stands for.
struct CodeUnit {
  uint64_t mask = 0;
  int count = 0;
  std::array<uint8_t, 64> codes = {};
};

CodeUnit read_codes_unit(const std::byte* group, const SparseLayout& layout, int j,
                         int64_t columns) {
  CodeUnit unit;
  for (int b = 0; b < 4 * static_cast<int>(columns); ++b) {
    const uint8_t code = code_at(group, layout, j, b);
    const bool stored = code != layout.absent;
    unit.codes[static_cast<size_t>(unit.count)] = code;
    unit.mask |= uint64_t{stored} << b;
    unit.count += stored ? 1 : 0;
  }
  return unit;
}

void write_codes(const CodeUnit& unit, int value_bits, Writer& writer) {
  if (value_bits == 8) return writer.put(unit.codes.data(), static_cast<size_t>(unit.count));
  std::array<uint8_t, 32> pairs;
  for (size_t i = 0; i < pairs.size(); ++i) {
    pairs[i] = static_cast<uint8_t>(unit.codes[2 * i] | unit.codes[2 * i + 1] << 4);
  }
  writer.put(pairs.data(), static_cast<size_t>(unit.count + 1) / 2);
}

// Calls visit(header, units) for each block of the panel; groups beyond the depth have no codes.
template <class Visit>
void for_blocks_of_codes(const Tensor& matrix, SparseFormat format, int64_t panel, Visit visit) {
  const SparseLayout& layout = layout_of(format);
  const PanelLayout& dense_layout = kPanelLayouts[static_cast<size_t>(layout.dense)];
  const std::vector<std::byte> dense = dense_panel(matrix, layout.dense, panel);
  const int64_t columns = columns_of_panel(matrix, panel);
  const int64_t groups = matrix.shape.back() / kGroupInputs;
  const std::byte* block = dense.data();
  for (int64_t first = 0; first < groups; first += kSparseBlockGroups) {
    std::array<CodeUnit, kSparseBlockMasks> units = {};
    for (int64_t g = 0; g < kSparseBlockGroups && first + g < groups; ++g) {
      const std::byte* group = block + dense_layout.header_bytes + g * dense_layout.group_bytes;
      for (int j = 0; j < 8; ++j) {
        units[static_cast<size_t>(8 * g + j)] = read_codes_unit(group, layout, j, columns);
      }
    }
    visit(block, units);
    block += dense_layout.block_bytes();
  }
}

void write_panel_of_codes(const Tensor& matrix, SparseFormat format, int64_t panel,
                          Writer& writer) {
  for_blocks_of_codes(matrix, format, panel, [&](const std::byte* header, const auto& units) {
    writer.put(header, kSparseHeaderBytes);
    for (const CodeUnit& unit : units) writer.put(&unit.mask, 8);
    for (const CodeUnit& unit : units) write_codes(unit, layout_of(format).value_bits, writer);
  });
}

int64_t code_zeros(const Tensor& matrix, SparseFormat format, int64_t panel) {
  int64_t codes = 0;
  for_blocks_of_codes(matrix, format, panel, [&](const std::byte*, const auto& units) {
    for (const CodeUnit& unit : units) codes += unit.count;
  });
  return columns_of_panel(matrix, panel) * matrix.shape.back() - codes;
}

void write_panel(const Tensor& matrix, SparseFormat format, int64_t panel, Writer& writer) {
  switch (format) {
    case SparseFormat::kBF16:
    case SparseFormat::kF16:
      return write_floats<uint16_t>(matrix, format, panel, writer);
    case SparseFormat::kF32:
      return write_floats<uint32_t>(matrix, format, panel, writer);
    case SparseFormat::kQ8_0:
    case SparseFormat::kQ4_0:
      return write_panel_of_codes(matrix, format, panel, writer);
  }
}

}  // namespace

std::optional<SparseFormat> sparse_format_for(const Tensor& matrix) {
  if (matrix.is_packed() || matrix.shape.empty() || matrix.values() == 0) return std::nullopt;
  if (matrix.dtype == DType::kBF16) return SparseFormat::kBF16;
  if (matrix.dtype == DType::kF16) return SparseFormat::kF16;
  if (matrix.dtype == DType::kF32) return SparseFormat::kF32;
  const auto dense = panel_format_for(matrix);
  if (dense == PanelFormat::kQ8_0) return SparseFormat::kQ8_0;
  if (dense == PanelFormat::kQ4_0) return SparseFormat::kQ4_0;
  return std::nullopt;
}

const char* name_of(SparseFormat format) {
  switch (format) {
    case SparseFormat::kBF16:
      return "sparse bf16";
    case SparseFormat::kF16:
      return "sparse f16";
    case SparseFormat::kF32:
      return "sparse f32";
    case SparseFormat::kQ8_0:
      return "sparse q8_0";
    case SparseFormat::kQ4_0:
      break;
  }
  return "sparse q4_0";
}

int64_t zeros_in_panel(const Tensor& matrix, SparseFormat format, int64_t panel) {
  switch (format) {
    case SparseFormat::kBF16:
    case SparseFormat::kF16:
      return float_zeros<uint16_t>(matrix, panel);
    case SparseFormat::kF32:
      return float_zeros<uint32_t>(matrix, panel);
    case SparseFormat::kQ8_0:
    case SparseFormat::kQ4_0:
      break;
  }
  return code_zeros(matrix, format, panel);
}

int64_t sparse_panel_bytes(const Tensor& matrix, SparseFormat format, int64_t panel) {
  const int64_t depth = matrix.shape.back();
  if (layout_of(format).is_float) {
    const int64_t masks = ceil_div<int64_t>(depth, kSparseUnitInputs) * kPanelColumns;
    const int64_t values =
        columns_of_panel(matrix, panel) * depth - zeros_in_panel(matrix, format, panel);
    return 4 * masks + values * layout_of(format).value_bits / 8;
  }
  Writer measure(nullptr);
  write_panel(matrix, format, panel, measure);
  return measure.bytes();
}

void pack_sparse_panel(const Tensor& matrix, SparseFormat format, int64_t panel, std::byte* out) {
  Writer writer(out);
  write_panel(matrix, format, panel, writer);
}

std::vector<std::byte> pack_sparse(const Tensor& matrix, SparseFormat format) {
  const int64_t panels = panel_count(matrix);
  std::vector<uint64_t> offsets = {static_cast<uint64_t>(sparse_index_bytes(panels))};
  for (int64_t p = 0; p < panels; ++p) {
    const int64_t bytes = sparse_panel_bytes(matrix, format, p);
    offsets.push_back(offsets.back() + static_cast<uint64_t>(bytes));
  }
  std::vector<std::byte> packed(offsets.back() + kSparseSlack);
  std::memcpy(packed.data(), offsets.data(), 8 * offsets.size());
  for (int64_t p = 0; p < panels; ++p) {
    pack_sparse_panel(matrix, format, p, packed.data() + offsets[static_cast<size_t>(p)]);
  }
  return packed;
}

}  // namespace brisk
