// Which structures of a model stay, and what the matrices behind them become to make up for those
// that go: all that calibration texts are needed for.
#pragma once

#include <absl/status/statusor.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/json.h"
#include "compress/calibrate/layer_stream.h"
#include "compress/edit/checkpoint_edit.h"
#include "compress/edit/edit_journal.h"
#include "compress/prune/structured.h"
#include "model/checkpoint/structure_importance.h"
#include "model/model.h"

namespace brisk {

using Indices = std::vector<int64_t>;  // ascending

Indices all_of(int64_t count);
// Each index stands for `size` consecutive ones.
Indices widened(const Indices& indices, int64_t size);

// Errors: InvalidArgument for a share that is asked for, of which rounding leaves nothing to go.
absl::Status check_shares(const StructuredOptions& options, const ModelSpec& spec);

struct LayerPlan {
  Indices neurons, kv_heads;  // that stay
  // (rows, inputs that stay): what o and down become; empty: they stay as they are.
  std::span<const float> o, down;
  std::vector<double> energy;  // see SeenLayer
};

struct StructurePlan {
  std::vector<LayerPlan> layers;
  std::vector<double> energy_after;  // as LayerPlan::energy, behind the last layer
  Indices channels;                  // that stay
  std::vector<int> gone;             // layers, ascending
};

// One thread at a time. Gives a plan whose matrices lie in the journal or, without one, in here.
class StructurePlanner {
 public:
  // `journal` may be null; all outlive it. `importance`: what goes by it; null: by what the texts
  // show.
  StructurePlanner(const StructuredOptions& options, Model& model, EditJournal* journal,
                   const StructureImportance* importance);

  // Takes what a step of an earlier run says of itself. Errors: InvalidArgument where it is none.
  absl::Status resume(const Json& details);

  // Looks at the model as it is. `edit`: to whose journal each layer is a step. REQUIRES: `stream`
  // is before layer 0. Errors: InvalidArgument for weights that are not finite; Internal where a
  // fit has no solution.
  absl::StatusOr<StructurePlan> plan(LayerStream& stream, CheckpointEdit& edit);

 private:
  absl::Status plan_layer(LayerStream& stream, CheckpointEdit& edit);
  absl::Status fit_inputs(const Linear& linear, std::span<const float> gram, const Indices& kept,
                          std::span<const float>* fitted);
  absl::StatusOr<std::span<const float>> keep(std::vector<float> values);

  const StructuredOptions& options_;
  Model& model_;
  EditJournal* const journal_;
  const StructureImportance* const importance_;
  StructurePlan plan_;
  std::vector<double> influences_;  // (layers)
  std::vector<std::vector<float>> owned_;
};

}  // namespace brisk
