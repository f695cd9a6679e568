// The LoRA adapters that requests may name: loaded and unloaded while the engine runs.
#pragma once

#include <absl/base/thread_annotations.h>
#include <absl/container/flat_hash_map.h>
#include <absl/status/statusor.h>
#include <absl/synchronization/mutex.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "model/lora/adapter.h"
#include "model/model.h"

namespace brisk {

// A request keeps the adapter it names alive, also once that is unloaded.
struct Adapter {
  int32_t id = 0;  // from 1 on, never used again: it keys the prefix cache
  std::string name;
  std::shared_ptr<const LoraAdapter> weights;
};

// Any thread may call anything.
class AdapterRegistry {
 public:
  // REQUIRES: `model` outlives it.
  AdapterRegistry(const Model& model, int adapters_max)
      : model_(model), adapters_max_(adapters_max) {}

  // Reads the file outside of any lock. Errors: those of load_lora; InvalidArgument for a name that
  // is empty, too long or taken; ResourceExhausted at the limit.
  absl::StatusOr<std::shared_ptr<const Adapter>> load(std::string_view name,
                                                      const std::string& path);

  // Requests that use it go on; new ones cannot name it. Errors: NotFound.
  absl::Status unload(std::string_view name);

  // Null: there is none of that name.
  std::shared_ptr<const Adapter> find(std::string_view name) const;

  // In the order of loading.
  std::vector<std::shared_ptr<const Adapter>> list() const;

 private:
  absl::Status check_place_for(std::string_view name) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::shared_ptr<const Adapter> find_locked(std::string_view name) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Model& model_;
  const int adapters_max_;
  mutable absl::Mutex mutex_;
  std::vector<std::shared_ptr<const Adapter>> adapters_ ABSL_GUARDED_BY(mutex_);
  int32_t last_id_ ABSL_GUARDED_BY(mutex_) = 0;
};

// The adapters of the requests that run, by id. Engine thread only.
class LiveAdapters {
 public:
  // Null adapters are nobody's. Every add is taken back by one remove.
  void add(const std::shared_ptr<const Adapter>& adapter);
  void remove(const std::shared_ptr<const Adapter>& adapter);

  // Null for id 0. REQUIRES: a request that runs names it.
  const LoraAdapter* weights_of(int32_t id) const;

 private:
  struct Use {
    std::shared_ptr<const Adapter> adapter;
    int requests = 0;
  };
  absl::flat_hash_map<int32_t, Use> uses_;
};

}  // namespace brisk
