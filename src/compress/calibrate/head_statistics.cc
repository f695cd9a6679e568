#include "compress/calibrate/head_statistics.h"

#include <algorithm>
#include <cmath>

namespace brisk {
namespace {

void raise(const float* x, std::vector<float>& maxima) {
  for (size_t i = 0; i < maxima.size(); ++i) maxima[i] = std::max(maxima[i], std::abs(x[i]));
}

}  // namespace

void HeadStatistics::add(const HeadRows& heads) {
  if (rows == 0) {
    head_dim = heads.head_dim;
    kv_heads = heads.k.cols / head_dim;
    const auto channels = static_cast<size_t>(heads.k.cols);
    key_max.assign(channels, 0);
    value_max.assign(channels, 0);
    query_square.assign(channels, 0);
  }
  const int64_t group = heads.q.cols / heads.k.cols;
  for (int64_t r = 0; r < heads.q.rows; ++r) {
    raise(heads.k.row(r), key_max);
    raise(heads.v.row(r), value_max);
    for (int64_t i = 0; i < heads.q.cols; ++i) {
      const double value = static_cast<double>(heads.q.row(r)[i]);
      const int64_t kv_head = i / (group * head_dim);
      query_square[static_cast<size_t>(kv_head * head_dim + i % head_dim)] += value * value;
    }
  }
  rows += heads.q.rows;
}

void HeadStatistics::keep(const HeadRows& heads, int64_t row) {
  keys.insert(keys.end(), heads.k.row(row), heads.k.row(row) + heads.k.cols);
  values.insert(values.end(), heads.v.row(row), heads.v.row(row) + heads.v.cols);
  ++samples;
}

}  // namespace brisk
