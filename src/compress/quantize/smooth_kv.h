// Weights rescaled so that what a layer puts into a coarse KV cache has no channels that the others
// of their group pay for (SmoothAttention: Lin, Tang, Yang, Zhang, Xiao, Gan, Han 2024, QServe,
// arXiv 2405.04532): keys are divided by a factor for each channel, and queries multiplied by it;
// values are divided, and the columns of the output projection multiplied.
#pragma once

#include <absl/status/statusor.h>

#include <vector>

#include "base/json.h"
#include "compress/calibrate/input_statistics.h"
#include "compress/edit/checkpoint_edit.h"
#include "compress/edit/working_matrix.h"

namespace brisk {

struct SmoothKv {
  KvElement element = KvElement::kInt4;
  Model* model = nullptr;
  size_t layer = 0;
  std::vector<WorkingMatrix>* matrices = nullptr;  // all of the layer
  InputCollector* collector = nullptr;             // that has seen the layer's heads
  CheckpointEdit* edit = nullptr;                  // gets the norms and biases that change
};

// What rounding takes from the sampled keys, in what they add to scores, and from the values, in
// what they add to the layer's output: sums of squared errors, weighed by channel.
struct KvLoss {
  double keys_before = 0;
  double keys_after = 0;
  double values_before = 0;
  double values_after = 0;

  void add(const KvLoss& other);
};
Json to_json(const KvLoss& loss);
KvLoss kv_loss_of_json(const Json& json);  // throws Json::exception

// A channel's factor is the largest magnitude seen of it, raised to whichever power from 0 to 1
// leaves a head the least loss: but for rounding, the model computes what it did. The two channels
// of a rotated pair have one factor; where heads are normed, all heads, which share the norm's
// weights, have the same. Changes the matrices, the model's norms
// and biases, and what the collector knows of the output projection's inputs. REQUIRES: the layer's
// projections are not factored. Errors: InvalidArgument when a norm or bias is not where its
// architecture has it.
absl::StatusOr<KvLoss> smooth_kv(const SmoothKv& job, ThreadTeam& team);

}  // namespace brisk
