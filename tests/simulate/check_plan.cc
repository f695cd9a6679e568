// What must hold of a plan, checked against the simulation's own account.
#include <algorithm>
#include <bit>

#include "tests/simulate/simulation.h"

namespace brisk::simulate {

bool Simulation::check_plan(const StepPlan& plan) {
  if (!check_moves(plan)) return false;
  std::set<int64_t> sliced;
  int64_t tokens = 0;
  for (const Slice& slice : plan.slices) {
    if (!sliced.insert(slice.sequence.value).second) return fail("two slices of one sequence");
    if (!check_slice(slice)) return false;
    tokens += static_cast<int64_t>(slice.tokens.size());
  }
  if (tokens != plan.tokens) return fail("the plan counts its tokens wrongly");
  return check_budget(plan);
}

// Whether nobody who waits has the right to go before: of a better priority, one that has run
// before, or an older one of the same tenant.
bool Simulation::may_go_next(SequenceId id) {
  if (!waiting_.contains(seniority(id))) return false;
  const Life& next = life(id);
  for (const auto& [priority, other_id] : waiting_) {
    const Life& other = life({other_id});
    if (priority < next.spec.priority) return false;
    if (priority > next.spec.priority) return true;
    const bool is_older = other_id < id.value;
    if (other.was_admitted && (is_older || !next.was_admitted)) return false;
    if (!next.was_admitted && is_older && other.spec.tenant.id == next.spec.tenant.id) return false;
  }
  return true;
}

// Who was preempted and who was admitted.
bool Simulation::check_moves(const StepPlan& plan) {
  for (const SequenceId id : plan.preempted) {
    if (*running_.rbegin() != seniority(id)) return fail("a senior was preempted");
    Life& preempted = life(id);
    preempted.place = Place::kWaiting;
    const int32_t bound = std::bit_width(static_cast<uint32_t>(scenario_.options.blocks)) +
                          (preempted.spec.choices > 1);
    if (++preempted.preemptions > bound) return fail("a sequence was preempted over and over");
    running_.erase(seniority(id));
    waiting_.insert(seniority(id));
    ++outcome_.preemptions;
  }
  if (!plan.preempted.empty() && running_.empty()) return fail("nobody was left to go on");
  for (const Admission& admission : plan.admitted) {
    SequenceId id = admission.sequence;
    if (life(id).cancelled) return fail("a cancelled sequence was named");
    if (life(id).place == Place::kPending) {
      id = {life(id).leader};
      if (!life(id).cancelled) return fail("a group was not named by its first choice");
    }
    if (!may_go_next(id)) return fail("somebody overtook");
    Life& admitted = life(id);
    if (admitted.prompt_logits && admission.cached_tokens > 0) {
      return fail("tokens were looked up whose logits are wanted");
    }
    if (admission.resumed != admitted.was_admitted) return fail("`resumed` is wrong");
    if (admission.cached_tokens % scenario_.options.block_tokens != 0 ||
        admission.cached_tokens >= static_cast<int32_t>(admitted.tokens.size()) ||
        (!scenario_.options.prefix_cache && admission.cached_tokens > 0)) {
      return fail("impossible number of cached tokens");
    }
    stop_waiting(id);
    if (!admitted.was_admitted) {
      Account& account = accounts_[admitted.spec.tenant.id];
      account.served += static_cast<double>(std::ssize(admitted.tokens) - admission.cached_tokens) /
                        account.weight;
    }
    admitted.place = Place::kRunning;
    admitted.was_admitted = true;
    admitted.computed = admission.cached_tokens;
    outcome_.prefix_hit_tokens += admission.cached_tokens;
    running_.insert(seniority(id));
  }
  int64_t taken = 0;
  for (const auto& [priority, id] : running_) taken += slots(life({id}));
  if (taken > running_max_ && running_.size() > 1 && !plan.admitted.empty()) {
    return fail("more sequences run than may");
  }
  return check_beams();
}

bool Simulation::check_slice(const Slice& slice) {
  const Life& sliced = life(slice.sequence);
  if (sliced.place != Place::kRunning) return fail("a slice of a sequence that does not run");
  if (slice.first != sliced.computed) return fail("a slice does not begin where the last ended");
  const size_t end = static_cast<size_t>(slice.first) + slice.tokens.size();
  if (slice.tokens.empty() || end > sliced.tokens.size()) return fail("a slice of no tokens");
  if (!std::equal(slice.tokens.begin(), slice.tokens.end(), sliced.tokens.begin() + slice.first)) {
    return fail("a slice has other tokens than its sequence");
  }
  const size_t wanted =
      sliced.prompt_logits ? 0 : slice.tokens.size() - (end == sliced.tokens.size() ? 1 : 0);
  if (static_cast<size_t>(slice.logits_from) != wanted) return fail("logits of the wrong rows");
  return true;
}

// The budgets are kept, used up while anybody could use them, and the senior gets a share.
bool Simulation::check_budget(const StepPlan& plan) {
  const int32_t budget = scenario_.options.tokens_per_step_max;
  if (plan.tokens > budget) return fail("the step is over its budget");
  std::map<int64_t, size_t> served;
  int64_t prompt_logits = 0, positions = 0;
  for (const Slice& slice : plan.slices) {
    served[slice.sequence.value] = slice.tokens.size();
    if (life(slice.sequence).prompt_logits) prompt_logits += std::ssize(slice.tokens);
    for (size_t i = 0; i < slice.tokens.size(); ++i) {
      positions += slice.first + static_cast<int64_t>(i) + 1;
    }
  }
  if (positions != plan.positions) return fail("the plan counts its positions wrongly");
  const int32_t prompt_logits_max = scenario_.options.prompt_logits_per_step_max;
  if (prompt_logits > prompt_logits_max) return fail("too many rows of logits");
  if (!check_policy(plan)) return false;

  const bool fills =
      scenario_.options.policy == BatchPolicy::kSplitFuse && scenario_.options.stretch_percent == 0;
  bool senior = scenario_.options.policy == BatchPolicy::kSplitFuse;
  for (const auto& [priority, id] : running_) {
    const Life& one = life({id});
    const bool catches_up = must_catch_up({id});  // up to the last token, with the other beams
    const size_t remaining =
        one.tokens.size() - static_cast<size_t>(one.computed) - (catches_up ? 1 : 0);
    const size_t got = served.contains(id) ? served[id] : 0;
    size_t got_together = 0;
    for (const SequenceId beam : together_with({id})) got_together += served[beam.value];
    const bool lacks_logits = one.prompt_logits && prompt_logits == prompt_logits_max;
    const bool is_new = was_admitted_now(plan, {id});
    // Beams that were found in the cache are drawn at once, when the budget has room for all.
    const bool lacks_budget = is_new && one.spec.beams && !catches_up;
    if (senior && got_together == 0 && !lacks_budget && !(lacks_logits && is_new)) {
      return fail("the most senior sequence was left out");
    }
    senior = false;
    if (fills && got < remaining && plan.tokens < budget && !lacks_logits && !lacks_budget) {
      return fail("the budget was not used up");
    }
  }
  if (!fills || plan.tokens == budget || waiting_.empty()) return true;

  // All tenants' heads wait although there is budget: at least the one chosen must lack slots or
  // room, however one counts it.
  int64_t taken_by_running = 0, blocks_by_running = 0;
  for (const auto& [priority, id] : running_) {
    taken_by_running += slots(life({id}));
    blocks_by_running += blocks_at_most(life({id}));
  }
  for (const auto& [priority, id] : waiting_) {
    if (!may_go_next({id})) continue;
    int64_t taken = taken_by_running, blocks = blocks_by_running;
    for (const SequenceId one : together_with({id})) {
      taken += slots(life(one));
      blocks += blocks_at_most(life(one));
    }
    if (taken > running_max_ || blocks > scenario_.options.blocks) return true;
  }
  return fail("the head of the queue waits for nothing");
}

// An admission names the first of a prompt's choices that is not cancelled.
bool Simulation::was_admitted_now(const StepPlan& plan, SequenceId id) {
  return std::ranges::any_of(plan.admitted, [&](const Admission& admission) {
    const Life& named = life(admission.sequence);
    return admission.sequence == id || (named.place == Place::kPending && named.leader == id.value);
  });
}

// However one counts what a sequence may come to need: its tail may be shared now, that of a beam
// again later.
int64_t Simulation::blocks_at_most(const Life& life) const {
  return slots(life) * (blocks_for(life.tokens_max) + (life.spec.beams ? 2 : 1));
}

// What each policy promises about prompts and decoding in one step.
bool Simulation::check_policy(const StepPlan& plan) {
  const BatchPolicy policy = scenario_.options.policy;
  if (policy == BatchPolicy::kStatic && !batch_ended_ && !plan.admitted.empty()) {
    return fail("somebody joined a static batch");
  }
  std::set<int64_t> sliced;
  bool has_prompt = false, has_decoding = false;
  for (const Slice& slice : plan.slices) {
    sliced.insert(slice.sequence.value);
    const Life& one = life(slice.sequence);
    const bool is_new = was_admitted_now(plan, slice.sequence);
    const bool decodes = one.tokens.size() - static_cast<size_t>(one.computed) == 1 && !is_new &&
                         !one.prompt_logits && one.tokens.size() > one.spec.prompt.size();
    (decodes ? has_decoding : has_prompt) = true;
  }
  if (policy == BatchPolicy::kSplitFuse) {
    for (const auto& [priority, id] : running_) {
      const Life& one = life({id});
      const bool is_new = was_admitted_now(plan, {id});
      const bool waits_for_beams = must_catch_up({id}) || (is_new && one.spec.beams);
      if (one.tokens.size() - static_cast<size_t>(one.computed) == 1 && !one.prompt_logits &&
          !sliced.contains(id) && !waits_for_beams) {
        return fail("a decoding sequence was left out");
      }
    }
    return true;
  }
  for (const Slice& slice : plan.slices) {
    if (has_decoding && slice.tokens.size() > 1) return fail("a prompt beside decoding sequences");
  }
  return true;
}

// Tenants that wait at the same time are served alike: they differ by what one prompt and a full
// batch of generated tokens can add.
bool Simulation::check_fairness() {
  if (scenario_.priorities > 1) return true;
  double lowest = 1e300, highest = 0;
  for (const auto& [priority, id] : waiting_) {
    if (life({id}).was_admitted) continue;
    const double served = accounts_[life({id}).spec.tenant.id].served;
    lowest = std::min(lowest, served);
    highest = std::max(highest, served);
  }
  const double bound =
      scenario_.prompt_max + 4 +
      2.0 * static_cast<double>(running_max_ + scenario_.choices_max) * scenario_.max_tokens_max;
  return highest <= lowest + bound || fail("a tenant was served at the cost of another");
}

bool Simulation::check_beams() {
  for (size_t i = 0; i < lives_.size(); ++i) {
    if (!lives_[i].spec.beams || lives_[i].leader != static_cast<int64_t>(i)) continue;
    SequenceId first{-1};
    for (int64_t beam = lives_[i].leader; beam < lives_[i].leader + lives_[i].spec.choices;
         ++beam) {
      const Place place = life({beam}).place;
      if (place == Place::kPending || place == Place::kEnded) continue;
      if (first.value < 0) first = {beam};
      if (place != life(first).place) return fail("beams of one search are not together");
      if (life({beam}).tokens.size() != life(first).tokens.size()) {
        return fail("a beam is ahead of the others");
      }
    }
  }
  return true;
}

}  // namespace brisk::simulate
