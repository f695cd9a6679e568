// What calibration texts show of a layer's structures: how much each adds, and what fits need to
// make up for those that go.
#pragma once

#include <span>
#include <vector>

#include "compress/calibrate/layer_stream.h"
#include "model/model.h"

namespace brisk {

struct SeenLayer {
  // By what they add to outputs, x_i^2 |W_i|^2, summed over the texts. Neurons of experts have
  // none.
  std::vector<double> neurons, kv_heads;
  std::vector<float> mlp_gram, attention_gram;  // of the inputs of down and o; empty: not asked for
  std::vector<double> energy;                   // see energy_of: before the layer
  // 1 - the mean cosine between what goes in and what comes out: block influence (Men et al. 2024,
  // arXiv 2403.03853).
  double influence = 0;
};

struct SeenGrams {
  bool mlp = false, attention = false;
};

// What the stream's next layer, by the model as it is, makes of the texts. The stream stands behind
// it then.
SeenLayer look_at_layer(const Model& model, LayerStream& stream, SeenGrams grams);

// (hidden_size): sums of squares in the residual stream, where it stands.
std::vector<double> energy_of(const LayerStream& stream, int hidden_size);

// (hidden_size): what each channel carries in all places of the stream, as a share of each.
std::vector<double> channel_scores(std::span<const std::vector<double>> energies);

}  // namespace brisk
