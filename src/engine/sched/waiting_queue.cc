#include "engine/sched/waiting_queue.h"

#include <algorithm>
#include <tuple>

#include "base/check.h"
#include "engine/sched/sequence.h"

namespace brisk {
namespace {

constexpr int64_t kUnit = kTenantWeightMax;  // so that every weight counts

}  // namespace

void WaitingQueue::open_account(const Tenant& tenant) {
  Account& account = accounts_[tenant.id];
  account.weight = tenant.weight;
  ++account.sequences;
}

void WaitingQueue::close_account(const Tenant& tenant) {
  const auto place = accounts_.find(tenant.id);
  BRISK_CHECK(place != accounts_.end());
  if (--place->second.sequences > 0) return;
  BRISK_CHECK(place->second.waiting.empty());
  level_ = std::max(level_, place->second.served);
  accounts_.erase(place);
}

void WaitingQueue::charge(const Tenant& tenant, int64_t tokens) {
  Account& account = accounts_.at(tenant.id);
  account.served += tokens * kUnit / account.weight;
}

void WaitingQueue::push(Sequence* sequence) {
  ++size_;
  if (sequence->was_admitted) return insert_senior_last(&resumed_, sequence);
  Account& account = accounts_.at(sequence->tenant.id);
  if (account.waiting.empty()) account.served = std::max(account.served, lowest_service());
  insert_senior_last(&account.waiting, sequence);
}

void WaitingQueue::erase(Sequence* sequence) {
  --size_;
  if (sequence->was_admitted) {
    BRISK_CHECK(std::erase(resumed_, sequence) == 1);
    return;
  }
  Account& account = accounts_.at(sequence->tenant.id);
  BRISK_CHECK(std::erase(account.waiting, sequence) == 1);
  if (account.waiting.empty()) level_ = std::max(level_, account.served);
}

// Of the tenants that wait; without any, of the last one that did.
int64_t WaitingQueue::lowest_service() const {
  int64_t lowest = INT64_MAX;
  for (const auto& [id, account] : accounts_) {
    if (!account.waiting.empty()) lowest = std::min(lowest, account.served);
  }
  return lowest == INT64_MAX ? level_ : lowest;
}

bool WaitingQueue::outranks(const Sequence& a, const Sequence& b) {
  if (a.priority != b.priority) return a.priority < b.priority;
  if (a.was_admitted != b.was_admitted) return a.was_admitted;
  return (a.was_admitted || a.tenant.id == b.tenant.id) && a.id.value < b.id.value;
}

Sequence* WaitingQueue::next() const {
  Sequence* next = nullptr;
  int64_t next_served = 0;
  for (const auto& [id, account] : accounts_) {
    if (account.waiting.empty()) continue;
    Sequence* head = account.waiting.back();
    const bool goes_before =
        next == nullptr || std::tuple(head->priority, account.served, head->id.value) <
                               std::tuple(next->priority, next_served, next->id.value);
    if (!goes_before) continue;
    next = head;
    next_served = account.served;
  }
  if (!resumed_.empty() && (next == nullptr || outranks(*resumed_.back(), *next))) {
    return resumed_.back();
  }
  return next;
}

}  // namespace brisk
