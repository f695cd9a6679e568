// What calibration texts show of a model's structures: how much each adds, and what fits need to
// make up for those that go.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "compress/calibrate/layer_stream.h"
#include "model/checkpoint/structure_importance.h"
#include "model/model.h"

namespace brisk {

struct SeenLayer {
  std::vector<float> mlp_gram, attention_gram;  // of the inputs of down and o; empty: not asked for
  std::vector<double> energy;  // (hidden_size): squares in the residual stream before the layer
};

struct SeenStructures {
  // Neurons and heads by what they add to outputs, x_i^2 |W_i|^2; channels by what they carry in
  // all places of the stream, as a share of each; layers by block influence, 1 - the mean cosine
  // between what goes in and what comes out (Men et al. 2024, arXiv 2403.03853). Layers with
  // experts have no scores of neurons.
  StructureImportance importance;
  std::vector<SeenLayer> layers;
  std::vector<double> energy_after;  // as SeenLayer::energy, behind the last layer
};

struct LookAtStructures {
  bool mlp_grams = false, attention_grams = false;
  std::function<void(int64_t layers_done, int64_t layers)> on_progress;  // may be null
};

// One pass over the texts, by the model as it is. REQUIRES: `stream`, of `model`, is before layer
// 0.
SeenStructures look_at_structures(const Model& model, LayerStream& stream,
                                  const LookAtStructures& options);

}  // namespace brisk
