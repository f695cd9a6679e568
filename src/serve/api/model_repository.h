// The models behind the endpoints, by the names that requests call them: loaded when somebody asks,
// unloaded when nobody does or others need the memory.
//
// One thread loads, one model after the other; another one lets go of models that are not used any
// more. Nobody else waits: whoever asks for a model that is not there polls a ModelWait, and is
// woken.
#pragma once

#include <absl/base/thread_annotations.h>
#include <absl/container/flat_hash_map.h>
#include <absl/status/statusor.h>
#include <absl/synchronization/mutex.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "serve/api/metrics.h"
#include "serve/api/model_config.h"
#include "serve/api/model_loader.h"
#include "serve/api/running_requests.h"
#include "serve/api/served_model.h"
#include "serve/http/message.h"

namespace brisk::api {

struct RepositoryOptions {
  int64_t memory_max = 0;               // of all loaded models; 0: nine tenths of what is free now
  double idle_seconds_max = 0;          // a model that was not used for so long goes; 0: it stays
  double wait_seconds_max = 600;        // that a request waits for a model
  double retry_seconds = 10;            // until a model that could not be loaded is tried again
  int waiting_max = 1024;               // requests that wait for models
  int64_t waiting_bytes_max = 1 << 28;  // of their bodies
};

enum class ModelState : uint8_t { kUnloaded, kLoading, kLoaded, kFailed };

struct ModelStatus {
  ModelConfig config = {};
  ModelState state = ModelState::kUnloaded;
  double progress = 0;       // of loading, 0 to 1
  std::string error = {};    // why it failed
  int64_t memory_bytes = 0;  // planned, while it is loaded
  int in_use = 0;            // leases
  int waiting = 0;           // requests
  ModelLease model = {};     // null unless loaded. It keeps the model: let go of it soon
};

class ModelRepository;

// Somebody waits for a model. One thread at a time; the repository must outlive it.
class ModelWait {
 public:
  ~ModelWait();
  ModelWait(const ModelWait&) = delete;
  ModelWait& operator=(const ModelWait&) = delete;

  // The model, why there is none, or nothing yet: then the wakeup says when to ask again.
  // Errors: those of the load; Unavailable when it takes too long or the server is stopping.
  std::optional<absl::StatusOr<ModelLease>> poll();

 private:
  friend class ModelRepository;
  struct Seat;
  ModelWait(ModelRepository& models, std::unique_ptr<Seat> seat);

  ModelRepository& models_;
  const std::unique_ptr<Seat> seat_;
};

// Any thread may call anything. All leases must have ended before it does.
class ModelRepository {
 public:
  // `metrics` and `clock` must outlive this; `loader` may be null where every model is added.
  // REQUIRES: check(configs), unless there are none.
  ModelRepository(Metrics& metrics, const RepositoryOptions& options = {},
                  ModelConfigs configs = {}, std::unique_ptr<ModelLoader> loader = nullptr,
                  const Clock& clock = steady_clock());
  ~ModelRepository();

  // Takes in a model that is loaded, and stays so. REQUIRES: its names are new.
  void add(ServedModel model);

  // Takes in the models of `configs` that are new, by name or edition, and lets go of those that
  // are not in it: nobody finds them any more, what runs is finished. One that is loaded is loaded
  // anew in its new edition. The others stay as they are. What is being loaded stays too, until the
  // next time. REQUIRES: check(configs).
  void refresh(ModelConfigs configs);

  // Asks for the model that `name` means, or one of whose adapters it does, and begins to load it
  // if need be. `body_bytes`: what the caller holds in memory while it waits. Errors: NotFound
  // (model_not_found), InvalidArgument (no name and no default), Unavailable (stopping),
  // ResourceExhausted (too many wait), and that of a load that failed lately.
  absl::StatusOr<std::unique_ptr<ModelWait>> ask(std::string_view name, const http::Wakeup& wakeup,
                                                 int64_t body_bytes = 0);
  // The same at once: null when it is not loaded. Begins no load. Errors as above.
  absl::StatusOr<ModelLease> find(std::string_view name);

  // Waits until it is loaded or failed, and says why in full. Tries again even where it failed
  // lately. Logs nothing of the failure.
  absl::Status load(std::string_view name);
  // New requests find it unloaded; those that run finish, then its memory is free. Errors:
  // NotFound; Unavailable while it is loading.
  absl::Status unload(std::string_view name);

  std::vector<ModelLease> loaded();
  std::vector<ModelStatus> statuses();
  // Errors as for ask().
  absl::StatusOr<ModelStatus> status(std::string_view name);
  // Whether a model is called so, adapters aside.
  bool is_model_name(std::string_view name) const;

  // Requests of all models that are being answered.
  RunningRequests& running() { return *running_; }

  // Lets a model that failed lately be tried again now.
  void forgive(std::string_view name);

  // What was counted of a model, loaded or not, by its own name.
  ModelTotals totals(const std::string& name) const { return metrics_.totals(name); }

  // Ends all waits with Unavailable, and see Engine::drain.
  void drain(double seconds);

  static const Clock& steady_clock();

 private:
  friend class ModelWait;
  struct Loaded;
  struct Entry;
  struct Plan;

  Entry* resolve(std::string_view name) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<Entry*> resolve_or_error(std::string_view name) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  ModelLease lease(Entry& entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void release(Loaded& loaded);
  void index(Entry& entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Entry* take_in(ModelConfig config) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void set_default(const std::string& name) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void begin_load(Entry& entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::optional<absl::StatusOr<ModelLease>> poll(ModelWait::Seat& seat);
  void leave(ModelWait::Seat& seat);
  ModelStatus status_of(Entry& entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // On the thread that loads.
  void load_loop();
  absl::StatusOr<std::shared_ptr<Loaded>> load_model(Entry& entry);
  absl::Status make_room(const Entry& entry, const ModelMemory& memory, int64_t* room);
  Entry* least_recently_used() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::string holders() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // On the thread that lets go.
  void keep_loop();
  void unload_idle() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void wake_late() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  void retire(Entry& entry, std::string_view why) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  int64_t used_bytes() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // Constant after construction.
  Metrics& metrics_;
  const std::shared_ptr<RunningRequests> running_ = std::make_shared<RunningRequests>();
  const RepositoryOptions options_;
  const Clock& clock_;
  const std::unique_ptr<ModelLoader> loader_;
  const int64_t memory_max_;

  mutable absl::Mutex mutex_;
  absl::CondVar news_;  // for both threads and load()
  std::vector<std::unique_ptr<Entry>> entries_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<std::string, Entry*> names_ ABSL_GUARDED_BY(mutex_);
  Entry* default_ ABSL_GUARDED_BY(mutex_) = nullptr;
  std::deque<Entry*> to_load_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::shared_ptr<Loaded>> retired_ ABSL_GUARDED_BY(mutex_);  // until nobody uses them
  int waiting_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t waiting_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  bool draining_ ABSL_GUARDED_BY(mutex_) = false;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;

  std::thread keeper_;
  std::thread load_thread_;
};

std::string_view name_of(ModelState state);  // "unloaded", "loading", "loaded", "failed"

}  // namespace brisk::api
