#include "compress/calibrate/input_statistics.h"

#include <algorithm>
#include <cmath>

#include "base/units.h"

namespace brisk {
namespace {

// Rows [begin, end) of the sums: each is one member's.
void add_sums(InputStatistics& statistics, ConstMatView input, Range columns) {
  for (int64_t r = 0; r < input.rows; ++r) {
    const float* x = input.row(r);
    for (int64_t c = columns.begin; c < columns.end; ++c) {
      const auto i = static_cast<size_t>(c);
      const double value = static_cast<double>(x[c]);
      statistics.sums_square[i] += value * value;
      statistics.sums_abs[i] += std::abs(value);
      statistics.max_abs[i] = std::max(statistics.max_abs[i], std::abs(x[c]));
    }
  }
}

// The row that becomes sample k: one of each stretch of the rows, anywhere in it, so that windows
// whose length the stretches divide do not give their first tokens only.
int64_t sampled_row(int64_t k, int64_t samples, int64_t rows_expected) {
  const auto stretch =
      static_cast<uint64_t>(std::max<int64_t>(1, ceil_div(rows_expected, samples)));
  const uint64_t scattered = static_cast<uint64_t>(k) * 0x9E3779B97F4A7C15u >> 32;
  return static_cast<int64_t>(static_cast<uint64_t>(k) * stretch + scattered % stretch);
}

}  // namespace

std::vector<float> InputStatistics::mean_square() const {
  std::vector<float> mean(sums_square.size());
  for (size_t i = 0; i < mean.size(); ++i) {
    mean[i] = static_cast<float>(sums_square[i] / static_cast<double>(std::max<int64_t>(rows, 1)));
  }
  return mean;
}

void InputStatistics::divide(std::span<const float> factors) {
  const size_t n = factors.size();
  for (size_t i = 0; i < n; ++i) {
    const double factor = static_cast<double>(factors[i]);
    sums_square[i] /= factor * factor;
    sums_abs[i] /= factor;
    max_abs[i] /= factors[i];
  }
  for (size_t i = 0; i < gram.size(); ++i) gram[i] /= factors[i / n] * factors[i % n];
  for (size_t i = 0; i < sample.size(); ++i) sample[i] /= factors[i % n];
}

InputStatistics& InputCollector::prepare(ConstMatView input, std::span<const Linear* const> users) {
  std::shared_ptr<InputStatistics>& slot = inputs_[users.front()];
  if (slot == nullptr) {
    slot = std::make_shared<InputStatistics>();
    const auto depth = static_cast<size_t>(input.cols);
    slot->depth = input.cols;
    slot->sums_square.assign(depth, 0);
    slot->sums_abs.assign(depth, 0);
    slot->max_abs.assign(depth, 0);
    if (options_.gram) slot->gram.assign(depth * depth, 0);
  }
  const std::shared_ptr<InputStatistics> shared = slot;
  for (const Linear* user : users) inputs_[user] = shared;
  return *shared;
}

void InputCollector::observe(Worker worker, size_t /*layer*/, ConstMatView input,
                             std::span<const Linear* const> users) {
  if (input.rows == 0) return;
  if (worker.index == 0) {
    InputStatistics& statistics = prepare(input, users);
    transposed_.resize(static_cast<size_t>(input.cols * input.rows));
    for (int64_t r = 0; r < input.rows; ++r, ++statistics.rows) {
      if (statistics.sample_rows == options_.sample_rows) continue;
      if (statistics.rows !=
          sampled_row(statistics.sample_rows, options_.sample_rows, options_.rows_expected)) {
        continue;
      }
      statistics.sample.insert(statistics.sample.end(), input.row(r), input.row(r) + input.cols);
      ++statistics.sample_rows;
    }
  }
  worker.sync();
  InputStatistics& statistics = *inputs_.find(users.front())->second;
  const Range mine = worker.share(input.cols, 16);
  add_sums(statistics, input, mine);
  if (options_.gram) {
    for (int64_t c = mine.begin; c < mine.end; ++c) {
      for (int64_t r = 0; r < input.rows; ++r) {
        transposed_[static_cast<size_t>(c * input.rows + r)] = input.row(r)[c];
      }
    }
    worker.sync();
    // gram[i][j] += x_i . x_j over the rows: a product of the transposed input with itself.
    kernels_.direct_f32({.x = transposed_.data(),
                         .x_stride = input.rows,
                         .rows = input.cols,
                         .w = transposed_.data() + mine.begin * input.rows,
                         .w_row_bytes = input.rows * static_cast<int64_t>(sizeof(float)),
                         .cols = mine.end - mine.begin,
                         .depth = input.rows,
                         .bias = nullptr,
                         .y = statistics.gram.data() + mine.begin,
                         .y_stride = input.cols,
                         .add = true});
  }
  worker.sync();
}

// One member's work: it is little beside the layer's products, and nobody writes the rows
// meanwhile.
void InputCollector::observe_heads(Worker worker, size_t /*layer*/, const HeadRows& rows) {
  if (worker.index != 0 || options_.head_samples == 0) return;
  for (int64_t r = 0; r < rows.q.rows && heads_.samples < options_.head_samples; ++r) {
    const int64_t next = sampled_row(heads_.samples, options_.head_samples, options_.rows_expected);
    if (heads_.rows + r == next) heads_.keep(rows, r);
  }
  heads_.add(rows);
}

InputStatistics* InputCollector::of(const Linear& linear) {
  const auto it = inputs_.find(&linear);
  return it == inputs_.end() ? nullptr : it->second.get();
}

}  // namespace brisk
