#include "compute/quant/search.h"

#include <algorithm>
#include <cmath>

#include "compute/quant/codecs.h"

namespace brisk::quant {
namespace {

constexpr int kRunMax = 32;

// Sums over a run, weighted.
struct Moments {
  double w = 0, c = 0, cc = 0, x = 0, cx = 0;
};

Moments moments_of(const float* in, const float* importance, const int* codes, int count) {
  Moments m;
  for (int i = 0; i < count; ++i) {
    const double w = importance == nullptr ? 1.0 : static_cast<double>(importance[i]);
    const double c = codes[i], x = static_cast<double>(in[i]);
    m.w += w;
    m.c += w * c;
    m.cc += w * c * c;
    m.x += w * x;
    m.cx += w * c * x;
  }
  return m;
}

// Rounds to the grid and returns the weighted squared error.
double round_to(const float* in, const float* importance, int count, AffineFit fit, int code_min,
                int code_max, int* codes) {
  const float inverse = inverse_or_zero(fit.step);
  double error = 0;
  for (int i = 0; i < count; ++i) {
    codes[i] = nearest((in[i] + fit.offset) * inverse, code_min, code_max);
    const float difference = fit.step * static_cast<float>(codes[i]) - fit.offset - in[i];
    const double w = importance == nullptr ? 1.0 : static_cast<double>(importance[i]);
    error += w * static_cast<double>(difference) * static_cast<double>(difference);
  }
  return error;
}

// The same for fits with a zero point: shows each, and what least squares makes of its codes.
class ZeroPointSearch {
 public:
  ZeroPointSearch(std::span<const float> values, const float* importance, int code_max)
      : values_(values), importance_(importance), code_max_(code_max) {}

  void consider(ZeroPointFit fit) {
    const double refined = try_fit(fit);
    if (!(refined > 0)) return;
    fit.scale = static_cast<float>(refined);
    try_fit(fit);
  }
  ZeroPointFit best() const { return best_; }

 private:
  // The scale with the least error for the codes that `fit` leads to.
  double try_fit(ZeroPointFit fit) {
    const float inverse = inverse_or_zero(fit.scale);
    double error = 0, codes_codes = 0, codes_values = 0;
    for (size_t i = 0; i < values_.size(); ++i) {
      const int code = nearest(values_[i] * inverse, -fit.zero, code_max_ - fit.zero);
      const double w = importance_ == nullptr ? 1.0 : static_cast<double>(importance_[i]);
      const auto x = static_cast<double>(values_[i]);
      const double difference = static_cast<double>(fit.scale) * code - x;
      error += w * difference * difference;
      codes_codes += w * code * code;
      codes_values += w * code * x;
    }
    if (error < best_error_) {
      best_error_ = error;
      best_ = fit;
    }
    return codes_codes > 0 ? codes_values / codes_codes : 0;
  }

  const std::span<const float> values_;
  const float* const importance_;
  const int code_max_;
  ZeroPointFit best_;
  double best_error_ = INFINITY;
};

// Keeps the best of the fits it is shown, and of what least squares makes of each.
class Search {
 public:
  Search(const float* in, const float* importance, int count, int code_min, int code_max)
      : in_(in), importance_(importance), count_(count), code_min_(code_min), code_max_(code_max) {}

  void consider(AffineFit fit) {
    const double error = round_to(in_, importance_, count_, fit, code_min_, code_max_, codes_);
    if (error < best_error_) {
      best_error_ = error;
      best_ = fit;
    }
  }
  Moments moments() const { return moments_of(in_, importance_, codes_, count_); }
  AffineFit best() const { return best_; }

 private:
  const float* const in_;
  const float* const importance_;
  const int count_, code_min_, code_max_;
  int codes_[kRunMax] = {};
  AffineFit best_;
  double best_error_ = INFINITY;
};

}  // namespace

float search_symmetric(const float* in, const float* importance, int count, int code_min,
                       int code_max) {
  float extreme = 0;
  for (int i = 0; i < count; ++i) {
    if (std::abs(in[i]) > std::abs(extreme)) extreme = in[i];
  }
  if (extreme == 0 || !std::isfinite(extreme)) return 0;
  Search search(in, importance, count, code_min, code_max);
  // Small steps where all codes are in use, larger ones where more and more is clipped.
  for (int percent = 106; percent >= 48; percent -= percent > 90 ? 2 : 4) {
    const float reach = extreme * static_cast<float>(percent) / 100;
    for (const int end : {code_min, code_max}) {
      search.consider({.step = reach / static_cast<float>(end)});
      const Moments m = search.moments();
      if (m.cc > 0 && m.cx != 0) search.consider({.step = static_cast<float>(m.cx / m.cc)});
    }
  }
  return search.best().step;
}

AffineFit search_affine(const float* in, const float* importance, int count, int code_max,
                        float offset_min) {
  const auto [low, high] = std::minmax_element(in, in + count);
  const float start = std::max(offset_min, -*low);
  const float range = *high + start;
  if (!std::isfinite(range)) return {};
  if (!(range > 0)) return {.step = 0, .offset = start};
  Search search(in, importance, count, 0, code_max);
  for (const float cut_low : {0.0f, 0.05f, 0.1f, 0.15f, 0.2f, 0.25f}) {
    for (const float cut_high : {0.0f, 0.05f, 0.1f, 0.15f, 0.2f, 0.25f}) {
      const float offset = std::max(offset_min, start - cut_low * range);
      const float reach = *high - cut_high * range + offset;
      search.consider({.step = reach / static_cast<float>(code_max), .offset = offset});
      const Moments m = search.moments();
      const double determinant = m.w * m.cc - m.c * m.c;
      if (!(determinant > 0)) continue;
      const double step = (m.w * m.cx - m.c * m.x) / determinant;
      const double below = (m.c * m.cx - m.cc * m.x) / determinant;
      if (!(step > 0)) continue;
      if (below < static_cast<double>(offset_min)) {
        if (m.cc > 0) search.consider({.step = static_cast<float>(m.cx / m.cc), .offset = 0});
      } else {
        search.consider({.step = static_cast<float>(step), .offset = static_cast<float>(below)});
      }
    }
  }
  return search.best();
}

ZeroPointFit search_zero_point(std::span<const float> values, const float* importance, int code_max,
                               std::optional<int> fixed_zero) {
  float low = 0, high = 0;
  for (const float value : values) {
    low = std::min(low, value);
    high = std::max(high, value);
  }
  const float largest = std::max(-low, high);
  if (!(largest > 0) || !std::isfinite(largest)) return {.zero = fixed_zero.value_or(0)};
  ZeroPointSearch search(values, importance, code_max);
  if (fixed_zero.has_value()) {
    for (int percent = 106; percent >= 48; percent -= percent > 90 ? 2 : 4) {
      const float reach = largest * static_cast<float>(percent) / 100;
      search.consider({reach / static_cast<float>(code_max - *fixed_zero), *fixed_zero});
    }
    return search.best();
  }
  for (const float cut_low : {0.0f, 0.05f, 0.1f, 0.15f, 0.2f, 0.25f}) {
    for (const float cut_high : {0.0f, 0.05f, 0.1f, 0.15f, 0.2f, 0.25f}) {
      const float from = low * (1 - cut_low), to = high * (1 - cut_high);
      const float scale = (to - from) / static_cast<float>(code_max);
      search.consider({scale, nearest(-from * inverse_or_zero(scale), 0, code_max)});
    }
  }
  return search.best();
}

}  // namespace brisk::quant
