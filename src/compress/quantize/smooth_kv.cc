#include "compress/quantize/smooth_kv.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <utility>

#include "base/status.h"
#include "base/units.h"
#include "compress/quantize/smooth.h"
#include "model/arch/architecture.h"

namespace brisk {
namespace {

constexpr int kExponents = 11;  // 0, 1/10, ... 1

// What the cache makes of vectors of a head.
class KvRounding {
 public:
  KvRounding(const KernelTable& kernels, KvElement element, int64_t head_dim)
      : append_(kernels.kv_append[static_cast<size_t>(element)]),
        attention_(kernels.attention[static_cast<size_t>(element)]),
        dim_(head_dim),
        keys_(static_cast<size_t>(kv_head_bytes(element, head_dim).keys)),
        values_(static_cast<size_t>(kv_head_bytes(element, head_dim).values)),
        zeros_(static_cast<size_t>(head_dim), 0.0f),
        scratch_(static_cast<size_t>(attention_scratch_floats(head_dim))) {}

  // Attention to a single token gives its value.
  void round(const float* x, float* out) {
    append_({.key = x,
             .value = x,
             .head_dim = dim_,
             .value_stride = round_up<int64_t>(dim_, 16),
             .keys = keys_.data(),
             .values = values_.data(),
             .slot = 0});
    const int32_t block = 0;
    attention_({.q = zeros_.data(),
                .q_stride = dim_,
                .rows = 1,
                .heads = 1,
                .head_dim = dim_,
                .value_stride = round_up<int64_t>(dim_, 16),
                .blocks = &block,
                .keys = keys_.data(),
                .values = values_.data(),
                .block_bytes = 0,
                .position = 0,
                .window = 0,
                .segment = 0,
                .segment_end = 1,
                .scale = 1,
                .softcap = 0,
                .out = out,
                .out_stride = dim_,
                .partials = nullptr,
                .scratch = scratch_.data()});
  }

 private:
  void (*const append_)(const KvAppendArgs&);
  void (*const attention_)(const AttentionArgs&);
  const int64_t dim_;
  std::vector<std::byte> keys_, values_;
  std::vector<float> zeros_, scratch_;
};

// Keys or values of a layer, (samples, kv_heads, head_dim), and what is known of their channels,
// (kv_heads, head_dim).
struct Channels {
  std::span<const float> samples;
  std::vector<float> maxima;
  std::vector<double> weights;  // of squared errors
  int64_t heads = 0;
  int64_t dim = 0;
  bool shares_factors = false;  // all heads have the same
};

// maxima^exponent for one head's channels, centred around 1.
std::vector<float> factors_of(std::span<const float> maxima, double exponent) {
  constexpr double kLogMax = 13;  // as far as smoothing goes elsewhere
  std::vector<double> logs;
  for (const float largest : maxima) {
    const bool is_known = largest > 0 && std::isfinite(largest);
    logs.push_back(is_known ? exponent * std::log2(static_cast<double>(largest)) : 0);
  }
  const auto [low, high] = std::minmax_element(logs.begin(), logs.end());
  const double middle = (*low + *high) / 2;
  std::vector<float> factors;
  for (const double log : logs) {
    const double power = std::clamp(log - middle, -kLogMax, kLogMax);
    factors.push_back(static_cast<float>(std::exp2(power)));
  }
  return factors;
}

double loss_of_head(const Channels& channels, int64_t head, std::span<const float> factors,
                    KvRounding& rounding) {
  const int64_t dim = channels.dim, width = channels.heads * dim;
  std::vector<float> scaled(static_cast<size_t>(dim)), out(static_cast<size_t>(dim));
  double loss = 0;
  for (int64_t at = head * dim; at < std::ssize(channels.samples); at += width) {
    const float* x = channels.samples.data() + at;
    for (int64_t d = 0; d < dim; ++d) {
      scaled[static_cast<size_t>(d)] = x[d] / factors[static_cast<size_t>(d)];
    }
    rounding.round(scaled.data(), out.data());
    for (int64_t d = 0; d < dim; ++d) {
      const auto i = static_cast<size_t>(d);
      const double error = static_cast<double>(out[i] * factors[i] - x[d]);
      loss += channels.weights[static_cast<size_t>(head * dim + d)] * error * error;
    }
  }
  return loss;
}

struct Choice {
  std::vector<float> factors;  // (kv_heads, head_dim)
  double loss_before = 0;
  double loss_after = 0;
};

Choice choose_factors(const Channels& channels, const KernelTable& kernels, KvElement element,
                      ThreadTeam& team) {
  const int64_t heads = channels.heads, dim = channels.dim;
  const auto maxima = [&](int64_t head) {
    return std::span(channels.maxima)
        .subspan(static_cast<size_t>(head * dim), static_cast<size_t>(dim));
  };
  std::vector<double> losses(static_cast<size_t>(heads * kExponents));
  team.run([&](Worker worker) {
    KvRounding rounding(kernels, element, dim);
    const Range mine = worker.share(heads * kExponents);
    for (int64_t i = mine.begin; i < mine.end; ++i) {
      const int64_t head = i / kExponents;
      const auto factors =
          factors_of(maxima(head), static_cast<double>(i % kExponents) / (kExponents - 1));
      losses[static_cast<size_t>(i)] = loss_of_head(channels, head, factors, rounding);
    }
  });
  if (channels.shares_factors) {
    for (size_t e = 0; e < kExponents; ++e) {
      for (size_t h = 1; h < static_cast<size_t>(heads); ++h) {
        losses[e] += std::exchange(losses[h * kExponents + e], 0);
      }
    }
  }
  Choice choice;
  for (int64_t head = 0; head < heads; ++head) {
    const auto first = losses.begin() + (channels.shares_factors ? 0 : head * kExponents);
    const auto best = std::min_element(first, first + kExponents);
    const auto factors =
        factors_of(maxima(head), static_cast<double>(best - first) / (kExponents - 1));
    choice.factors.insert(choice.factors.end(), factors.begin(), factors.end());
    if (channels.shares_factors && head > 0) continue;
    choice.loss_before += *first;
    choice.loss_after += *best;
  }
  return choice;
}

class KvSmoother {
 public:
  KvSmoother(const SmoothKv& job, const TensorNames& names, const HeadStatistics& heads,
             ThreadTeam& team)
      : job_(job),
        names_(names),
        heads_(heads),
        team_(team),
        weights_(job.model->weights.layers[job.layer]),
        spec_(job.model->spec) {}

