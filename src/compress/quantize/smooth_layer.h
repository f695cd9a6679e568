// Smooths all inputs of a layer that something in front of them can be divided for.
#pragma once

#include <absl/status/status.h>

#include <vector>

#include "compress/calibrate/input_statistics.h"
#include "compress/edit/checkpoint_edit.h"
#include "compress/quantize/smooth.h"

namespace brisk {

struct SmoothLayer {
  Smoothing method = Smoothing::kNone;
  Model* model = nullptr;
  size_t layer = 0;
  std::vector<WorkingMatrix>* matrices = nullptr;  // all of the layer
  InputCollector* collector = nullptr;             // that has seen the layer's inputs
  TryRounding rounding;
  CheckpointEdit* edit = nullptr;  // gets the norms and biases that change
};

// Norms pay for the inputs of q, k, v and of gate, up; rows of v for those of o; rows of up, where
// a gate multiplies them, for those of down. Experts stay as they are: their router shares the
// norm. Changes the matrices, the model's norms and biases, and what the collector knows. Errors:
// InvalidArgument when a norm is not where its architecture has it.
absl::Status smooth_layer(const SmoothLayer& job, ThreadTeam& team);

}  // namespace brisk
