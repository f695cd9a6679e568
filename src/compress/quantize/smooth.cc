#include "compress/quantize/smooth.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/status.h"

namespace brisk {
namespace {

constexpr int kExponents = 20;  // AWQ tries 0, 1/20, ... 19/20
constexpr float kSmoothQuantExponent = 0.5f;

std::string bias_name(std::string name) {
  if (const size_t at = name.rfind("weight"); at != std::string::npos) name.replace(at, 6, "bias");
  return name;
}

float geometric_middle(const std::vector<float>& factors) {
  const auto [low, high] = std::minmax_element(factors.begin(), factors.end());
  return std::sqrt(*low * *high);
}

// Value heads are shared: all their users get the largest factor.
void share_groups(const FactorGroups& groups, std::vector<float>& factors) {
  if (groups.kv_group == 1) return;
  const int64_t span = groups.kv_group * groups.head_dim;
  for (int64_t first = 0; first < std::ssize(factors); first += span) {
    for (int64_t d = 0; d < groups.head_dim; ++d) {
      float largest = 0;
      for (int64_t h = 0; h < groups.kv_group; ++h) {
        largest = std::max(largest, factors[static_cast<size_t>(first + h * groups.head_dim + d)]);
      }
      for (int64_t h = 0; h < groups.kv_group; ++h) {
        factors[static_cast<size_t>(first + h * groups.head_dim + d)] = largest;
      }
    }
  }
}

// Centred around 1, so that neither side leaves its range.
void normalize(std::vector<float>& factors) {
  constexpr float kFactorMax = 1e4f;
  for (float& factor : factors) {
    if (!(factor > 0) || !std::isfinite(factor)) factor = 1;
  }
  const float middle = geometric_middle(factors);
  for (float& factor : factors) {
    factor = std::clamp(factor / middle, 1 / kFactorMax, kFactorMax);
  }
}

// Largest magnitude of each column over all matrices of the input.
std::vector<float> column_peaks(const SmoothInput& input) {
  const int64_t depth = input.statistics->depth;
  std::vector<float> peaks(static_cast<size_t>(depth), 0.0f);
  for (const WorkingMatrix* matrix : input.matrices) {
    for (size_t i = 0; i < matrix->values.size(); ++i) {
      float& peak = peaks[i % static_cast<size_t>(depth)];
      peak = std::max(peak, std::abs(matrix->values[i]));
    }
  }
  return peaks;
}

// One way of rounding the weights of an input.
struct Trial {
  std::span<const float> factors;
  std::span<const float> importance;  // of the inputs, divided by the factors
  const TryRounding& rounding;
  const KernelTable& kernels;
};

// What rounding with the trial's factors takes from rows [begin, begin + count).
void rounding_errors(const Trial& trial, const WorkingMatrix& matrix, int64_t begin, int64_t count,
                     float* errors) {
  const int64_t depth = matrix.place.depth;
  std::vector<float> scaled(static_cast<size_t>(depth));
  for (int64_t r = 0; r < count; ++r, errors += depth) {
    const float* row = matrix.values.data() + (begin + r) * depth;
    for (int64_t i = 0; i < depth; ++i) {
      scaled[static_cast<size_t>(i)] = row[i] * trial.factors[static_cast<size_t>(i)];
    }
    trial.rounding(matrix, scaled.data(), trial.importance.data(), errors);
    for (int64_t i = 0; i < depth; ++i) {
      errors[i] = errors[i] / trial.factors[static_cast<size_t>(i)] - row[i];
    }
  }
}

// Squared error of the products of the sampled inputs.
double product_error(const InputStatistics& statistics, const WorkingMatrix& matrix,
                     const Trial& trial, ThreadTeam& team) {
  constexpr int64_t kRowsAtOnce = 16;
  const int64_t depth = matrix.place.depth, rows = matrix.place.rows;
  std::vector<double> totals(static_cast<size_t>((rows + kRowsAtOnce - 1) / kRowsAtOnce), 0.0);
  team.run([&](Worker worker) {
    const Range mine = worker.share(std::ssize(totals));
    std::vector<float> errors(static_cast<size_t>(kRowsAtOnce * depth));
    std::vector<float> products(static_cast<size_t>(kRowsAtOnce * statistics.sample_rows));
    for (int64_t chunk = mine.begin; chunk < mine.end; ++chunk) {
      const int64_t begin = chunk * kRowsAtOnce, count = std::min(kRowsAtOnce, rows - begin);
      rounding_errors(trial, matrix, begin, count, errors.data());
      trial.kernels.direct_f32({.x = statistics.sample.data(),
                                .x_stride = depth,
                                .rows = statistics.sample_rows,
                                .w = errors.data(),
                                .w_row_bytes = depth * static_cast<int64_t>(sizeof(float)),
                                .cols = count,
                                .depth = depth,
                                .bias = nullptr,
                                .y = products.data(),
                                .y_stride = count,
                                .add = false});
      double total = 0;
      for (int64_t i = 0; i < statistics.sample_rows * count; ++i) {
        const double product = static_cast<double>(products[static_cast<size_t>(i)]);
        total += product * product;
      }
      totals[static_cast<size_t>(chunk)] = total;
    }
  });
  return std::accumulate(totals.begin(), totals.end(), 0.0);
}

std::vector<float> awq_factors(const SmoothInput& input, const FactorGroups& groups,
                               const TryRounding& rounding, const KernelTable& kernels,
                               ThreadTeam& team) {
  const InputStatistics& statistics = *input.statistics;
  const std::vector<float> mean_square = statistics.mean_square();
  std::vector<float> best(static_cast<size_t>(statistics.depth), 1.0f);
  double least = INFINITY;
  for (int step = 0; step < kExponents; ++step) {
    const double exponent = static_cast<double>(step) / kExponents;
    std::vector<float> factors, importance;
    for (const double sum : statistics.sums_abs) {
      const double mean = sum / static_cast<double>(std::max<int64_t>(statistics.rows, 1));
      factors.push_back(static_cast<float>(std::pow(std::max(mean, 1e-4), exponent)));
    }
    share_groups(groups, factors);
    normalize(factors);
    for (size_t i = 0; i < factors.size(); ++i) {
      importance.push_back(mean_square[i] / (factors[i] * factors[i]));
    }
    double error = 0;
    for (const WorkingMatrix* matrix : input.matrices) {
      const Trial trial = {factors, importance, rounding, kernels};
      error += product_error(statistics, *matrix, trial, team);
    }
    if (error < least) {
      least = error;
      best = std::move(factors);
    }
  }
  return best;
}

}  // namespace

std::vector<float> smoothing_factors(Smoothing method, const SmoothInput& input,
                                     const FactorGroups& groups, const TryRounding& rounding,
                                     const KernelTable& kernels, ThreadTeam& team) {
  if (method == Smoothing::kAwq) return awq_factors(input, groups, rounding, kernels, team);
  std::vector<float> factors(static_cast<size_t>(input.statistics->depth), 1.0f);
  if (method == Smoothing::kNone) return factors;
  const std::vector<float> peaks = column_peaks(input);
  for (size_t i = 0; i < factors.size(); ++i) {
    factors[i] = std::pow(input.statistics->max_abs[i], kSmoothQuantExponent) /
                 std::pow(peaks[i], 1 - kSmoothQuantExponent);
  }
  share_groups(groups, factors);
  normalize(factors);
  return factors;
}

WorkingMatrix* find_matrix(std::vector<WorkingMatrix>& matrices, const Linear& linear) {
  for (WorkingMatrix& matrix : matrices) {
    if (matrix.place.linear == &linear) return &matrix;
  }
  return nullptr;
}

void scale_columns(WorkingMatrix& matrix, std::span<const float> factors) {
  for (size_t i = 0; i < matrix.values.size(); ++i) matrix.values[i] *= factors[i % factors.size()];
}

void divide_rows(WorkingMatrix& matrix, std::span<const float> factors) {
  const auto depth = static_cast<size_t>(matrix.place.depth);
  for (size_t r = 0; r < factors.size(); ++r) {
    for (size_t i = 0; i < depth; ++i) matrix.values[r * depth + i] /= factors[r];
    std::vector<float>& bias = matrix.place.linear->bias;
    if (!bias.empty()) bias[r] /= factors[r];
  }
}

void store_bias(const Checkpoint& checkpoint, const WorkingMatrix& matrix, CheckpointEdit& edit) {
  const LayerMatrix& place = matrix.place;
  if (place.linear->bias.empty()) return;
  const NamedTensor* stored = checkpoint.find_weight(bias_name(place.tensor->name));
  // It was found beside the matrix when the model was bound.
  if (stored != nullptr) edit.patch_values(*stored, place.first_row, place.linear->bias);
}

absl::Status divide_norm(const DividedNorm& divided, std::span<const float> factors,
                         const Checkpoint& checkpoint, CheckpointEdit& edit) {
  const NamedTensor* stored = checkpoint.find_weight(divided.name);
  if (stored == nullptr) return invalid_input("the checkpoint has no tensor {}", divided.name);
  NormWeights& norm = *divided.norm;
  const float shift = divided.plus_one ? 1.0f : 0.0f;
  for (size_t i = 0; i < factors.size(); ++i) {
    norm.weight[i] = (norm.weight[i] + shift) / factors[i] - shift;
  }
  edit.patch_values(*stored, 0, norm.weight);
  if (norm.bias.empty()) return absl::OkStatus();
  const std::string name = bias_name(divided.name);
  const NamedTensor* bias = checkpoint.find_weight(name);
  if (bias == nullptr) return invalid_input("the checkpoint has no tensor {}", name);
  for (size_t i = 0; i < factors.size(); ++i) norm.bias[i] /= factors[i];
  edit.patch_values(*bias, 0, norm.bias);
  return absl::OkStatus();
}

}  // namespace brisk
