#include "serve/api/response_store.h"

#include <utility>

#include "base/status.h"

namespace brisk::api {

void ResponseStore::add(StoredResponse response) {
  const size_t bytes =
      response.body.dump(-1, ' ', false, Json::error_handler_t::replace).size() +
      response.items.dump(-1, ' ', false, OrderedJson::error_handler_t::replace).size();
  if (bytes > limits_.bytes_max) return;
  absl::MutexLock lock(&mutex_);
  drop_expired();
  const std::string id = response.id;
  entries_.push_back({.response = std::make_shared<const StoredResponse>(std::move(response)),
                      .bytes = bytes,
                      .added = clock_.now()});
  by_id_[id] = std::prev(entries_.end());
  bytes_ += bytes;
  while (entries_.size() > limits_.count_max || bytes_ > limits_.bytes_max) drop(entries_.begin());
}

absl::StatusOr<std::shared_ptr<const StoredResponse>> ResponseStore::find(const std::string& id,
                                                                          int key) {
  absl::MutexLock lock(&mutex_);
  BRISK_ASSIGN_OR_RETURN(const Entries::iterator entry, look_up(id, key));
  return entry->response;
}

absl::Status ResponseStore::remove(const std::string& id, int key) {
  absl::MutexLock lock(&mutex_);
  BRISK_ASSIGN_OR_RETURN(const Entries::iterator entry, look_up(id, key));
  drop(entry);
  return absl::OkStatus();
}

void ResponseStore::drop(Entries::iterator entry) {
  bytes_ -= entry->bytes;
  by_id_.erase(entry->response->id);
  entries_.erase(entry);
}

void ResponseStore::drop_expired() {
  const Instant now = clock_.now();
  while (!entries_.empty() && seconds_between(entries_.front().added, now) >= limits_.seconds_max) {
    drop(entries_.begin());
  }
}

absl::StatusOr<ResponseStore::Entries::iterator> ResponseStore::look_up(const std::string& id,
                                                                        int key) {
  drop_expired();
  const auto found = by_id_.find(id);
  if (found == by_id_.end() || found->second->response->key != key) {
    return not_found("there is no response {}: it was not stored, has expired or was deleted",
                     id.substr(0, 100));
  }
  return found->second;
}

}  // namespace brisk::api
