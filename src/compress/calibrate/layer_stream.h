// A model's forward pass over calibration texts one layer at a time: each layer is looked at, then
// changed, and what the changed layer makes of the texts is what the next one sees.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "compress/calibrate/windows.h"
#include "compute/sys/thread_team.h"
#include "model/decoder.h"
#include "model/kv_memory.h"

namespace brisk {

// One thread at a time.
class LayerStream {
 public:
  // Stands before layer 0, with the embeddings of all windows in memory (tokens x hidden_size x 4
  // bytes). `model` is used with the weights that it has when a layer runs; it outlives the stream.
  // Errors: ResourceExhausted when the states do not fit into memory.
  static absl::StatusOr<std::unique_ptr<LayerStream>> create(const Model& model,
                                                             const TokenWindows& windows,
                                                             int threads);

  size_t layer() const { return layer_; }  // the one that comes next
  int threads() const { return team_.size(); }

  // Runs the next layer without moving on; `observer` sees the inputs of its products.
  void look(InputObserver& observer);
  // Runs it and stands before the one after it.
  void advance();
  // Lets `observer` see the input of the head. REQUIRES: all layers are done.
  void look_at_head(InputObserver& observer);

  // What stands in the residual stream before layer(): (tokens of the window, hidden_size).
  ConstMatView states(size_t window) const { return states_of(window); }
  size_t windows() const { return windows_.size(); }

  ThreadTeam& team() { return team_; }

 private:
  LayerStream(const Model& model, const TokenWindows& windows, int threads,
              std::unique_ptr<KvMemory> kv, int64_t rows_max);
  MatView states_of(size_t window) const;
  StepBatch batch_of(size_t window, SliceView* slice) const;

  const Model& model_;
  const TokenWindows& windows_;
  ThreadTeam team_;
  const std::unique_ptr<KvMemory> kv_;
  Decoder decoder_;
  std::vector<int32_t> blocks_;
  std::vector<int64_t> first_row_;     // (windows)
  mutable std::vector<float> states_;  // (tokens, hidden)
  std::vector<float> scratch_;         // (longest window, hidden)
  size_t layer_ = 0;
};

}  // namespace brisk
