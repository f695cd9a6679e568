// From a ModelConfig to a model that serves: what memory that takes, and the loading itself.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <functional>
#include <memory>

#include "serve/api/model_config.h"
#include "serve/api/served_model.h"

namespace brisk::api {

// Bytes that a loaded model takes.
struct ModelMemory {
  int64_t weights = 0;  // packed ones, and files that are read where they lie
  int64_t steps = 0;    // working memory of a step
  int64_t kv_min = 0;   // a KV cache that one useful sequence fits in, or what was asked for
  int64_t kv_max = 0;   // beyond it more KV is of no use

  int64_t needed() const { return weights + steps + kv_min; }
  // Of a KV cache where `room` bytes may be used in all: half of what is left, so that other models
  // find room too. REQUIRES: room >= needed().
  int64_t kv_bytes(int64_t room) const;
};

// One thread at a time.
class ModelLoader {
 public:
  virtual ~ModelLoader() = default;

  // Reads no weights. Errors: whatever makes the model unloadable, as far as it can be seen.
  virtual absl::StatusOr<ModelMemory> measure(const ModelConfig& config) = 0;
  // `kv_bytes`: of its KV cache. `progress` is told the share that is done, 0 to 1.
  virtual absl::StatusOr<ServedModel> load(const ModelConfig& config, int64_t kv_bytes,
                                           const std::function<void(double)>& progress) = 0;
};

// Loads from files.
std::unique_ptr<ModelLoader> make_model_loader();

}  // namespace brisk::api
