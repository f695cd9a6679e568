#include "serve/http/key_ring.h"

#include <algorithm>

namespace brisk::http {

KeyRing::KeyRing(const std::vector<ApiKey>& keys) : asks_(!keys.empty()) { replace(keys); }

void KeyRing::replace(const std::vector<ApiKey>& keys) {
  absl::MutexLock lock(&mutex_);
  std::vector<Entry> entries;
  for (const ApiKey& key : keys) {
    Entry entry{.digest = key.key.empty() ? key.digest : sha256(key.key),
                .weight = key.weight,
                .name = key.name,
                .limited = key.limits.tokens_total > 0,
                .account = nullptr};
    const auto before = std::ranges::find(entries_, entry.digest, &Entry::digest);
    if (before != entries_.end()) {
      entry.account = before->account;
      entry.account->set_limits(key.limits);
    } else {
      entry.account = std::make_shared<KeyAccount>(next_id_++, key.limits, clock_.now());
    }
    entries.push_back(std::move(entry));
  }
  entries_ = std::move(entries);
}

bool KeyRing::find(std::string_view given, Caller& caller) const {
  const Sha256 digest = sha256(given);
  absl::MutexLock lock(&mutex_);
  const Entry* found = nullptr;
  // All are compared, so that the time says nothing about which it is either.
  for (const Entry& entry : entries_) {
    if (equal_in_constant_time(digest, entry.digest)) found = &entry;
  }
  if (found == nullptr) return false;
  fill_in(*found, caller);
  return true;
}

bool KeyRing::find_digest(const Sha256& digest, Caller& caller) const {
  absl::MutexLock lock(&mutex_);
  const auto found = std::ranges::find(entries_, digest, &Entry::digest);
  if (found == entries_.end()) return false;
  fill_in(*found, caller);
  return true;
}

void KeyRing::fill_in(const Entry& entry, Caller& caller) const {
  caller.key = entry.account->id;
  caller.keys = static_cast<int>(entries_.size());
  caller.weight = entry.weight;
  caller.name = entry.name;
  caller.owner = to_hex(entry.digest);
  caller.account = entry.account;
}

std::shared_ptr<KeyAccount> KeyRing::account(const Sha256& digest) const {
  absl::MutexLock lock(&mutex_);
  const auto found = std::ranges::find(entries_, digest, &Entry::digest);
  return found == entries_.end() ? nullptr : found->account;
}

std::map<Sha256, int64_t> KeyRing::tokens_used() const {
  absl::MutexLock lock(&mutex_);
  std::map<Sha256, int64_t> used;
  for (const Entry& entry : entries_) {
    if (entry.limited) used[entry.digest] = entry.account->tokens_used();
  }
  return used;
}

void KeyRing::set_tokens_used(const std::map<Sha256, int64_t>& used) {
  absl::MutexLock lock(&mutex_);
  for (const Entry& entry : entries_) {
    if (const auto found = used.find(entry.digest); found != used.end())
      entry.account->set_tokens_used(found->second);
  }
}

}  // namespace brisk::http
