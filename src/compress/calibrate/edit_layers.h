// The loop of whatever changes a model layer by layer.
#pragma once

#include <absl/status/status.h>

#include <cstddef>
#include <cstdint>
#include <functional>

#include "compress/calibrate/input_statistics.h"
#include "compress/calibrate/layer_stream.h"

namespace brisk {

struct LayerEdits {
  size_t layers = 0;
  size_t first = 0;               // those before it are as they should be
  LayerStream* stream = nullptr;  // before layer 0; null: nothing is known of inputs
  InputCollector* collector = nullptr;
  std::function<absl::Status(size_t layer)> edit;
  std::function<void(int64_t done, int64_t layers)> on_progress;  // may be null
};

// For each layer in order: lets the collector see its inputs, as the changed layers before it make
// them, then changes it. The stream ends behind the last layer. Errors: the first of `edit`.
absl::Status edit_layers(const LayerEdits& job);

}  // namespace brisk
