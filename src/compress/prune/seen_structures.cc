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

std::vector<double> channel_scores(const SeenStructures& seen) {
  std::vector<double> scores(seen.energy_after.size(), 0.0);
  const auto add = [&scores](const std::vector<double>& energy) {
    const double total = std::accumulate(energy.begin(), energy.end(), 0.0);
    for (size_t c = 0; c < scores.size(); ++c) scores[c] += energy[c] / std::max(total, 1e-30);
  };
  for (const SeenLayer& layer : seen.layers) add(layer.energy);
  add(seen.energy_after);
  return scores;
}

}  // namespace

SeenStructures look_at_structures(const Model& model, LayerStream& stream,
                                  const LookAtStructures& options) {
  const ModelSpec& spec = model.spec;
  InputCollector collector(*model.kernels, {.gram = options.mlp_grams || options.attention_grams});
  SeenStructures seen;
  StructureImportance& importance = seen.importance;
  for (size_t index = 0; index < spec.layers.size(); ++index) {
    const LayerWeights& layer = model.weights.layers[index];
    collector.clear();
    stream.look(collector);
    SeenLayer now = {
        .mlp_gram = {}, .attention_gram = {}, .energy = energy_of(stream, spec.hidden_size)};
    importance.kv_heads.emplace_back();
    importance.neurons.emplace_back();
    if (InputStatistics* mixed = collector.of(layer.o); mixed != nullptr) {
      importance.kv_heads.back() = summed(contributions(layer.o, *mixed), spec.kv_heads);
      if (options.attention_grams) now.attention_gram = std::move(mixed->gram);
    }
    InputStatistics* inner = spec.layers[index].routed ? nullptr : collector.of(layer.down);
    if (inner != nullptr) {
      importance.neurons.back() = contributions(layer.down, *inner);
      if (options.mlp_grams) now.mlp_gram = std::move(inner->gram);
    }
    seen.layers.push_back(std::move(now));
    const std::vector<float> before = copy_of_states(stream);
    stream.advance();
    importance.layers.push_back(influence_of(before, stream));
    if (options.on_progress) {
      options.on_progress(static_cast<int64_t>(index) + 1, std::ssize(spec.layers));
    }
  }
  seen.energy_after = energy_of(stream, spec.hidden_size);
  importance.channels = channel_scores(seen);
  return seen;
}

}  // namespace brisk
