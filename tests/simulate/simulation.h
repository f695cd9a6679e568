// One random life of a scheduler: arrivals, cancels, failing steps, small pools; and everything
// that must hold after each step, checked against an own account of who should be where.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/rng.h"
#include "engine/sched/scheduler.h"
#include "tests/simulate/fake_runner.h"

namespace brisk::simulate {

struct Scenario {
  SchedulerOptions options;
  int32_t requests = 0;
  int32_t vocab = 0;
  int32_t prompt_max = 0;
  int32_t max_tokens_max = 0;
  int32_t choices_max = 1;
  int32_t priorities = 1;
  int32_t tenants = 1;
  int32_t stems = 1;   // texts that prompts begin with
  double arrival = 0;  // chance of one more arrival before a step
  double cancel = 0;   // chance of a cancel before or inside a step
  double pause = 0;    // chance that a reader stops reading, or goes on, before a step
  double prompt_logits = 0;
  double beams = 0;  // chance that the choices of a request are beams of one search
  double step_failure = 0;
  double draw_failure = 0;  // of one sample
};

// A scenario that the seed determines.
Scenario random_scenario(uint64_t seed);

struct Outcome {
  std::string error;  // empty: everything held
  int64_t steps = 0;
  int64_t preemptions = 0;
  int64_t prefix_hit_tokens = 0;
  int64_t copies = 0;
  int64_t forks = 0;
  int64_t reorders = 0;  // beams that went on from another
  int64_t cancels = 0;
  int64_t pauses = 0;
  int64_t failures = 0;
};

class Simulation {
 public:
  Simulation(const Scenario& scenario, uint64_t seed);
  Outcome run();

 private:
  enum class Place : uint8_t { kPending, kWaiting, kRunning, kPaused, kEnded };

  // What the simulation knows of a sequence by itself.
  struct Life {
    int64_t leader = -1;  // of its request; itself for choice 0
    int32_t choice = 0;
    SequenceSpec spec;
    int64_t tokens_max = 0;
    Place place = Place::kPending;
    bool cancelled = false;
    bool was_admitted = false;
    bool prompt_logits = false;  // still wanted
    std::vector<int32_t> tokens;
    std::vector<uint64_t> history;  // digests, one a token
    int64_t computed = 0;
    int32_t preemptions = 0;
    int32_t pauses = 0;
    int32_t pending_choices = 0;  // leaders only
  };
  // Junior last, as the scheduler orders them.
  using Seniority = std::pair<int32_t, int64_t>;

  Life& life(SequenceId id) { return lives_.at(static_cast<size_t>(id.value)); }
  Seniority seniority(SequenceId id) { return {life(id).spec.priority, id.value}; }
  bool fail(const std::string& what);  // always false
  bool chance(double probability) { return rng_.next_uniform() < probability; }
  int32_t below(int32_t limit) {
    return static_cast<int32_t>(rng_.next_below(static_cast<uint64_t>(limit)));
  }

  bool step();
  bool arrive();
  bool maybe_cancel();
  bool maybe_pause();
  bool beams_fit(const SequenceSpec& spec) const;
  SequenceSpec random_spec();

  bool check_plan(const StepPlan& plan);
  std::vector<SequenceId> together_with(SequenceId id);
  bool must_catch_up(SequenceId id);
  bool check_beams();
  bool was_admitted_now(const StepPlan& plan, SequenceId id);
  bool check_moves(const StepPlan& plan);
  bool check_slice(const Slice& slice);
  bool may_go_next(SequenceId id);
  bool check_fairness();
  bool check_policy(const StepPlan& plan);
  bool check_budget(const StepPlan& plan);
  bool run_slices(const StepPlan& plan);
  bool check_samples(const StepPlan& plan);
  bool check_events(const StepPlan& plan);
  bool check_failure_events(const StepPlan& plan);
  bool check_after_step();
  bool check_end();

  bool drawn_together(const std::vector<Sample>& samples);
  bool have_begun(int64_t leader);
  std::vector<int32_t> random_parents(const std::vector<Sample>& samples);
  void reorder(const std::vector<Sample>& samples, const std::vector<int32_t>& parents);
  void append(Life* life, int32_t token);
  void lift(const Tenant& tenant);
  void stop_waiting(SequenceId id);
  void begin_choice(SequenceId id);
  EndReason expected_end(const Life& life, int32_t token) const;
  void drop_cancelled(SequenceId id);
  void end(SequenceId id);
  int64_t blocks_for(int64_t tokens) const;
  int64_t slots(const Life& life) const;
  int64_t blocks_at_most(const Life& life) const;

  const Scenario scenario_;
  Rng rng_;
  Scheduler scheduler_;
  FakeRunner runner_;
  int64_t running_max_ = 0;
  int64_t context_max_ = 0;

  std::vector<std::vector<int32_t>> stems_;
  std::vector<Life> lives_;  // by id
  // What tenants were served, by weight, as the scheduler should count it.
  struct Account {
    double served = 0;
    int32_t weight = 1;
  };
  std::map<int32_t, Account> accounts_;
  double level_ = 0;  // the highest service at which a tenant stopped waiting
  std::set<Seniority> waiting_;
  std::set<Seniority> running_;
  bool batch_ended_ = true;  // nobody ran when the step began
  std::vector<SequenceId> cancelled_in_step_;
  int32_t arrived_ = 0;
  std::vector<uint64_t> row_histories_;  // of the plan's logits rows
  std::vector<int32_t> drawn_;           // of the plan's samples
  Outcome outcome_;
};

}  // namespace brisk::simulate
