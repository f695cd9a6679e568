#include "compute/quant/packing.h"

#include "base/units.h"
#include "compute/kernels/cpu/kernel_table.h"
#include "compute/quant/pack_panels.h"
#include "compute/quant/pack_tiles.h"

namespace brisk {
namespace {

// Calls the overload for the kind of packing.
template <class P, class T>
auto for_kind(Packing packing, P panels, T tiles) {
  const auto* format = std::get_if<PanelFormat>(&packing);
  return format != nullptr ? panels(*format) : tiles(std::get<TileFormat>(packing));
}

}  // namespace

std::optional<Packing> packing_for(const Tensor& matrix, const KernelTable& kernels) {
  if (kernels.tiles != nullptr) return tile_format_for(matrix);
  return panel_format_for(matrix);
}

std::optional<Packing> packing_of(const Tensor& tensor) {
  if (tensor.panels.has_value()) return *tensor.panels;
  return tensor.tiles;
}

void set_packing(Tensor& tensor, Packing packing) {
  for_kind(
      packing, [&](PanelFormat format) { tensor.panels = format; },
      [&](TileFormat format) { tensor.tiles = format; });
}

DType dtype_of(Packing packing) {
  constexpr DType kOfTiles[kTileFormatCount] = {
      DType::kQ4_0, DType::kQ4_1,   DType::kQ4_K,  DType::kIQ4_NL, DType::kMXFP4,
      DType::kQ5_0, DType::kQ5_1,   DType::kQ5_K,  DType::kQ6_K,   DType::kQ8_0,
      DType::kBF16, DType::kScaled, DType::kScaled};
  return for_kind(
      packing, [](PanelFormat format) { return dtype_of(format); },
      [&](TileFormat format) { return kOfTiles[static_cast<size_t>(format)]; });
}

int64_t panel_outputs(Packing packing) {
  return std::holds_alternative<TileFormat>(packing) ? kTileOutputs : kPanelColumns;
}

int64_t depth_unit(Packing packing) {
  return for_kind(
      packing,
      [](PanelFormat format) -> int64_t {
        const bool k_quant = kPanelLayouts[static_cast<size_t>(format)].groups == 8;
        return k_quant ? 8 * kGroupInputs : kGroupInputs;
      },
      [](TileFormat format) -> int64_t {
        return kTileLayouts[static_cast<size_t>(format)].block_inputs();
      });
}

int64_t panel_count(Packing packing, const Tensor& matrix) {
  const int64_t depth = matrix.shape.back();
  return ceil_div(depth == 0 ? 0 : matrix.values() / depth, panel_outputs(packing));
}

int64_t panel_bytes(Packing packing, int64_t depth) {
  return for_kind(
      packing, [&](PanelFormat format) { return panel_bytes(format, depth); },
      [&](TileFormat format) { return tile_panel_bytes(format, depth); });
}

void pack(const Tensor& matrix, Packing packing, Range panels, std::byte* out) {
  for_kind(
      packing, [&](PanelFormat format) { pack_panels(matrix, format, panels, out); },
      [&](TileFormat format) { pack_tiles(matrix, format, panels, out); });
}

}  // namespace brisk
