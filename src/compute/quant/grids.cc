#include "compute/quant/grids.h"

#include <algorithm>

#include "compute/quant/codecs.h"
#include "compute/quant/format.h"

namespace brisk {
namespace {

constexpr GridFormat kGridFormats[] = {
    {DType::kQ8_0, 32, 32, quant::fit_q8_0, quant::grids_q8_0, quant::store_q8_0},
    {DType::kQ4_0, 32, 32, quant::fit_q4_0, quant::grids_q4_0, quant::store_q4_0},
    {DType::kQ4_1, 32, 32, quant::fit_q4_1, quant::grids_q4_1, quant::store_q4_1},
    {DType::kQ5_0, 32, 32, quant::fit_q5_0, quant::grids_q5_0, quant::store_q5_0},
    {DType::kQ5_1, 32, 32, quant::fit_q5_1, quant::grids_q5_1, quant::store_q5_1},
    {DType::kQ2_K, 256, 16, quant::fit_q2_k, quant::grids_q2_k, quant::store_q2_k},
    {DType::kQ4_K, 256, 32, quant::fit_q4_k, quant::grids_q4_k, quant::store_q4_k},
    {DType::kQ6_K, 256, 16, quant::fit_q6_k, quant::grids_q6_k, quant::store_q6_k},
    {DType::kTQ2_0, 256, 256, quant::fit_tq2_0, quant::grids_tq2_0, quant::store_tq2_0},
};

struct Encoding {
  const GridFormat& format;
  const float* importance;
  bool search;
};

void encode(const Encoding& encoding, const float* in, int64_t values, std::byte* blocks) {
  const GridFormat& format = encoding.format;
  const int64_t bytes = bytes_of(format.dtype, format.block_values);
  Grid grids[kBlockRunsMax];
  int codes[kBlockValuesMax];
  for (int64_t at = 0; at < values; at += format.block_values, blocks += bytes) {
    const float* importance = encoding.importance == nullptr ? nullptr : encoding.importance + at;
    format.fit({.values = in + at, .importance = importance, .search = encoding.search}, blocks);
    format.grids(blocks, grids);
    for (int i = 0; i < format.block_values; ++i) {
      codes[i] = grids[i / format.run_values].nearest_code(in[at + i]);
    }
    format.store(codes, blocks);
  }
}

}  // namespace

int Grid::nearest_code(float value) const {
  if (is_e4m3) return quant::f32_to_e4m3(value * inverse);
  return quant::nearest((value - offset) * inverse, code_min, code_max);
}

float Grid::value_of(int code) const {
  if (is_e4m3) return step * quant::e4m3_to_f32(static_cast<uint8_t>(code));
  return step * static_cast<float>(code) + offset;
}

const GridFormat* grid_format(DType dtype) {
  const auto* found = std::find_if(std::begin(kGridFormats), std::end(kGridFormats),
                                   [dtype](const GridFormat& row) { return row.dtype == dtype; });
  return found == std::end(kGridFormats) ? nullptr : found;
}

void encode_covering(const GridFormat& format, const float* in, int64_t values, std::byte* blocks) {
  encode({.format = format, .importance = nullptr, .search = false}, in, values, blocks);
}

void encode_searched(const GridFormat& format, const float* in, const float* importance,
                     int64_t values, std::byte* blocks) {
  encode({.format = format, .importance = importance, .search = true}, in, values, blocks);
}

}  // namespace brisk
