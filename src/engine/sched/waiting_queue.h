// The sequences that wait, and which of them goes next. Private to sched/.
//
// Lower priorities go first. Inside a priority those that have run before go first, oldest first:
// they gave way once and shall not give way twice. Then tenants take turns: the one that was served
// least sends its oldest. Service is counted in tokens over the tenant's weight, by the Virtual
// Token Counter of Sheng et al., "Fairness in Serving Large Language Models" (OSDI 2024): a prompt
// token counts once, when its sequence is admitted, a generated one twice; a tenant that comes back
// is lifted to the level of the others, so that nobody saves up service by being away.
#pragma once

#include <absl/container/flat_hash_map.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "engine/sched/tenant.h"

namespace brisk {

struct Sequence;

inline constexpr int64_t kPromptTokenCost = 1;
inline constexpr int64_t kGeneratedTokenCost = 2;

// One thread. Charging allocates nothing.
class WaitingQueue {
 public:
  // A tenant has an account while one of its sequences lives, waiting or not.
  void open_account(const Tenant& tenant);
  void close_account(const Tenant& tenant);  // once for each `open_account`
  void charge(const Tenant& tenant, int64_t tokens);

  // REQUIRES: the tenant's account is open.
  void push(Sequence* sequence);
  void erase(Sequence* sequence);

  // Null when nobody waits.
  Sequence* next() const;

  // Whether `a` goes before `b` whatever their tenants were served.
  static bool outranks(const Sequence& a, const Sequence& b);

  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

  template <class Visit>
  void for_each(Visit visit) const {
    for (const Sequence* sequence : resumed_) visit(*sequence);
    for (const auto& [id, account] : accounts_) {
      for (const Sequence* sequence : account.waiting) visit(*sequence);
    }
  }

 private:
  struct Account {
    int32_t weight = 1;
    int32_t sequences = 0;             // alive
    int64_t served = 0;                // tokens times kUnit over the weight
    std::vector<Sequence*> waiting{};  // new ones, senior last
  };

  int64_t lowest_service() const;

  std::vector<Sequence*> resumed_;  // senior last
  absl::flat_hash_map<int32_t, Account> accounts_;
  size_t size_ = 0;
  int64_t level_ = 0;  // the highest service at which a tenant stopped waiting
};

}  // namespace brisk
