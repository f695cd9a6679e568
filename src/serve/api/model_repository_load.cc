// The repository's two threads: one loads, one lets go.
#include <absl/strings/str_replace.h>
#include <absl/time/time.h>

#include <algorithm>
#include <new>
#include <utility>

#include "base/log.h"
#include "base/status.h"
#include "base/units.h"
#include "serve/api/errors.h"
#include "serve/api/model_repository_impl.h"

namespace brisk::api {
namespace {

constexpr double kLoggedProgress = 0.2;  // a line each

std::string bytes_text(int64_t bytes) { return human_bytes(static_cast<uint64_t>(bytes)); }

std::string needs_text(const std::string& name, const ModelMemory& memory) {
  return fmt::format("{} needs {} (weights {}, KV cache {} or more, a step {})", name,
                     bytes_text(memory.needed()), bytes_text(memory.weights),
                     bytes_text(memory.kv_min), bytes_text(memory.steps));
}

// What a client is told: 404 when the files are gone, else 503; and no path of this machine.
absl::Status as_told(const absl::Status& status, const ModelConfig& config, double retry_seconds) {
  std::string reason = absl::StrReplaceAll(
      status.message(), {{config.path.empty() ? config.name : config.path, config.name}});
  const std::string message = fmt::format("{} cannot be loaded: {}", config.name, reason);
  if (absl::IsNotFound(status)) return with_code(absl::NotFoundError(message), "model_not_found");
  return with_retry_after(with_code(absl::UnavailableError(message), "model_not_loaded"),
                          retry_seconds);
}

}  // namespace

void ModelRepository::load_loop() {
  while (true) {
    Entry* entry = nullptr;
    {
      absl::MutexLock lock(&mutex_);
      while (to_load_.empty() && !stop_) news_.Wait(&mutex_);
      if (stop_) break;
      entry = to_load_.front();
      to_load_.pop_front();
    }
    absl::StatusOr<std::shared_ptr<Loaded>> loaded = absl::UnknownError("");
    try {
      loaded = load_model(*entry);
    } catch (const std::exception& error) {  // bad_alloc, for one
      loaded = exhausted("{}", error.what());
    }
    absl::MutexLock lock(&mutex_);
    if (loaded.ok()) {
      entry->loaded = *std::move(loaded);
      entry->loaded->last_used = clock_.now();
      entry->state = ModelState::kLoaded;
      entry->failure = absl::OkStatus();
    } else {
      if (!entry->waiting.empty()) {
        spdlog::error("{} cannot be loaded: {}", entry->config.name, message_of(loaded.status()));
      }
      entry->fault = loaded.status();
      entry->failure = as_told(loaded.status(), entry->config, options_.retry_seconds);
      entry->failed_at = clock_.now();
      entry->state = ModelState::kFailed;
      entry->planned_bytes = 0;
    }
    for (ModelWait::Seat* seat : entry->waiting) seat->wakeup.wake();
    news_.SignalAll();
  }
  absl::MutexLock lock(&mutex_);
  for (Entry* entry : to_load_) entry->state = ModelState::kUnloaded;
  news_.SignalAll();
}

absl::StatusOr<std::shared_ptr<ModelRepository::Loaded>> ModelRepository::load_model(Entry& entry) {
  const ModelConfig& config = entry.config;
  const Instant begin = clock_.now();
  BRISK_ASSIGN_OR_RETURN(const ModelMemory memory, loader_->measure(config));
  int64_t room = 0;
  BRISK_RETURN_IF_ERROR(make_room(entry, memory, &room));
  const int64_t kv_bytes = memory.kv_bytes(room);
  auto loaded = std::make_shared<Loaded>();
  loaded->name = config.name;
  loaded->bytes = memory.weights + memory.steps + kv_bytes;
  {
    absl::MutexLock lock(&mutex_);
    entry.planned_bytes = loaded->bytes;
  }
  spdlog::info("loading {}: {} of weights, {} of KV cache", config.name, bytes_text(memory.weights),
               bytes_text(kv_bytes));
  double logged = 0;
  BRISK_ASSIGN_OR_RETURN(ServedModel served, loader_->load(config, kv_bytes, [&](double progress) {
    if (progress >= logged + kLoggedProgress && progress < 1) {
      logged = progress;
      spdlog::info("loading {}: {:.0f} %", config.name, 100 * progress);
    }
    absl::MutexLock lock(&mutex_);
    entry.progress = progress;
  }));
  served.grammars = std::make_shared<GrammarCache>(served.engine->model());
  served.running = running_;
  served.metrics = &metrics_.of_model(config.name, served.engine->context_max());
  loaded->model = std::make_shared<const ServedModel>(std::move(served));
  spdlog::info("{} is loaded, in {:.1f} s", config.name, seconds_between(begin, clock_.now()));
  return loaded;
}

// Unloads what was used least recently until `memory` fits; those in use end first what they do.
// `room`: what the model may take in all.
absl::Status ModelRepository::make_room(const Entry& entry, const ModelMemory& memory,
                                        int64_t* room) {
  const std::string& name = entry.config.name;
  absl::MutexLock lock(&mutex_);
  const Instant begin = clock_.now();
  while (true) {
    if (stop_ || draining_) return absl::UnavailableError("the server is stopping");
    *room = memory_max_ - used_bytes();
    if (memory.needed() <= *room) return absl::OkStatus();
    if (memory.needed() > memory_max_) {
      return exhausted(
          "{}, but models may take {} in all; allow more with --models-memory, or give "
          "it a smaller context or KV cache",
          needs_text(name, memory), bytes_text(memory_max_));
    }
    const double waited = seconds_between(begin, clock_.now());
    if (Entry* victim = retired_.empty() ? least_recently_used() : nullptr) {
      retire(*victim, "its memory is needed for " + name);
    } else if (retired_.empty() || waited > options_.wait_seconds_max) {
      return exhausted("{}, but of {} only {} are free; the rest is held by {}",
                       needs_text(name, memory), bytes_text(memory_max_), bytes_text(*room),
                       holders());
    }
    news_.WaitWithTimeout(&mutex_, absl::Milliseconds(50));
  }
}

// Of those that may go: one that nobody uses, if there is any. Null: none may go.
ModelRepository::Entry* ModelRepository::least_recently_used() {
  Entry* found = nullptr;
  const auto rank = [](const Entry& entry) {
    const bool used = entry.loaded->leases > 0 || !entry.waiting.empty();
    return std::pair(used, entry.loaded->last_used.ns);
  };
  for (const auto& entry : entries_) {
    if (entry->loaded == nullptr || entry->config.keep) continue;
    if (found == nullptr || rank(*entry) < rank(*found)) found = entry.get();
  }
  return found;
}

std::string ModelRepository::holders() const {
  std::string text;
  for (const auto& entry : entries_) {
    if (entry->loaded == nullptr) continue;
    text +=
        fmt::format("{}{} ({}{})", text.empty() ? "" : ", ", entry->config.name,
                    bytes_text(entry->loaded->bytes), entry->loaded->leases > 0 ? ", in use" : "");
  }
  for (const auto& loaded : retired_) {
    text += fmt::format("{}{} ({}, finishing)", text.empty() ? "" : ", ", loaded->name,
                        bytes_text(loaded->bytes));
  }
  return text.empty() ? "nobody" : text;
}

void ModelRepository::keep_loop() {
  constexpr double kPauseMax = 1, kPauseMin = 0.02;
  const double pause = options_.idle_seconds_max > 0
                           ? std::clamp(options_.idle_seconds_max / 10, kPauseMin, kPauseMax)
                           : kPauseMax;
  absl::MutexLock lock(&mutex_);
  while (true) {
    unload_idle();
    wake_late();
    // Engines take their time to end: not under the lock, and no longer counted when they have.
    const auto unused = std::ranges::find_if(retired_, [](const auto& loaded) {
      return loaded->leases == 0 && loaded->model != nullptr && loaded->model.use_count() == 1;
    });
    if (unused != retired_.end()) {
      const std::shared_ptr<Loaded> ending = *unused;
      std::shared_ptr<const ServedModel> model = std::exchange(ending->model, nullptr);
      mutex_.Unlock();
      model.reset();
      mutex_.Lock();
      std::erase(retired_, ending);
      spdlog::info("{} is unloaded", ending->name);
      news_.SignalAll();
      continue;
    }
    if (stop_) return;
    news_.WaitWithTimeout(&mutex_, absl::Seconds(retired_.empty() ? pause : kPauseMin));
  }
}

void ModelRepository::unload_idle() {
  if (options_.idle_seconds_max <= 0) return;
  for (const auto& entry : entries_) {
    if (entry->loaded == nullptr || entry->config.keep) continue;
    if (entry->loaded->leases > 0 || !entry->waiting.empty()) continue;
    const double idle = seconds_between(entry->loaded->last_used, clock_.now());
    if (idle >= options_.idle_seconds_max) retire(*entry, fmt::format("idle for {:.0f} s", idle));
  }
}

// Those whose time is over ask again, and are told.
void ModelRepository::wake_late() {
  const Instant now = clock_.now();
  for (const auto& entry : entries_) {
    for (ModelWait::Seat* seat : entry->waiting) {
      if (now >= seat->deadline) seat->wakeup.wake();
    }
  }
}

}  // namespace brisk::api
