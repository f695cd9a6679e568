#include "compute/quant/row_grids.h"

#include <algorithm>

#include "compute/quant/codecs.h"
#include "compute/quant/format.h"

namespace brisk {

BlockRowGrids::BlockRowGrids(const GridFormat& format, int64_t depth, std::byte* bytes)
    : format_(format),
      block_bytes_(bytes_of(format.dtype, format.block_values)),
      row_bytes_(bytes_of(format.dtype, depth)),
      bytes_(bytes) {}

std::byte* BlockRowGrids::block_at(int64_t row, int64_t begin) const {
  return bytes_ + row * row_bytes_ + begin / format_.block_values * block_bytes_;
}

void BlockRowGrids::fit(int64_t row, int64_t begin, int64_t /*count*/, const GridFit& fit) {
  format_.fit(fit, block_at(row, begin));
}

void BlockRowGrids::grids(int64_t row, int64_t begin, Grid* grids) const {
  format_.grids(block_at(row, begin), grids);
}

void BlockRowGrids::store(int64_t row, int64_t begin, std::span<const int> codes) {
  format_.store(codes.data(), block_at(row, begin));
}

ScaledRowGrids::ScaledRowGrids(const ScaledScheme& scheme, ScaledCodes& codes)
    : scheme_(scheme),
      width_(scheme.group == 0 ? codes.inputs : scheme.group),
      groups_(scaled_groups(scheme, codes.inputs)),
      codes_(codes) {}

size_t ScaledRowGrids::group_at(int64_t row, int64_t begin) const {
  return static_cast<size_t>(row * groups_ + begin / width_);
}

int ScaledRowGrids::zero_at(size_t group) const {
  if (scheme_.is_float) return 0;
  return codes_.zeros.empty() ? 1 << (scheme_.bits - 1) : codes_.zeros[group];
}

void ScaledRowGrids::fit(int64_t row, int64_t begin, int64_t count, const GridFit& fit) {
  const std::span<const float> weights(fit.values, static_cast<size_t>(count));
  const GroupScale found = fit_group(scheme_, weights, fit.importance, fit.search);
  codes_.scales[group_at(row, begin)] = found.scale;
  if (!codes_.zeros.empty()) {
    codes_.zeros[group_at(row, begin)] = static_cast<uint8_t>(found.zero);
  }
}

void ScaledRowGrids::grids(int64_t row, int64_t begin, Grid* grids) const {
  const size_t group = group_at(row, begin);
  const float scale = codes_.scales[group];
  const int zero = zero_at(group);
  *grids = {.step = scale,
            .inverse = quant::inverse_or_zero(scale),
            .offset = 0,
            .code_min = -zero,
            .code_max = (1 << scheme_.bits) - 1 - zero,
            .is_e4m3 = scheme_.is_float};
}

void ScaledRowGrids::store(int64_t row, int64_t begin, std::span<const int> codes) {
  const int zero = zero_at(group_at(row, begin));
  uint8_t* const out = codes_.codes.data() + row * codes_.inputs + begin;
  for (size_t i = 0; i < codes.size(); ++i) out[i] = static_cast<uint8_t>(codes[i] + zero);
}

void round_searched(RowGrids& rows, int64_t row, std::span<const float> weights,
                    const float* importance) {
  const auto depth = std::ssize(weights);
  const int64_t run = rows.run_inputs(), shared = rows.grid_inputs();
  Grid grids[kBlockRunsMax];
  int codes[kBlockValuesMax];
  for (int64_t begin = 0; begin < depth; begin += run) {
    const int64_t end = std::min(begin + run, depth);
    const float* weighs = importance == nullptr ? nullptr : importance + begin;
    rows.fit(row, begin, end - begin,
             {.values = weights.data() + begin, .importance = weighs, .search = true});
    rows.grids(row, begin, grids);
    for (int64_t at = begin; at < end; at += kBlockValuesMax) {
      const int64_t count = std::min<int64_t>(kBlockValuesMax, end - at);
      for (int64_t i = 0; i < count; ++i) {
        codes[i] =
            grids[(at - begin + i) / shared].nearest_code(weights[static_cast<size_t>(at + i)]);
      }
      rows.store(row, at, {codes, static_cast<size_t>(count)});
    }
  }
}

}  // namespace brisk
