#include <array>

#include "tests/simulate/simulation.h"

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

// Searches that fit one at a time, and wait for each other's blocks and for the budget.
void crowd_with_beams(Scenario* s, Rng* rng) {
  s->options.block_tokens = pick(rng, {1, 2, 4});
  s->options.blocks = between(rng, 130, 180) / s->options.block_tokens;
  s->options.tokens_per_step_max = between(rng, 8, 13);
  s->options.sequences_max = 16;
  s->options.context_max = 1000;
  s->requests = 12;
  s->vocab = 50;  // few stop tokens are drawn
  s->prompt_max = between(rng, 4, 12);
  s->max_tokens_max = 30;
  s->choices_max = 4;
  s->beams = 0.9;
  s->arrival = 0.9;
  s->step_failure = pick(rng, {0, 3, 8}) / 100.0;
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
  s.beams = pick(&rng, {0, 0, 50, 100}) / 100.0;
  s.step_failure = pick(&rng, {0, 0, 0, 5}) / 100.0;
  s.draw_failure = pick(&rng, {0, 0, 0, 2}) / 100.0;
  if (seed % 8 == 0) crowd_with_beams(&s, &rng);
  if (seed % 200 == 0) grow_to_server_size(&s);
  return s;
}

}  // namespace brisk::simulate