  absl::StatusOr<KvLoss> run() {
    BRISK_RETURN_IF_ERROR(smooth_keys());
    BRISK_RETURN_IF_ERROR(smooth_values());
    return loss_;
  }

 private:
  int64_t group() const { return spec_.heads / spec_.kv_heads; }

  // A factor for each row of the query heads, or column of the output projection.
  std::vector<float> for_query_heads(std::span<const float> factors) const {
    std::vector<float> spread;
    const auto dim = static_cast<size_t>(spec_.head_dim);
    for (int64_t head = 0; head < spec_.heads; ++head) {
      const auto from = factors.subspan(static_cast<size_t>(head / group()) * dim, dim);
      spread.insert(spread.end(), from.begin(), from.end());
    }
    return spread;
  }

  // Both channels of a pair get the larger maximum; with `all_heads`, so does every head.
  std::vector<float> key_maxima(bool all_heads) const {
    std::vector<float> maxima = heads_.key_max;
    const int64_t dim = heads_.head_dim;
    if (all_heads) {
      for (int64_t i = 0; i < std::ssize(maxima); ++i) {
        float& first = maxima[static_cast<size_t>(i % dim)];
        first = std::max(first, maxima[static_cast<size_t>(i)]);
      }
      for (int64_t i = dim; i < std::ssize(maxima); ++i) {
        maxima[static_cast<size_t>(i)] = maxima[static_cast<size_t>(i % dim)];
      }
    }
    const RopeSpec& rope = spec_.ropes[static_cast<size_t>(spec_.layers[job_.layer].rope)];
    if (rope.style == RopeStyle::kNone) return maxima;
    const bool neighbours = rope.style == RopeStyle::kInterleaved;
    const int64_t half = rope.rotary_dim / 2;
    for (int64_t head = 0; head < heads_.kv_heads; ++head) {
      for (int64_t i = 0; i < half; ++i) {
        float& a = maxima[static_cast<size_t>(head * dim + (neighbours ? 2 * i : i))];
        float& b = maxima[static_cast<size_t>(head * dim + (neighbours ? 2 * i + 1 : i + half))];
        a = b = std::max(a, b);
      }
    }
    return maxima;
  }

