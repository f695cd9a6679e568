#include "model/choose_sparse.h"

#include <algorithm>

#include "compute/quant/pack_panels.h"
#include "compute/quant/pack_sparse.h"

namespace brisk {
namespace {

constexpr int64_t kSampledPanels = 8;

}  // namespace

std::optional<SparsePick> choose_sparse(const Tensor& matrix, const KernelTable& kernels,
                                        SparseChoice choice) {
  if (kernels.sparse == nullptr || choice == SparseChoice::kNever) return std::nullopt;
  const auto format = sparse_format_for(matrix);
  if (!format.has_value()) return std::nullopt;
  const int64_t depth = matrix.shape.back();
  const int64_t columns = matrix.values() / depth;
  const int64_t panels = panel_count(matrix);
  const int64_t samples = std::min(panels, kSampledPanels);
  const int zeros_min = choice == SparseChoice::kAlways
                            ? 0
                            : kernels.sparse->formats[static_cast<size_t>(*format)].zeros_min;
  int64_t zeros = 0, weights = 0, bytes = 0;
  for (int64_t i = 0; i < samples; ++i) {
    const int64_t panel = (2 * i + 1) * panels / (2 * samples);
    zeros += zeros_in_panel(matrix, *format, panel);
    weights += std::min<int64_t>(kPanelColumns, columns - panel * kPanelColumns) * depth;
    if (200 * zeros < zeros_min * weights) return std::nullopt;  // not even half as many
    bytes += sparse_panel_bytes(matrix, *format, panel);
  }
  if (100 * zeros < zeros_min * weights) return std::nullopt;
  return SparsePick{.format = *format, .panel_bytes = bytes / samples};
}

}  // namespace brisk
