#include "compress/prune/seen_structures.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "compress/calibrate/input_statistics.h"
#include "compute/quant/format.h"

namespace brisk {
namespace {

// What each input of `linear` adds to its outputs: x_i^2 |W_i|^2, summed over the texts.
std::vector<double> contributions(const Linear& linear, const InputStatistics& statistics) {
  const int64_t rows = linear.weight.shape[0], depth = linear.weight.shape[1];
  std::vector<double> scores(static_cast<size_t>(depth), 0.0);
  std::vector<float> row(static_cast<size_t>(depth));
  for (int64_t r = 0; r < rows; ++r) {
    decode_values(linear.weight, r * depth, depth, row.data());
    for (size_t i = 0; i < row.size(); ++i) {
      scores[i] += static_cast<double>(row[i]) * static_cast<double>(row[i]);
    }
  }
  for (size_t i = 0; i < scores.size(); ++i) scores[i] *= statistics.sums_square[i];
  return scores;
}

// Sums of as many equal runs.
std::vector<double> summed(const std::vector<double>& values, int runs) {
  std::vector<double> sums(static_cast<size_t>(runs), 0.0);
  const size_t span = values.size() / sums.size();
  for (size_t i = 0; i < values.size(); ++i) sums[i / span] += values[i];
  return sums;
}

std::vector<float> copy_of_states(const LayerStream& stream) {
  std::vector<float> copy;
  for (size_t w = 0; w < stream.windows(); ++w) {
    const ConstMatView states = stream.states(w);
    copy.insert(copy.end(), states.data, states.data + states.rows * states.cols);
  }
  return copy;
}

// Block influence of the layer that `before` went into.
double influence_of(const std::vector<float>& before, const LayerStream& stream) {
  double total = 0;
  int64_t tokens = 0;
  const float* x = before.data();
  for (size_t w = 0; w < stream.windows(); ++w) {
    const ConstMatView after = stream.states(w);
    for (int64_t r = 0; r < after.rows; ++r, ++tokens, x += after.cols) {
      double xy = 0, xx = 0, yy = 0;
      for (int64_t c = 0; c < after.cols; ++c) {
        const double a = static_cast<double>(x[c]), b = static_cast<double>(after.row(r)[c]);
        xy += a * b;
        xx += a * a;
        yy += b * b;
      }
      total += xx > 0 && yy > 0 ? xy / std::sqrt(xx * yy) : 1;
    }
  }
  return 1 - total / static_cast<double>(std::max<int64_t>(tokens, 1));
}

}  // namespace

std::vector<double> energy_of(const LayerStream& stream, int hidden_size) {
  std::vector<double> squares(static_cast<size_t>(hidden_size), 0.0);
  for (size_t w = 0; w < stream.windows(); ++w) {
    const ConstMatView states = stream.states(w);
    for (int64_t r = 0; r < states.rows; ++r) {
      for (int64_t c = 0; c < states.cols; ++c) {
        const double x = static_cast<double>(states.row(r)[c]);
        squares[static_cast<size_t>(c)] += x * x;
      }
    }
  }
  return squares;
}

std::vector<double> channel_scores(std::span<const std::vector<double>> energies) {
  std::vector<double> scores(energies.front().size(), 0.0);
  for (const std::vector<double>& energy : energies) {
    const double total = std::accumulate(energy.begin(), energy.end(), 0.0);
    for (size_t c = 0; c < scores.size(); ++c) scores[c] += energy[c] / std::max(total, 1e-30);
  }
  return scores;
}

SeenLayer look_at_layer(const Model& model, LayerStream& stream, SeenGrams grams) {
  const ModelSpec& spec = model.spec;
  const size_t index = stream.layer();
  const LayerWeights& layer = model.weights.layers[index];
  InputCollector collector(*model.kernels, {.gram = grams.mlp || grams.attention});
  SeenLayer seen;
  seen.energy = energy_of(stream, spec.hidden_size);
  stream.look(collector);
  if (InputStatistics* mixed = collector.of(layer.o); mixed != nullptr) {
    seen.kv_heads = summed(contributions(layer.o, *mixed), spec.kv_heads);
    if (grams.attention) seen.attention_gram = std::move(mixed->gram);
  }
  InputStatistics* inner = spec.layers[index].routed ? nullptr : collector.of(layer.down);
  if (inner != nullptr) {
    seen.neurons = contributions(layer.down, *inner);
    if (grams.mlp) seen.mlp_gram = std::move(inner->gram);
  }
  const std::vector<float> before = copy_of_states(stream);
  stream.advance();
  seen.influence = influence_of(before, stream);
  return seen;
}

}  // namespace brisk