  absl::Status smooth_keys() {
    const bool normed = !weights_.k_norm.weight.empty();
    const Choice choice = choose({.samples = heads_.keys,
                                  .maxima = key_maxima(normed),
                                  .weights = heads_.query_square,
                                  .heads = heads_.kv_heads,
                                  .dim = heads_.head_dim,
                                  .shares_factors = normed},
                                 &loss_.keys_before, &loss_.keys_after);
    std::vector<float> inverses;
    for (const float factor : choice.factors) inverses.push_back(1 / factor);
    if (normed) {
      const auto dim = static_cast<size_t>(heads_.head_dim);
      BRISK_RETURN_IF_ERROR(
          divide_heads(names_.k_norm, {choice.factors.data(), dim}, weights_.k_norm));
      return divide_heads(names_.q_norm, {inverses.data(), dim}, weights_.q_norm);
    }
    BRISK_RETURN_IF_ERROR(divide(weights_.k, choice.factors));
    return divide(weights_.q, for_query_heads(inverses));
  }

  absl::Status smooth_values() {
    WorkingMatrix* output = find_matrix(*job_.matrices, weights_.o);
    if (output == nullptr) return absl::OkStatus();
    const auto dim = static_cast<int64_t>(heads_.head_dim);
    std::vector<double> weights(heads_.value_max.size(), 0.0);
    for (size_t i = 0; i < output->values.size(); ++i) {
      const int64_t column = static_cast<int64_t>(i) % output->place.depth;
      const double value = static_cast<double>(output->values[i]);
      weights[static_cast<size_t>(column / (group() * dim) * dim + column % dim)] += value * value;
    }
    const Choice choice = choose({.samples = heads_.values,
                                  .maxima = heads_.value_max,
                                  .weights = std::move(weights),
                                  .heads = heads_.kv_heads,
                                  .dim = dim},
                                 &loss_.values_before, &loss_.values_after);
    BRISK_RETURN_IF_ERROR(divide(weights_.v, choice.factors));
    const std::vector<float> columns = for_query_heads(choice.factors);
    scale_columns(*output, columns);
    if (InputStatistics* inputs = job_.collector->of(weights_.o)) inputs->divide(columns);
    return absl::OkStatus();
  }

  Choice choose(const Channels& channels, double* before, double* after) {
    Choice choice = choose_factors(channels, *job_.model->kernels, job_.element, team_);
    *before = choice.loss_before;
    *after = choice.loss_after;
    return choice;
  }

  absl::Status divide(const Linear& linear, std::span<const float> factors) {
    WorkingMatrix* matrix = find_matrix(*job_.matrices, linear);
    if (matrix == nullptr) return invalid_input("layer {} lacks a projection", job_.layer);
    divide_rows(*matrix, factors);
    store_bias(*job_.model->checkpoint, *matrix, *job_.edit);
    return absl::OkStatus();
  }

  absl::Status divide_heads(const std::string& pattern, std::span<const float> factors,
                            NormWeights& norm) {
    return divide_norm({.name = with_number(pattern, static_cast<int64_t>(job_.layer)),
                        .norm = &norm,
                        .plus_one = spec_.norm == NormKind::kRmsPlusOne},
                       factors, *job_.model->checkpoint, *job_.edit);
  }

  const SmoothKv& job_;
  const TensorNames& names_;
  const HeadStatistics& heads_;
  ThreadTeam& team_;
  LayerWeights& weights_;
  const ModelSpec& spec_;
  KvLoss loss_;
};

}  // namespace

void KvLoss::add(const KvLoss& other) {
  keys_before += other.keys_before;
  keys_after += other.keys_after;
  values_before += other.values_before;
  values_after += other.values_after;
}

Json to_json(const KvLoss& loss) {
  return {{"keys_before", loss.keys_before},
          {"keys_after", loss.keys_after},
          {"values_before", loss.values_before},
          {"values_after", loss.values_after}};
}

KvLoss kv_loss_of_json(const Json& json) {
  return {.keys_before = json.at("keys_before").get<double>(),
          .keys_after = json.at("keys_after").get<double>(),
          .values_before = json.at("values_before").get<double>(),
          .values_after = json.at("values_after").get<double>()};
}

absl::StatusOr<KvLoss> smooth_kv(const SmoothKv& job, ThreadTeam& team) {
  const HeadStatistics* heads = job.collector->heads();
  if (heads == nullptr || heads->samples == 0) return KvLoss{};
  const Checkpoint& checkpoint = *job.model->checkpoint;
  BRISK_ASSIGN_OR_RETURN(const Architecture* architecture, find_architecture(checkpoint.config));
  const TensorNames names = architecture->names(checkpoint.config.layout);
  return KvSmoother(job, names, *heads, team).run();
}

}  // namespace brisk
