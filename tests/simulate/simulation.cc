#include "tests/simulate/simulation.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>

#include "base/units.h"

namespace brisk::simulate {
namespace {

// Bad hashes: every block in one bucket under one hash, or under one of three.
uint64_t hash_to_one(uint64_t, std::span<const int32_t>) { return 7; }
uint64_t hash_to_three(uint64_t parent, std::span<const int32_t> tokens) {
  return hash_block(parent, tokens) % 3;
}

int32_t pick(Rng* rng, std::initializer_list<int32_t> values) {
  return *(values.begin() + rng->next_below(values.size()));
}

int32_t between(Rng* rng, int32_t low, int32_t high) {
  return low + static_cast<int32_t>(rng->next_below(static_cast<uint64_t>(high - low + 1)));
}

// A few lives are as large as a server's.
void grow_to_server_size(Scenario* s) {
  s->options.block_tokens = 16;
  s->options.blocks = 300;
  s->options.tokens_per_step_max = 256;
  s->options.sequences_max = 64;
  s->options.waiting_max = 100;
  s->options.context_max = 2000;
  s->requests = 200;
  s->vocab = 1000;
  s->prompt_max = 400;
  s->max_tokens_max = 200;
}

}  // namespace

Scenario random_scenario(uint64_t seed) {
  Rng rng(seed, 1);
  Scenario s;
  s.options.block_tokens = pick(&rng, {1, 2, 4, 4, 16});
  s.options.blocks = pick(&rng, {2, 4, 7, 12, 24, 64});
  s.options.tokens_per_step_max = pick(&rng, {1, 2, 5, 16, 48});
  s.options.sequences_max = pick(&rng, {1, 2, 3, 8, 16});
  s.options.waiting_max = pick(&rng, {1, 4, 32});
  s.options.context_max = pick(&rng, {6, 20, 60, 1000});
  s.options.prefix_cache = rng.next_below(5) > 0;
  s.options.hash_seed = rng.next_u64();
  s.options.policy = std::array{BatchPolicy::kSplitFuse, BatchPolicy::kSplitFuse,
                                BatchPolicy::kIteration, BatchPolicy::kStatic}[rng.next_below(4)];
  s.options.stretch_percent = pick(&rng, {0, 0, 110, 200, 400});
  s.options.prompt_logits_per_step_max = pick(&rng, {1, 3, 100});
  const uint64_t hash = rng.next_below(4);
  if (hash == 0) s.options.hash = &hash_to_one;
  if (hash == 1) s.options.hash = &hash_to_three;
  s.requests = between(&rng, 1, 24);
  s.vocab = pick(&rng, {2, 5, 50});
  s.prompt_max = pick(&rng, {4, 20, 50});
  s.max_tokens_max = pick(&rng, {1, 6, 30});
  s.choices_max = pick(&rng, {1, 1, 2, 6});
  s.priorities = pick(&rng, {1, 1, 3});
  s.tenants = pick(&rng, {1, 1, 2, 4});
  s.stems = between(&rng, 1, 3);
  s.arrival = pick(&rng, {10, 50, 95}) / 100.0;
  s.cancel = pick(&rng, {0, 0, 5, 25}) / 100.0;
  s.pause = pick(&rng, {0, 0, 0, 10}) / 100.0;
  s.prompt_logits = pick(&rng, {0, 0, 0, 30}) / 100.0;
  s.step_failure = pick(&rng, {0, 0, 0, 5}) / 100.0;
  s.draw_failure = pick(&rng, {0, 0, 0, 2}) / 100.0;
  if (seed % 200 == 0) grow_to_server_size(&s);
  return s;
}

Simulation::Simulation(const Scenario& scenario, uint64_t seed)
    : scenario_(scenario),
      rng_(seed, 2),
      scheduler_(scenario.options),
      runner_(scenario.options.blocks, scenario.options.block_tokens) {
  const SchedulerOptions& options = scenario.options;
  if (rng_.next_below(2) == 0) {
    scheduler_.set_costs({.step = 1000, .token = 1 + below(3000), .thousand_positions = below(99)});
  }
  running_max_ = std::min(options.sequences_max, options.tokens_per_step_max);
  context_max_ =
      std::min<int64_t>(options.context_max, int64_t{options.blocks} * options.block_tokens);
  for (int32_t i = 0; i < scenario.stems; ++i) {
    auto& stem = stems_.emplace_back();
    for (int32_t j = 0; j < scenario.prompt_max; ++j) stem.push_back(below(scenario.vocab));
  }
}

bool Simulation::fail(const std::string& what) {
  if (outcome_.error.empty()) outcome_.error = fmt::format("step {}: {}", outcome_.steps, what);
  return false;
}

Outcome Simulation::run() {
  while (arrived_ < scenario_.requests || scheduler_.has_work() || scheduler_.stats().paused > 0) {
    while (arrived_ < scenario_.requests && (!scheduler_.has_work() || chance(scenario_.arrival))) {
      if (!arrive()) return outcome_;
    }
    if (!maybe_cancel() || !maybe_pause() || !step() || !check_after_step()) return outcome_;
  }
  check_end();
  return outcome_;
}

SequenceSpec Simulation::random_spec() {
  SequenceSpec spec;
  const auto& stem = stems_[static_cast<size_t>(below(scenario_.stems))];
  spec.prompt.assign(stem.begin(), stem.begin() + 1 + below(scenario_.prompt_max));
  for (int32_t more = below(4); more > 0; --more) spec.prompt.push_back(below(scenario_.vocab));
  spec.max_tokens = 1 + below(scenario_.max_tokens_max);
  spec.choices = 1 + below(scenario_.choices_max);
  spec.priority = below(scenario_.priorities);
  // Ids of tenants are far apart and weights differ, but not from one request to the next.
  const int32_t tenant = below(scenario_.tenants);
  spec.tenant = {.id = tenant * 1000, .weight = 1 + tenant};
  spec.prompt_logits = chance(scenario_.prompt_logits);
  spec.scope = {.salt = static_cast<uint64_t>(below(2)), .adapter = below(4) == 0 ? 1 : 0};
  if (scenario_.vocab > 2 && below(3) > 0) spec.stop_tokens.push_back(below(scenario_.vocab));
  return spec;
}

bool Simulation::arrive() {
  ++arrived_;
  const SequenceSpec spec = random_spec();
  const auto id = scheduler_.submit(spec);
  const bool too_long = static_cast<int64_t>(spec.prompt.size()) >= context_max_;
  const bool full = waiting_.size() >= static_cast<size_t>(scenario_.options.waiting_max);
  if (id.ok() == (too_long || full)) return fail("submit judged its limits wrongly");
  if (!id.ok()) return true;
  if (id->value != static_cast<int64_t>(lives_.size())) return fail("ids are not consecutive");
  for (int32_t choice = 0; choice < spec.choices; ++choice) {
    Life& life = lives_.emplace_back();
    life.leader = id->value;
    life.choice = choice;
    life.spec = spec;
    life.tokens_max =
        std::min(static_cast<int64_t>(spec.prompt.size()) + spec.max_tokens, context_max_);
  }
  Life& leader = life(*id);
  leader.pending_choices = spec.choices - 1;
  leader.prompt_logits = spec.prompt_logits;
  leader.place = Place::kWaiting;
  for (const int32_t token : spec.prompt) append(&leader, token);
  lift(spec.tenant);
  waiting_.insert(seniority(*id));
  return true;
}

// A tenant that begins to wait does not stay behind those that do.
void Simulation::lift(const Tenant& tenant) {
  double lowest = 1e300;
  for (const auto& [priority, id] : waiting_) {
    if (life({id}).was_admitted) continue;
    if (life({id}).spec.tenant.id == tenant.id) return;
    lowest = std::min(lowest, accounts_[life({id}).spec.tenant.id].served);
  }
  Account& account = accounts_[tenant.id];
  account.weight = tenant.weight;
  account.served = std::max(account.served, lowest < 1e300 ? lowest : level_);
}

void Simulation::stop_waiting(SequenceId id) {
  if (waiting_.erase(seniority(id)) == 0 || life(id).was_admitted) return;
  const int32_t tenant = life(id).spec.tenant.id;
  const bool others_wait = std::ranges::any_of(waiting_, [&](const Seniority& other) {
    const Life& one = life({other.second});
    return !one.was_admitted && one.spec.tenant.id == tenant;
  });
  if (!others_wait) level_ = std::max(level_, accounts_[tenant].served);
}

void Simulation::append(Life* life, int32_t token) {
  const uint64_t before =
      life->history.empty() ? digest_of(life->spec.scope) : life->history.back();
  life->tokens.push_back(token);
  life->history.push_back(digest(before, static_cast<uint64_t>(token)));
}

bool Simulation::maybe_cancel() {
  if (lives_.empty() || !chance(scenario_.cancel)) return true;
  const SequenceId id{below(static_cast<int32_t>(lives_.size()))};
  const bool alive = life(id).place != Place::kEnded && !life(id).cancelled;
  if (scheduler_.cancel(id) != alive) return fail("cancel misjudged whether a sequence lives");
  if (!alive) return true;
  ++outcome_.cancels;
  life(id).cancelled = true;
  if (scheduler_.step_is_open()) {
    cancelled_in_step_.push_back(id);
  } else {
    drop_cancelled(id);
  }
  return true;
}

// A reader that takes nothing, or goes on taking; all go on when nothing else is left to do.
bool Simulation::maybe_pause() {
  for (size_t i = 0; i < lives_.size(); ++i) {
    const SequenceId id{static_cast<int64_t>(i)};
    if (lives_[i].place != Place::kPaused) continue;
    if (scheduler_.has_work() && !chance(scenario_.pause)) continue;
    scheduler_.resume(id);
    lives_[i].place = Place::kWaiting;
    if (!lives_[i].was_admitted) lift(lives_[i].spec.tenant);
    waiting_.insert(seniority(id));
  }
  if (lives_.empty() || !chance(scenario_.pause)) return true;
  const SequenceId id{below(static_cast<int32_t>(lives_.size()))};
  Life& paused = life(id);
  const bool can = (paused.place == Place::kWaiting || paused.place == Place::kRunning) &&
                   paused.pending_choices == 0;
  if (scheduler_.pause(id) != can) return fail("pause misjudged whether a sequence can");
  if (!can) return true;
  ++outcome_.pauses;
  stop_waiting(id);
  running_.erase(seniority(id));
  paused.place = Place::kPaused;
  paused.computed = 0;
  ++paused.pauses;
  return true;
}

void Simulation::drop_cancelled(SequenceId id) {
  if (life(id).place == Place::kEnded || life(id).pending_choices > 0) return;
  const bool was_pending = life(id).place == Place::kPending;
  end(id);
  if (!was_pending) return;
  const SequenceId leader{life(id).leader};
  if (--life(leader).pending_choices == 0 && life(leader).cancelled) end(leader);
}

void Simulation::end(SequenceId id) {
  stop_waiting(id);
  running_.erase(seniority(id));
  life(id).place = Place::kEnded;
  const int32_t tenant = life(id).spec.tenant.id;
  const bool lives_on = std::ranges::any_of(lives_, [&](const Life& one) {
    return one.place != Place::kEnded && one.spec.tenant.id == tenant;
  });
  if (lives_on) return;
  level_ = std::max(level_, accounts_[tenant].served);
  accounts_.erase(tenant);
}

int64_t Simulation::slots(const Life& life) const {
  return life.pending_choices + (life.cancelled ? 0 : 1);
}

bool Simulation::step() {
  batch_ended_ = running_.empty();
  const StepPlan& plan = scheduler_.plan();
  ++outcome_.steps;
  if (plan.empty() == scheduler_.has_work()) return fail("the plan is empty and there is work");
  if (plan.empty()) return true;
  if (!check_plan(plan) || !run_slices(plan)) return false;
  if (!maybe_cancel()) return false;
  if (chance(scenario_.step_failure)) {
    ++outcome_.failures;
    if (!check_failure_events(plan)) return false;
  } else {
    if (!check_events(plan)) return false;
  }
  for (const SequenceId id : cancelled_in_step_) drop_cancelled(id);
  cancelled_in_step_.clear();
  return true;
}

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
    if (running_.size() < 2) return fail("the only running sequence was preempted");
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
  return true;
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
    const size_t remaining = one.tokens.size() - static_cast<size_t>(one.computed);
    const size_t got = served.contains(id) ? served[id] : 0;
    const bool lacks_logits = one.prompt_logits && prompt_logits == prompt_logits_max;
    const bool is_new = std::ranges::count(plan.admitted, SequenceId{id}, &Admission::sequence) > 0;
    if (senior && got == 0 && !(lacks_logits && is_new)) {
      return fail("the most senior sequence was left out");
    }
    senior = false;
    if (fills && got < remaining && plan.tokens < budget && !lacks_logits) {
      return fail("the budget was not used up");
    }
  }
  if (!fills || plan.tokens == budget || waiting_.empty()) return true;

  // All tenants' heads wait although there is budget: at least the one chosen must lack slots or
  // room, however one counts it.
  int64_t taken_by_running = 0, blocks_by_running = 0;
  for (const auto& [priority, id] : running_) {
    taken_by_running += slots(life({id}));
    blocks_by_running += slots(life({id})) * (blocks_for(life({id}).tokens_max) + 1);
  }
  for (const auto& [priority, id] : waiting_) {
    if (!may_go_next({id})) continue;
    const int64_t taken = taken_by_running + slots(life({id}));
    const int64_t blocks =
        blocks_by_running + slots(life({id})) * (blocks_for(life({id}).tokens_max) + 1);
    if (taken > running_max_ || blocks > scenario_.options.blocks) return true;
  }
  return fail("the head of the queue waits for nothing");
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
    const bool is_new = std::ranges::count(plan.admitted, slice.sequence, &Admission::sequence) > 0;
    const bool decodes = one.tokens.size() - static_cast<size_t>(one.computed) == 1 && !is_new &&
                         !one.prompt_logits && one.tokens.size() > one.spec.prompt.size();
    (decodes ? has_decoding : has_prompt) = true;
  }
  if (policy == BatchPolicy::kSplitFuse) {
    for (const auto& [priority, id] : running_) {
      const Life& one = life({id});
      if (one.tokens.size() - static_cast<size_t>(one.computed) == 1 && !one.prompt_logits &&
          !sliced.contains(id)) {
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

bool Simulation::run_slices(const StepPlan& plan) {
  for (const BlockCopy& copy : plan.copies) runner_.copy(copy);
  outcome_.copies += static_cast<int64_t>(plan.copies.size());
  row_histories_.clear();
  for (const Slice& slice : plan.slices) {
    const Life& sliced = life(slice.sequence);
    std::string error;
    const uint64_t history = runner_.run(slice, sliced.spec.scope, sliced.history, &error);
    if (!error.empty()) return fail(fmt::format("sequence {}: {}", slice.sequence.value, error));
    for (size_t i = static_cast<size_t>(slice.logits_from); i < slice.tokens.size(); ++i) {
      const size_t position = static_cast<size_t>(slice.first) + i;
      row_histories_.push_back(i + 1 == slice.tokens.size() ? history : sliced.history[position]);
    }
  }
  for (const Slice& slice : plan.slices) {
    if (!runner_.still_holds(slice, life(slice.sequence).history)) {
      return fail("two slices wrote into one slot");
    }
  }
  if (static_cast<size_t>(plan.logits_rows) != row_histories_.size())
    return fail("rows miscounted");
  return check_samples(plan);
}

// Every row draws for its sequence and the choices that wait for it; and draws.
bool Simulation::check_samples(const StepPlan& plan) {
  std::vector<std::pair<int64_t, int32_t>> expected;  // id, row
  int32_t row = -1;
  for (const Slice& slice : plan.slices) {
    row += static_cast<int32_t>(slice.tokens.size()) - slice.logits_from;
    const int64_t id = slice.sequence.value;
    const size_t end = static_cast<size_t>(slice.first) + slice.tokens.size();
    if (end != life({id}).tokens.size()) continue;
    if (!life({id}).cancelled) expected.emplace_back(id, row);
    if (life({id}).leader == id) {
      for (int64_t c = id + 1; c < id + life({id}).spec.choices; ++c) {
        if (life({c}).place == Place::kPending) expected.emplace_back(c, row);
      }
    }
  }
  drawn_.clear();
  if (plan.samples.size() != expected.size()) return fail("wrong number of samples");
  for (size_t i = 0; i < expected.size(); ++i) {
    const Sample& sample = plan.samples[i];
    const Life& drawn = life({expected[i].first});
    const Life& source = drawn.place == Place::kPending ? life({drawn.leader}) : drawn;
    if (sample.sequence.value != expected[i].first || sample.logits_row != expected[i].second ||
        sample.position != static_cast<int32_t>(source.tokens.size())) {
      return fail("a sample of the wrong sequence, row or position");
    }
    const uint64_t history = row_histories_[static_cast<size_t>(sample.logits_row)];
    drawn_.push_back(chance(scenario_.draw_failure)
                         ? kNoToken
                         : next_token(history, drawn.choice, scenario_.vocab));
  }
  return true;
}

EndReason Simulation::expected_end(const Life& life, int32_t token) const {
  if (token == kNoToken) return EndReason::kError;
  if (std::ranges::count(life.spec.stop_tokens, token) > 0) return EndReason::kStop;
  return static_cast<int64_t>(life.tokens.size()) == life.tokens_max ? EndReason::kLength
                                                                     : EndReason::kNone;
}

// Commits, and follows what that does to each sequence.
bool Simulation::check_events(const StepPlan& plan) {
  struct Row {
    SequenceId sequence;
    int32_t tokens;
  };
  std::vector<Row> rows;
  for (const Slice& slice : plan.slices) {
    rows.push_back({slice.sequence, static_cast<int32_t>(slice.tokens.size())});
  }
  const std::vector<Sample> samples = plan.samples;
  const auto events = scheduler_.commit(drawn_);
  for (const Row& row : rows) {
    Life& one = life(row.sequence);
    one.computed += row.tokens;
    if (one.computed >= std::ssize(one.spec.prompt)) one.prompt_logits = false;
  }

  std::vector<SequenceId> ended;
  size_t next = 0;
  for (size_t i = 0; i < samples.size(); ++i) {
    const SequenceId id = samples[i].sequence;
    if (life(id).place == Place::kPending) {
      const SequenceId leader{life(id).leader};
      if (--life(leader).pending_choices == 0 && life(leader).cancelled) ended.push_back(leader);
      if (life(id).cancelled) ended.push_back(id);
      if (!life(id).cancelled) begin_choice(id);
    }
    if (life(id).cancelled) continue;
    append(&life(id), drawn_[i]);
    Account& account = accounts_[life(id).spec.tenant.id];
    account.served += 2.0 / account.weight;
    const EndReason reason = expected_end(life(id), drawn_[i]);
    if (reason != EndReason::kNone) ended.push_back(id);
    if (next >= events.size()) return fail("an event is missing");
    const SequenceEvent& event = events[next++];
    if (event.sequence != id || event.token != drawn_[i] || event.end != reason) {
      return fail("an event of another sequence, token or end");
    }
  }
  if (next != events.size()) return fail("an event of a sequence that has none");
  for (const SequenceId id : ended) end(id);
  return true;
}

void Simulation::begin_choice(SequenceId id) {
  Life& choice = life(id);
  for (const int32_t token : choice.spec.prompt) append(&choice, token);
  choice.was_admitted = true;
  ++outcome_.forks;
  if (static_cast<int64_t>(running_.size()) < running_max_) {
    choice.place = Place::kRunning;
    choice.computed = static_cast<int64_t>(choice.spec.prompt.size());
    running_.insert(seniority(id));
  } else {
    choice.place = Place::kWaiting;
    waiting_.insert(seniority(id));
  }
}

bool Simulation::check_failure_events(const StepPlan& plan) {
  std::vector<SequenceId> failed;
  for (const Slice& slice : plan.slices) {
    const int64_t id = slice.sequence.value;
    failed.push_back(slice.sequence);
    if (life({id}).leader != id) continue;
    for (int64_t c = id + 1; c < id + life({id}).spec.choices; ++c) {
      if (life({c}).place == Place::kPending) failed.push_back({c});
    }
  }
  const auto events = scheduler_.fail_step();
  size_t next = 0;
  for (const SequenceId id : failed) {
    life(id).pending_choices = 0;
    end(id);
    if (life(id).cancelled) continue;
    if (next >= events.size() || events[next].sequence != id ||
        events[next].end != EndReason::kError) {
      return fail("a failed step ended others than its own");
    }
    ++next;
  }
  return next == events.size() || fail("a failed step ended others than its own");
}

bool Simulation::check_after_step() {
  if (const absl::Status status = scheduler_.audit(); !status.ok()) {
    return fail(std::string(status.message()));
  }
  const SchedulerStats stats = scheduler_.stats();
  if (stats.running != static_cast<int32_t>(running_.size()) ||
      stats.waiting != static_cast<int32_t>(waiting_.size())) {
    return fail(fmt::format("{} run and {} wait, the statistics say {} and {}", running_.size(),
                            waiting_.size(), stats.running, stats.waiting));
  }
  if (!check_fairness()) return false;
  if (stats.waste < 0 || stats.waste >= 1) return fail("impossible waste");
  if (running_.empty() && stats.blocks_used != 0) return fail("blocks leaked");

  // Every step computes at least a token of somebody.
  int64_t work = scenario_.requests;
  for (const Life& one : lives_) work += one.tokens_max * (one.preemptions + one.pauses + 1);
  return outcome_.steps <= work || fail("steps that compute nothing");
}

bool Simulation::check_end() {
  for (const Life& one : lives_) {
    if (one.place != Place::kEnded) return fail("a request never ended");
  }
  return true;
}

int64_t Simulation::blocks_for(int64_t tokens) const {
  return ceil_div<int64_t>(tokens, scenario_.options.block_tokens);
}

}  // namespace brisk::simulate
