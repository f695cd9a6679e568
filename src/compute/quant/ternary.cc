// tq2_0: 256 values of -1, 0 or 1 and one f16 scale behind them. Codes are stored plus 1, four in a
// byte: byte j of each half of 32 bytes holds values j, j + 32, j + 64 and j + 96 of its 128.
#include <algorithm>
#include <cmath>
#include <iterator>

#include "compute/quant/codecs.h"

namespace brisk::quant {
namespace {

constexpr int kBlock = 256;
constexpr int kCodeBytes = 64;
constexpr int kBlockBytes = kCodeBytes + 2;

// The step with the least squared error. With the k largest magnitudes as steps and the rest as
// zero it is their mean, so one k after the other is tried.
float best_step(const GridFit& fit) {
  struct Value {
    float magnitude;
    double importance;
  };
  Value sorted[kBlock];
  for (int i = 0; i < kBlock; ++i) {
    const double weight = fit.importance == nullptr ? 1.0 : static_cast<double>(fit.importance[i]);
    sorted[i] = {std::abs(fit.values[i]), weight};
  }
  std::sort(std::begin(sorted), std::end(sorted),
            [](const Value& a, const Value& b) { return a.magnitude > b.magnitude; });
  double values = 0, weights = 0, best = 0, step = 0;
  for (const Value& value : sorted) {
    values += value.importance * static_cast<double>(value.magnitude);
    weights += value.importance;
    const double saved = weights > 0 ? values * values / weights : 0;  // of the squared error
    if (saved <= best) continue;
    best = saved;
    step = values / weights;
  }
  return static_cast<float>(step);
}

int code_at(const std::byte* block, int i) {
  return std::to_integer<int>(block[i / 128 * 32 + i % 32]) >> (i % 128 / 32 * 2) & 3;
}

}  // namespace

void decode_tq2_0(const std::byte* blocks, int64_t values, float* out) {
  for (int64_t at = 0; at < values; at += kBlock, blocks += kBlockBytes, out += kBlock) {
    const float scale = load_f16(blocks + kCodeBytes);
    for (int i = 0; i < kBlock; ++i) out[i] = static_cast<float>(code_at(blocks, i) - 1) * scale;
  }
}

void fit_tq2_0(const GridFit& fit, std::byte* block) {
  float step = 0;
  for (int i = 0; i < kBlock; ++i) step = std::max(step, std::abs(fit.values[i]));
  store_f16_scale(fit.search ? best_step(fit) : step, block + kCodeBytes);
}

void grids_tq2_0(const std::byte* block, Grid* grid) {
  const float step = load_f16(block + kCodeBytes);
  *grid = {
      .step = step, .inverse = inverse_or_zero(step), .offset = 0, .code_min = -1, .code_max = 1};
}

void store_tq2_0(const int* codes, std::byte* block) {
  std::fill_n(block, kCodeBytes, std::byte{0});
  for (int i = 0; i < kBlock; ++i) {
    block[i / 128 * 32 + i % 32] |= static_cast<std::byte>((codes[i] + 1) << (i % 128 / 32 * 2));
  }
}

void encode_tq2_0(const float* in, int64_t values, std::byte* blocks) {
  encode_covering(*grid_format(DType::kTQ2_0), in, values, blocks);
}

}  // namespace brisk::quant
