#include "tests/simulate/simulation.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/units.h"

namespace brisk::simulate {

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
  spec.beams = chance(scenario_.beams);
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
  if (id.ok() == (too_long || full || !beams_fit(spec)))
    return fail("submit judged its limits wrongly");
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

// Beams run at once, each with all its blocks and one to copy a tail into.
bool Simulation::beams_fit(const SequenceSpec& spec) const {
  if (!spec.beams) return true;
  const int64_t tokens =
      std::min(static_cast<int64_t>(spec.prompt.size()) + spec.max_tokens, context_max_);
  return spec.choices <= running_max_ &&
         spec.choices * (blocks_for(tokens) + 1) <= scenario_.options.blocks;
}

// The sequences that must be in the same place as this one: the beams of its search that have
// begun and not ended.
std::vector<SequenceId> Simulation::together_with(SequenceId id) {
  const Life& one = life(id);
  if (!one.spec.beams) return {id};
  std::vector<SequenceId> together;
  for (int64_t i = one.leader; i < one.leader + one.spec.choices; ++i) {
    const Place place = life({i}).place;
    if (place != Place::kPending && place != Place::kEnded) together.push_back({i});
  }
  return together;
}

// Whether beams beside this one, or it itself, have more than the last token to compute.
bool Simulation::must_catch_up(SequenceId id) {
  const std::vector<SequenceId> together = together_with(id);
  return together.size() > 1 && std::ranges::any_of(together, [this](SequenceId beam) {
           return std::ssize(life(beam).tokens) - life(beam).computed > 1;
         });
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
                   paused.pending_choices == 0 && !paused.spec.beams;
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

// Beams that have begun go on from any of theirs that are drawn with them; which are all.
bool Simulation::drawn_together(const std::vector<Sample>& samples) {
  for (const Sample& sample : samples) {
    if (life(sample.sequence).place == Place::kPending) continue;
    for (const SequenceId beam : together_with(sample.sequence)) {
      if (std::ranges::count(samples, beam, &Sample::sequence) == 0) return false;
    }
  }
  return true;
}

std::vector<int32_t> Simulation::random_parents(const std::vector<Sample>& samples) {
  std::vector<int32_t> parents;
  for (size_t i = 0; i < samples.size(); ++i) {
    const int64_t leader = life(samples[i].sequence).leader;
    std::vector<int32_t> candidates = {static_cast<int32_t>(i)};
    const bool stays = !have_begun(leader) || !chance(0.15);  // else they would soon be all alike
    for (size_t j = 0; j < samples.size() && !stays; ++j) {
      if (j != i && life(samples[j].sequence).leader == leader) {
        candidates.push_back(static_cast<int32_t>(j));
      }
    }
    parents.push_back(
        candidates[static_cast<size_t>(below(static_cast<int32_t>(candidates.size())))]);
  }
  return parents;
}

bool Simulation::have_begun(int64_t leader) {
  const SequenceSpec& spec = life({leader}).spec;
  if (!spec.beams) return false;
  for (int64_t id = leader; id < leader + spec.choices; ++id) {
    if (life({id}).place == Place::kPending) return false;
  }
  return true;
}

void Simulation::reorder(const std::vector<Sample>& samples, const std::vector<int32_t>& parents) {
  std::vector<Life> before;
  for (const Sample& sample : samples) before.push_back(life(sample.sequence));
  for (size_t i = 0; i < samples.size(); ++i) {
    const Life& parent = before[static_cast<size_t>(parents[i])];
    life(samples[i].sequence).tokens = parent.tokens;
    life(samples[i].sequence).history = parent.history;
    if (parents[i] != static_cast<int32_t>(i)) ++outcome_.reorders;
  }
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
  if (!drawn_together(samples)) return fail("beams of one search are drawn apart");
  const std::vector<int32_t> parents = random_parents(samples);
  const auto events = scheduler_.commit(drawn_, parents);
  for (const Row& row : rows) {
    Life& one = life(row.sequence);
    one.computed += row.tokens;
    if (one.computed >= std::ssize(one.spec.prompt)) one.prompt_logits = false;
  }
  reorder(samples, parents);

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
  if (choice.spec.beams || static_cast<int64_t>(running_.size()) < running_max_) {
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
    for (const SequenceId one : together_with(slice.sequence)) {
      if (std::ranges::count(failed, one) == 0) failed.push_back(one);
    }
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
