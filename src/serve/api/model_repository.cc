#include "serve/api/model_repository.h"

#include <absl/time/time.h>

#include <algorithm>
#include <set>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "base/status.h"
#include "compute/sys/memory.h"
#include "serve/api/errors.h"
#include "serve/api/model_repository_impl.h"

namespace brisk::api {
namespace {

absl::Status stopping() {
  return absl::UnavailableError("the server is stopping; send the request again elsewhere");
}

int64_t memory_limit(int64_t asked) {
  if (asked > 0) return asked;
  const int64_t free = available_memory_bytes();
  return free == 0 ? INT64_MAX : free / 10 * 9;
}

}  // namespace

const Clock& ModelRepository::steady_clock() {
  static const SteadyClock clock;
  return clock;
}

ModelRepository::ModelRepository(Metrics& metrics, const RepositoryOptions& options,
                                 ModelConfigs configs, std::unique_ptr<ModelLoader> loader,
                                 const Clock& clock)
    : metrics_(metrics),
      options_(options),
      clock_(clock),
      loader_(std::move(loader)),
      memory_max_(memory_limit(options.memory_max)) {
  {
    absl::MutexLock lock(&mutex_);
    for (ModelConfig& config : configs.models) take_in(std::move(config));
    set_default(configs.default_name);
  }
  keeper_ = std::thread([this] { keep_loop(); });
  load_thread_ = std::thread([this] { load_loop(); });
}

ModelRepository::~ModelRepository() {
  {
    absl::MutexLock lock(&mutex_);
    draining_ = stop_ = true;
    news_.SignalAll();
  }
  load_thread_.join();
  keeper_.join();
}

void ModelRepository::index(Entry& entry) {
  names_[entry.config.name] = &entry;
  for (const std::string& alias : entry.config.aliases) names_[alias] = &entry;
  for (const auto& [adapter, path] : entry.config.adapters) names_[adapter] = &entry;
}

ModelRepository::Entry* ModelRepository::take_in(ModelConfig config) {
  Entry* entry = entries_.emplace_back(std::make_unique<Entry>()).get();
  entry->config = std::move(config);
  index(*entry);
  return entry;
}

void ModelRepository::set_default(const std::string& name) {
  default_ = entries_.size() == 1 ? entries_.front().get() : nullptr;
  if (!name.empty()) default_ = names_.at(name);
}

void ModelRepository::refresh(ModelConfigs configs) {
  absl::MutexLock lock(&mutex_);
  std::set<std::string> were_loaded;
  std::erase_if(entries_, [&](const std::unique_ptr<Entry>& entry) {
    const std::string& name = entry->config.name;
    const auto wanted = std::ranges::find(configs.models, name, &ModelConfig::name);
    const bool is_known = wanted != configs.models.end();
    const bool is_busy =
        entry->state == ModelState::kLoading || !entry->waiting.empty() || entry->watchers > 0;
    if (is_busy || (is_known && wanted->edition == entry->config.edition)) return false;
    const char* const what = is_known ? "has changed" : "is no longer served";
    spdlog::info("{} {}", name, what);
    if (entry->loaded != nullptr) {
      were_loaded.insert(name);
      retire(*entry, fmt::format("it {}", what));
    }
    return true;
  });
  names_.clear();
  for (const auto& entry : entries_) index(*entry);
  for (ModelConfig& config : configs.models) {
    if (names_.contains(config.name)) continue;
    spdlog::info("{} is served from now on", config.name);
    const bool at_once = config.preload || were_loaded.contains(config.name);
    Entry* entry = take_in(std::move(config));
    if (at_once) begin_load(*entry);
  }
  set_default(configs.default_name);
  news_.SignalAll();
}

void ModelRepository::add(ServedModel model) {
  model.grammars = std::make_shared<GrammarCache>(model.engine->model());
  model.metrics = &metrics_.of_model(model.name(), model.engine->context_max());
  model.running = running_;
  auto entry = std::make_unique<Entry>();
  entry->config = {
      .name = model.name(), .aliases = {model.names.begin() + 1, model.names.end()}, .keep = true};
  entry->state = ModelState::kLoaded;
  entry->loaded = std::make_shared<Loaded>();
  entry->loaded->name = model.name();
  entry->loaded->model = std::make_shared<const ServedModel>(std::move(model));
  absl::MutexLock lock(&mutex_);
  index(*entry);
  if (default_ == nullptr) default_ = entry.get();
  entries_.push_back(std::move(entry));
}

// Null: no model is called so, and no loaded one has such an adapter.
ModelRepository::Entry* ModelRepository::resolve(std::string_view name) const {
  if (name.empty()) return default_;
  const auto named = names_.find(absl::string_view(name.data(), name.size()));
  if (named != names_.end()) return named->second;
  for (const auto& entry : entries_) {
    if (entry->loaded == nullptr) continue;
    if (entry->loaded->model->engine->adapters().find(name) != nullptr) return entry.get();
  }
  return nullptr;
}

absl::StatusOr<ModelRepository::Entry*> ModelRepository::resolve_or_error(
    std::string_view name) const {
  if (Entry* entry = resolve(name)) return entry;
  constexpr size_t kNamesShown = 20;
  std::string there;
  for (size_t i = 0; i < std::min(entries_.size(), kNamesShown); ++i) {
    there += (i > 0 ? ", " : "") + entries_[i]->config.name;
  }
  if (entries_.size() > kNamesShown) there += ", ...";
  if (name.empty()) {
    return bad_param("model", "name the model that is asked; this server has " + there);
  }
  return with_code(
      not_found("there is no model {}; this server has {}", name.substr(0, 200), there),
      "model_not_found");
}

// A pointer that tells the repository when it is given up.
ModelLease ModelRepository::lease(Entry& entry) {
  const std::shared_ptr<Loaded> loaded = entry.loaded;
  ++loaded->leases;
  loaded->last_used = clock_.now();
  return {loaded->model.get(), [this, loaded](const ServedModel*) { release(*loaded); }};
}

void ModelRepository::release(Loaded& loaded) {
  absl::MutexLock lock(&mutex_);
  loaded.last_used = clock_.now();
  if (--loaded.leases == 0) news_.SignalAll();
}

absl::StatusOr<std::unique_ptr<ModelWait>> ModelRepository::ask(std::string_view name,
                                                                const http::Wakeup& wakeup,
                                                                int64_t body_bytes) {
  absl::MutexLock lock(&mutex_);
  if (draining_) return stopping();
  BRISK_ASSIGN_OR_RETURN(Entry* const entry, resolve_or_error(name));
  if (entry->state == ModelState::kFailed &&
      seconds_between(entry->failed_at, clock_.now()) < options_.retry_seconds) {
    return entry->failure;
  }
  if (entry->state != ModelState::kLoaded) {
    if (waiting_ >= options_.waiting_max ||
        waiting_bytes_ + body_bytes > options_.waiting_bytes_max) {
      return exhausted("{} is not loaded, and too many requests wait for models; try again later",
                       entry->config.name);
    }
    if (entry->state != ModelState::kLoading) begin_load(*entry);
  }
  auto seat = std::make_unique<ModelWait::Seat>();
  seat->entry = entry;
  seat->wakeup = wakeup;
  seat->deadline = {clock_.now().ns + static_cast<int64_t>(options_.wait_seconds_max * 1e9)};
  seat->body_bytes = body_bytes;
  entry->waiting.push_back(seat.get());
  ++waiting_;
  waiting_bytes_ += body_bytes;
  return std::unique_ptr<ModelWait>(new ModelWait(*this, std::move(seat)));
}

void ModelRepository::begin_load(Entry& entry) {
  entry.state = ModelState::kLoading;
  entry.progress = 0;
  to_load_.push_back(&entry);
  news_.SignalAll();
}

std::optional<absl::StatusOr<ModelLease>> ModelRepository::poll(ModelWait::Seat& seat) {
  absl::MutexLock lock(&mutex_);
  Entry& entry = *seat.entry;
  if (draining_) return stopping();
  switch (entry.state) {
    case ModelState::kLoaded:
      return lease(entry);
    case ModelState::kFailed:
      return entry.failure;
    case ModelState::kUnloaded:  // it came and went while this one slept
      begin_load(entry);
      break;
    case ModelState::kLoading:
      break;
  }
  if (clock_.now() < seat.deadline) return std::nullopt;
  return with_retry_after(absl::UnavailableError(fmt::format(
                              "{} is still loading ({:.0f} %) after {:.0f} s", entry.config.name,
                              100 * entry.progress, options_.wait_seconds_max)),
                          options_.retry_seconds);
}

void ModelRepository::leave(ModelWait::Seat& seat) {
  absl::MutexLock lock(&mutex_);
  std::erase(seat.entry->waiting, &seat);
  --waiting_;
  waiting_bytes_ -= seat.body_bytes;
}

absl::StatusOr<ModelLease> ModelRepository::find(std::string_view name) {
  absl::MutexLock lock(&mutex_);
  BRISK_ASSIGN_OR_RETURN(Entry* const entry, resolve_or_error(name));
  return entry->loaded == nullptr ? nullptr : lease(*entry);
}

absl::Status ModelRepository::load(std::string_view name) {
  absl::MutexLock lock(&mutex_);
  BRISK_ASSIGN_OR_RETURN(Entry* const entry, resolve_or_error(name));
  if (draining_) return stopping();
  if (entry->state == ModelState::kUnloaded || entry->state == ModelState::kFailed) {
    begin_load(*entry);
  }
  ++entry->watchers;
  while (entry->state == ModelState::kLoading) news_.Wait(&mutex_);
  --entry->watchers;
  return entry->state == ModelState::kFailed ? entry->fault : absl::OkStatus();
}

absl::Status ModelRepository::unload(std::string_view name) {
  absl::MutexLock lock(&mutex_);
  BRISK_ASSIGN_OR_RETURN(Entry* const entry, resolve_or_error(name));
  if (entry->state == ModelState::kLoading) {
    return system_error("{} is loading; unload it when that has ended", entry->config.name);
  }
  if (loader_ == nullptr) return unsupported("{} cannot be loaded again", entry->config.name);
  if (entry->state == ModelState::kLoaded) retire(*entry, "as asked");
  entry->state = ModelState::kUnloaded;
  return absl::OkStatus();
}

// From here on the model is nobody's but its leases'; the keeper destroys it after them.
void ModelRepository::retire(Entry& entry, std::string_view why) {
  spdlog::info("unloading {}: {}", entry.config.name, why);
  retired_.push_back(std::exchange(entry.loaded, nullptr));
  entry.state = ModelState::kUnloaded;
  entry.planned_bytes = 0;
  news_.SignalAll();
}

int64_t ModelRepository::used_bytes() const {
  int64_t bytes = 0;
  for (const auto& entry : entries_) {
    if (entry->loaded != nullptr) bytes += entry->loaded->bytes;
  }
  for (const auto& loaded : retired_) bytes += loaded->bytes;
  return bytes;
}

std::vector<ModelLease> ModelRepository::loaded() {
  absl::MutexLock lock(&mutex_);
  std::vector<ModelLease> all;
  for (const auto& entry : entries_) {
    if (entry->loaded != nullptr) all.push_back(entry->loaded->model);
  }
  return all;
}

ModelStatus ModelRepository::status_of(Entry& entry) {
  ModelStatus status = {.config = entry.config,
                        .state = entry.state,
                        .progress = entry.state == ModelState::kLoaded ? 1 : entry.progress,
                        .error = std::string(message_of(entry.failure)),
                        .memory_bytes = entry.planned_bytes,
                        .waiting = static_cast<int>(entry.waiting.size())};
  if (entry.loaded != nullptr) {
    status.in_use = entry.loaded->leases;
    status.model = entry.loaded->model;
  }
  return status;
}

std::vector<ModelStatus> ModelRepository::statuses() {
  absl::MutexLock lock(&mutex_);
  std::vector<ModelStatus> all;
  for (const auto& entry : entries_) all.push_back(status_of(*entry));
  return all;
}

absl::StatusOr<ModelStatus> ModelRepository::status(std::string_view name) {
  absl::MutexLock lock(&mutex_);
  BRISK_ASSIGN_OR_RETURN(Entry* const entry, resolve_or_error(name));
  return status_of(*entry);
}

bool ModelRepository::is_model_name(std::string_view name) const {
  absl::MutexLock lock(&mutex_);
  return names_.contains(absl::string_view(name.data(), name.size()));
}

void ModelRepository::forgive(std::string_view name) {
  absl::MutexLock lock(&mutex_);
  Entry* const entry = resolve(name);
  if (entry != nullptr && entry->state == ModelState::kFailed) {
    entry->state = ModelState::kUnloaded;
  }
}

void ModelRepository::drain(double seconds) {
  const SteadyClock clock;
  const Instant begin = clock.now();
  std::vector<std::shared_ptr<Engine>> engines;
  {
    absl::MutexLock lock(&mutex_);
    draining_ = true;
    for (const auto& entry : entries_) {
      for (ModelWait::Seat* seat : entry->waiting) seat->wakeup.wake();
      if (entry->loaded != nullptr) engines.push_back(entry->loaded->model->engine);
    }
    for (const auto& loaded : retired_) {
      if (loaded->model != nullptr) engines.push_back(loaded->model->engine);
    }
  }
  for (const auto& engine : engines) {
    engine->drain(std::max(0.0, seconds - seconds_between(begin, clock.now())));
  }
}

ModelWait::ModelWait(ModelRepository& models, std::unique_ptr<Seat> seat)
    : models_(models), seat_(std::move(seat)) {}

ModelWait::~ModelWait() { models_.leave(*seat_); }

std::optional<absl::StatusOr<ModelLease>> ModelWait::poll() { return models_.poll(*seat_); }

std::string_view name_of(ModelState state) {
  switch (state) {
    case ModelState::kUnloaded:
      return "unloaded";
    case ModelState::kLoading:
      return "loading";
    case ModelState::kLoaded:
      return "loaded";
    case ModelState::kFailed:
      return "failed";
  }
  return "";
}

}  // namespace brisk::api
