// The sampling of a step: which state each sequence draws with, and the drawing itself, one row of
// logits a task, on the runner's threads.
#pragma once

#include <absl/container/flat_hash_map.h>
#include <absl/status/status.h>

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "compute/tensor/tensor.h"
#include "engine/grammar/compiled_grammar.h"
#include "engine/request.h"
#include "engine/runner.h"
#include "engine/sample/sampler.h"
#include "engine/sched/step_plan.h"

namespace brisk {

// What came of one sample of a plan.
struct Drawn {
  absl::Status status;  // not OK: the sequence ends with it
  int32_t token = -1;
  float logprob = 0;
  std::vector<TokenLogprob> top;
};

struct DrawingSequence {
  SequenceId id;
  const Request* request = nullptr;   // outlives the sequence
  int choice = 0;                     // of the request, whose choices have consecutive ids
  std::vector<int32_t> end_tokens{};  // impossible before Request::min_tokens, or within a grammar
  int beam_candidates = 0;            // of a beam: `Drawn::top` has so many and no token is drawn
};

// What is drawn is a function of the logits and of the sequence alone: neither the number of
// threads nor the other rows matter. Engine thread only.
class Drawer {
 public:
  // `vocabulary`: the columns of the logits. Each thread's memory for them is there from now on.
  Drawer(int threads, const KernelTable& kernels, int64_t vocabulary);

  // A sequence begins or ends. REQUIRES of begin: it is new.
  void begin(DrawingSequence sequence);
  void end(SequenceId id) { states_.erase(id); }

  // One for each of the plan's samples, to be taken from until the next call. Scores prompts too.
  // `logits`: (plan.logits_rows, vocabulary). REQUIRES: the samples' sequences have begun.
  std::span<Drawn> draw(const StepPlan& plan, MatView logits, StepRunner* runner);

  // The prompt of a request with Request::prompt_logprobs, under the id of its first choice, until
  // none of them is left.
  void begin_prompt(SequenceId first, const Request& request);
  // Complete once one of its choices has drawn. Empty: it was taken before.
  std::vector<PromptLogprob> take_prompt(SequenceId first);
  void end_prompt(SequenceId first) { prompts_.erase(first); }

 private:
  struct State {
    const Request* request = nullptr;
    int choice = 0;
    int produced = 0;
    int beam_candidates = 0;
    std::vector<int32_t> banned;
    SamplingHistory history;
    std::unique_ptr<GrammarMatcher> matcher;  // null: any text will do
    std::vector<int32_t> ends;                // with a matcher: the end tokens
    std::vector<uint64_t> allowed;            // the mask of the next token, likewise
  };
  struct Prompt {
    const Request* request = nullptr;
    std::vector<PromptLogprob> logprobs;  // (prompt)
    absl::Status status;
  };
  // A row of logits and who it is for: a sample's state, or a place in a prompt.
  struct Task {
    const float* logits = nullptr;
    int64_t position = 0;
    State* state = nullptr;
    Drawn* drawn = nullptr;
    Prompt* prompt = nullptr;
    absl::Status status{};  // of scoring
  };

  void add_prompt_tasks(const StepPlan& plan, MatView logits);
  void run(Task* task, SamplerScratch* scratch) const;
  static absl::Status find_allowed(State* state, size_t vocab);
  static absl::Status accept(State* state, int32_t token);
  static void draw_token(const Task& task, std::span<const float> logits, SamplerScratch* scratch);
  static void list_candidates(const Task& task, std::span<const float> logits,
                              SamplerScratch* scratch);
  static absl::Status score_token(const Task& task, std::span<const float> logits,
                                  SamplerScratch* scratch);

  absl::flat_hash_map<SequenceId, State> states_;
  absl::flat_hash_map<SequenceId, Prompt> prompts_;

  std::vector<SamplerScratch> scratch_;  // (threads)
  std::vector<Task> tasks_;              // of a step
  std::vector<Drawn> drawn_;
  size_t vocab_ = 0;
};

}  // namespace brisk
