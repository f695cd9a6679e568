// Encoders of q2_k, q4_k and q6_k: for each run of values, the step (and offset) with the least
// squared error among a few candidates, refitted to the codes it leads to.
#include <algorithm>
#include <cmath>

#include "compute/quant/codecs.h"
#include "compute/quant/k_scales.h"
#include "compute/quant/search.h"

namespace brisk::quant {
namespace {

constexpr int kSuper = 256;

// The least-squares step and offset for codes that are already chosen; `fallback` when they say
// nothing (all codes equal) or would need a negative offset, which the format cannot store.
AffineFit refit(const float* in, const int* codes, int count, AffineFit fallback) {
  float sum_c = 0, sum_cc = 0, sum_x = 0, sum_cx = 0;
  for (int i = 0; i < count; ++i) {
    const float c = static_cast<float>(codes[i]);
    sum_c += c;
    sum_cc += c * c;
    sum_x += in[i];
    sum_cx += c * in[i];
  }
  const float n = static_cast<float>(count);
  const float determinant = n * sum_cc - sum_c * sum_c;
  if (!(determinant > 0)) return fallback;
  AffineFit fit = {.step = (n * sum_cx - sum_c * sum_x) / determinant,
                   .offset = (sum_c * sum_cx - sum_cc * sum_x) / determinant};
  if (fit.offset < 0) fit = {.step = sum_cx / sum_cc, .offset = 0};
  return fit.step > 0 ? fit : fallback;
}

float squared_error(const float* in, int count, int code_max, AffineFit fit, int* codes) {
  const float inverse = inverse_or_zero(fit.step);
  float error = 0;
  for (int i = 0; i < count; ++i) {
    codes[i] = nearest((in[i] + fit.offset) * inverse, 0, code_max);
    const float difference = fit.step * static_cast<float>(codes[i]) - fit.offset - in[i];
    error += difference * difference;
  }
  return error;
}

// REQUIRES: count <= 32.
AffineFit fit_affine(const float* in, int count, int code_max) {
  const auto [low, high] = std::minmax_element(in, in + count);
  const float offset = std::max(0.0f, -*low);
  const float range = *high + offset;
  if (!(range > 0) || std::isinf(range))
    return {.step = 0, .offset = std::isinf(range) ? 0 : offset};
  int codes[32];
  AffineFit best;
  float best_error = INFINITY;
  // Slightly finer steps than range / code_max clip the ends and serve the middle better.
  for (const float shrink : {1.0f, 0.93f, 0.86f}) {
    const AffineFit start = {.step = range * shrink / static_cast<float>(code_max),
                             .offset = offset * shrink};
    squared_error(in, count, code_max, start, codes);
    const AffineFit fit = refit(in, codes, count, start);
    const float error = squared_error(in, count, code_max, fit, codes);
    if (error < best_error) {
      best = fit;
      best_error = error;
    }
  }
  return best;
}

// The step with values ~ step * code, code in [-32, 31]; its sign puts the extreme value on -32.
float fit_symmetric_16(const float* in) {
  float extreme = 0;
  for (int i = 0; i < 16; ++i) {
    if (std::abs(in[i]) > std::abs(extreme)) extreme = in[i];
  }
  if (extreme == 0 || !std::isfinite(extreme)) return 0;
  float best = 0, best_gain = -1;
  for (const float levels : {-32.0f, -31.0f, -30.0f, -33.0f}) {
    const float inverse = inverse_or_zero(extreme / levels);
    float sum_cc = 0, sum_cx = 0;
    for (int i = 0; i < 16; ++i) {
      const float c = static_cast<float>(nearest(in[i] * inverse, -32, 31));
      sum_cc += c * c;
      sum_cx += c * in[i];
    }
    // The error of the refitted step is sum(x^2) - gain.
    const float gain = sum_cc > 0 ? sum_cx * sum_cx / sum_cc : 0;
    if (gain > best_gain) {
      best = sum_cc > 0 ? sum_cx / sum_cc : 0;
      best_gain = gain;
    }
  }
  return best;
}

// The step with its offset, as q2_k's four bits for each say them.
struct RunCodes {
  int step, offset;
};

double weighted_error(const GridFit& run, AffineFit fit) {
  const float inverse = inverse_or_zero(fit.step);
  double error = 0;
  for (int i = 0; i < 16; ++i) {
    const float x = run.values[i];
    const float code = static_cast<float>(nearest((x + fit.offset) * inverse, 0, 3));
    const auto difference = static_cast<double>(fit.step * code - fit.offset - x);
    const double w = run.importance == nullptr ? 1.0 : static_cast<double>(run.importance[i]);
    error += w * difference * difference;
  }
  return error;
}

// Four bits are few: what lies around the nearest codes of `fit` may serve better.
RunCodes search_codes(const GridFit& run, AffineFit fit, float scale, float minimum) {
  const RunCodes around = {.step = nearest(fit.step * inverse_or_zero(scale), 0, 15),
                           .offset = nearest(fit.offset * inverse_or_zero(minimum), 0, 15)};
  RunCodes best = around;
  double best_error = INFINITY;
  for (int step = std::max(around.step - 1, 0); step <= std::min(around.step + 1, 15); ++step) {
    for (int offset = std::max(around.offset - 2, 0); offset <= std::min(around.offset + 2, 15);
         ++offset) {
      const double error = weighted_error(run, {.step = scale * static_cast<float>(step),
                                                .offset = minimum * static_cast<float>(offset)});
      if (error >= best_error) continue;
      best_error = error;
      best = {step, offset};
    }
  }
  return best;
}

}  // namespace

void fit_q2_k(const GridFit& fit, std::byte* block) {
  GridFit runs[16];
  AffineFit fits[16];
  float step_max = 0, offset_max = 0;
  for (int i = 0; i < 16; ++i) {
    const float* importance = fit.importance == nullptr ? nullptr : fit.importance + i * 16;
    runs[i] = {.values = fit.values + i * 16, .importance = importance, .search = fit.search};
    fits[i] = fit.search ? search_affine(runs[i].values, importance, 16, 3, 0)
                         : fit_affine(runs[i].values, 16, 3);
    step_max = std::max(step_max, fits[i].step);
    offset_max = std::max(offset_max, fits[i].offset);
  }
  const float scale = store_f16_scale(step_max / 15, block + 80);
  const float minimum = store_f16_scale(offset_max / 15, block + 82);
  for (int i = 0; i < 16; ++i) {
    const RunCodes codes =
        fit.search ? search_codes(runs[i], fits[i], scale, minimum)
                   : RunCodes{nearest(fits[i].step * inverse_or_zero(scale), 0, 15),
                              nearest(fits[i].offset * inverse_or_zero(minimum), 0, 15)};
    block[i] = static_cast<std::byte>(codes.step | codes.offset << 4);
  }
}

void grids_q2_k(const std::byte* block, Grid* grids) {
  const float scale = load_f16(block + 80), minimum = load_f16(block + 82);
  for (int i = 0; i < 16; ++i) {
    const int codes = std::to_integer<int>(block[i]);
    const float step = scale * static_cast<float>(codes & 15);
    grids[i] = {.step = step,
                .inverse = inverse_or_zero(step),
                .offset = -(minimum * static_cast<float>(codes >> 4)),
                .code_min = 0,
                .code_max = 3};
  }
}

void store_q2_k(const int* codes, std::byte* block) {
  std::fill_n(block + 16, 64, std::byte{0});
  for (int i = 0; i < kSuper; ++i) {
    block[16 + i / 128 * 32 + i % 32] |= static_cast<std::byte>(codes[i] << (i % 128 / 32 * 2));
  }
}

void encode_q2_k(const float* in, int64_t values, std::byte* blocks) {
  encode_covering(*grid_format(DType::kQ2_K), in, values, blocks);
}

void fit_q4_k(const GridFit& fit, std::byte* block) {
  AffineFit fits[8];
  float step_max = 0, offset_max = 0;
  for (int run = 0; run < 8; ++run) {
    const float* values = fit.values + run * 32;
    const float* importance = fit.importance == nullptr ? nullptr : fit.importance + run * 32;
    fits[run] =
        fit.search ? search_affine(values, importance, 32, 15, 0) : fit_affine(values, 32, 15);
    step_max = std::max(step_max, fits[run].step);
    offset_max = std::max(offset_max, fits[run].offset);
  }
  const float scale = store_f16_scale(step_max / 63, block);
  const float minimum = store_f16_scale(offset_max / 63, block + 2);
  KScales runs;
  for (int run = 0; run < 8; ++run) {
    runs.scale[run] = static_cast<uint8_t>(nearest(fits[run].step * inverse_or_zero(scale), 0, 63));
    runs.minimum[run] =
        static_cast<uint8_t>(nearest(fits[run].offset * inverse_or_zero(minimum), 0, 63));
  }
  pack_k_scales(runs, reinterpret_cast<uint8_t*>(block + 4));
}

void grids_q4_k(const std::byte* block, Grid* grids) {
  const float scale = load_f16(block), minimum = load_f16(block + 2);
  const KScales runs = unpack_k_scales(reinterpret_cast<const uint8_t*>(block + 4));
  for (int run = 0; run < 8; ++run) {
    const float step = scale * static_cast<float>(runs.scale[run]);
    grids[run] = {.step = step,
                  .inverse = inverse_or_zero(step),
                  .offset = -(minimum * static_cast<float>(runs.minimum[run])),
                  .code_min = 0,
                  .code_max = 15};
  }
}

void store_q4_k(const int* codes, std::byte* block) {
  uint8_t* packed = reinterpret_cast<uint8_t*>(block + 16);
  for (int pair = 0; pair < 4; ++pair) {
    for (int l = 0; l < 32; ++l) {
      const int* low = codes + pair * 64 + l;
      packed[pair * 32 + l] = static_cast<uint8_t>(low[0] | low[32] << 4);
    }
  }
}

void encode_q4_k(const float* in, int64_t values, std::byte* blocks) {
  encode_covering(*grid_format(DType::kQ4_K), in, values, blocks);
}

void fit_q6_k(const GridFit& fit, std::byte* block) {
  float steps[16];
  float extreme = 0;
  for (int run = 0; run < 16; ++run) {
    const float* values = fit.values + run * 16;
    const float* importance = fit.importance == nullptr ? nullptr : fit.importance + run * 16;
    steps[run] =
        fit.search ? search_symmetric(values, importance, 16, -32, 31) : fit_symmetric_16(values);
    if (std::abs(steps[run]) > std::abs(extreme)) extreme = steps[run];
  }
  const float scale = store_f16_scale(extreme / -128, block + 208);
  for (int run = 0; run < 16; ++run) {
    block[192 + run] =
        static_cast<std::byte>(nearest(steps[run] * inverse_or_zero(scale), -128, 127));
  }
}

void grids_q6_k(const std::byte* block, Grid* grids) {
  const float scale = load_f16(block + 208);
  for (int run = 0; run < 16; ++run) {
    const float step = scale * static_cast<float>(std::to_integer<int8_t>(block[192 + run]));
    grids[run] = {.step = step,
                  .inverse = inverse_or_zero(step),
                  .offset = 0,
                  .code_min = -32,
                  .code_max = 31};
  }
}

void store_q6_k(const int* codes, std::byte* block) {
  uint8_t* low = reinterpret_cast<uint8_t*>(block);
  uint8_t* high = reinterpret_cast<uint8_t*>(block + 128);
  std::memset(block, 0, 192);
  for (int i = 0; i < kSuper; ++i) {
    const int code = codes[i] + 32;
    const int half = i / 128, within = i % 128;
    uint8_t& low_byte = low[half * 64 + within % 64];
    uint8_t& high_byte = high[half * 32 + within % 32];
    low_byte = static_cast<uint8_t>(low_byte | (code & 15) << (within / 64 * 4));
    high_byte = static_cast<uint8_t>(high_byte | (code >> 4) << (within / 32 * 2));
  }
}

void encode_q6_k(const float* in, int64_t values, std::byte* blocks) {
  encode_covering(*grid_format(DType::kQ6_K), in, values, blocks);
}

}  // namespace brisk::quant
