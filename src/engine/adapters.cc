#include "engine/adapters.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/check.h"
#include "base/status.h"

namespace brisk {
namespace {

constexpr size_t kNameBytesMax = 256;

}  // namespace

absl::StatusOr<std::shared_ptr<const Adapter>> AdapterRegistry::load(std::string_view name,
                                                                     const std::string& path) {
  {
    absl::MutexLock lock(&mutex_);
    BRISK_RETURN_IF_ERROR(check_place_for(name));
  }
  auto adapter = std::make_shared<Adapter>();
  adapter->name = name;
  BRISK_ASSIGN_OR_RETURN(adapter->weights, load_lora(path, model_));
  absl::MutexLock lock(&mutex_);
  BRISK_RETURN_IF_ERROR(check_place_for(name));  // others may have come meanwhile
  adapter->id = ++last_id_;
  adapters_.push_back(adapter);
  return adapter;
}

absl::Status AdapterRegistry::unload(std::string_view name) {
  absl::MutexLock lock(&mutex_);
  const auto named = [name](const auto& adapter) { return adapter->name == name; };
  if (std::erase_if(adapters_, named) > 0) return absl::OkStatus();
  return not_found("there is no adapter {}", name.substr(0, kNameBytesMax));
}

std::shared_ptr<const Adapter> AdapterRegistry::find(std::string_view name) const {
  absl::MutexLock lock(&mutex_);
  return find_locked(name);
}

std::vector<std::shared_ptr<const Adapter>> AdapterRegistry::list() const {
  absl::MutexLock lock(&mutex_);
  return adapters_;
}

absl::Status AdapterRegistry::check_place_for(std::string_view name) const {
  if (name.empty() || name.size() > kNameBytesMax) {
    return invalid_input("an adapter's name has 1 to {} bytes", kNameBytesMax);
  }
  if (find_locked(name) != nullptr) {
    return invalid_input("there is an adapter {} already; unload it first", name);
  }
  if (std::ssize(adapters_) >= adapters_max_) {
    return exhausted("{} adapters are loaded, which is the limit; unload one", adapters_.size());
  }
  if (last_id_ == std::numeric_limits<int32_t>::max()) {
    return exhausted("no more adapters can be loaded before the engine starts anew");
  }
  return absl::OkStatus();
}

std::shared_ptr<const Adapter> AdapterRegistry::find_locked(std::string_view name) const {
  const auto it = std::find_if(adapters_.begin(), adapters_.end(),
                               [name](const auto& adapter) { return adapter->name == name; });
  return it == adapters_.end() ? nullptr : *it;
}

void LiveAdapters::add(const std::shared_ptr<const Adapter>& adapter) {
  if (adapter == nullptr) return;
  Use& use = uses_[adapter->id];
  use.adapter = adapter;
  ++use.requests;
}

void LiveAdapters::remove(const std::shared_ptr<const Adapter>& adapter) {
  if (adapter == nullptr) return;
  const auto it = uses_.find(adapter->id);
  BRISK_CHECK(it != uses_.end());
  if (--it->second.requests == 0) uses_.erase(it);
}

const LoraAdapter* LiveAdapters::weights_of(int32_t id) const {
  if (id == 0) return nullptr;
  const auto it = uses_.find(id);
  BRISK_CHECK(it != uses_.end());
  return it->second.adapter->weights.get();
}

}  // namespace brisk
