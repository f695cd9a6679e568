#include "engine/draw.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/status.h"

namespace brisk {
namespace {

// Trying again would not help: it is the request's structure that is too much.
absl::Status grammar_failure(const absl::Status& status) {
  return status.ok() ? status : invalid_input("{}; ask for a simpler one", message_of(status));
}

}  // namespace

Drawer::Drawer(int threads, const KernelTable& kernels, int64_t vocabulary)
    : scratch_(static_cast<size_t>(threads)) {
  for (SamplerScratch& scratch : scratch_) {
    scratch.kernels = &kernels;
    // A busy machine may leave it to one thread to draw for a long time.
    scratch.reserve(static_cast<size_t>(vocabulary));
  }
}

void Drawer::begin(DrawingSequence sequence) {
  const Request& request = *sequence.request;
  State& state = states_[sequence.id];
  state.request = &request;
  state.choice = sequence.choice;
  state.beam_candidates = sequence.beam_candidates;
  if (state.beam_candidates > 0) return;
  if (request.min_tokens > 0) state.banned = sequence.end_tokens;
  if (request.grammar != nullptr) {
    state.matcher = std::make_unique<GrammarMatcher>(request.grammar);
    state.ends = std::move(sequence.end_tokens);
  }
  if (uses_history(request.sampling)) state.history.add_prompt(request.prompt);
}

void Drawer::begin_prompt(SequenceId first, const Request& request) {
  Prompt& prompt = prompts_[first];
  prompt.request = &request;
  prompt.logprobs.resize(request.prompt.size());
  prompt.logprobs[0].token = request.prompt[0];
}

std::span<Drawn> Drawer::draw(const StepPlan& plan, MatView logits, StepRunner* runner) {
  vocab_ = static_cast<size_t>(logits.cols);
  tasks_.clear();
  drawn_.resize(plan.samples.size());
  for (size_t i = 0; i < plan.samples.size(); ++i) {
    const Sample& sample = plan.samples[i];
    const auto state = states_.find(sample.sequence);
    BRISK_CHECK(state != states_.end());
    drawn_[i] = {};
    tasks_.push_back({.logits = logits.row(sample.logits_row),
                      .position = sample.position,
                      .state = &state->second,
                      .drawn = &drawn_[i]});
  }
  if (!prompts_.empty()) add_prompt_tasks(plan, logits);
  runner->for_each(std::ssize(tasks_), [this](int64_t task, int thread) {
    run(&tasks_[static_cast<size_t>(task)], &scratch_[static_cast<size_t>(thread)]);
  });

  for (const Task& task : tasks_) {
    if (task.prompt != nullptr) task.prompt->status.Update(task.status);
  }
  if (prompts_.empty()) return drawn_;
  for (size_t i = 0; i < drawn_.size(); ++i) {
    const int64_t first = plan.samples[i].sequence.value - tasks_[i].state->choice;
    const auto prompt = prompts_.find(SequenceId{first});
    if (prompt != prompts_.end()) drawn_[i].status.Update(prompt->second.status);
  }
  return drawn_;
}

// The row of a token says what the one after it is to the model.
void Drawer::add_prompt_tasks(const StepPlan& plan, MatView logits) {
  int64_t row = 0;
  for (const Slice& slice : plan.slices) {
    const int64_t rows = std::ssize(slice.tokens) - slice.logits_from;
    const auto found = prompts_.find(slice.sequence);
    if (found != prompts_.end()) {
      Prompt& prompt = found->second;
      const int64_t begin = slice.first + slice.logits_from + 1;
      for (int64_t i = 0; i < rows && begin + i < std::ssize(prompt.request->prompt); ++i) {
        tasks_.push_back({.logits = logits.row(row + i), .position = begin + i, .prompt = &prompt});
      }
    }
    row += rows;
  }
}

void Drawer::run(Task* task, SamplerScratch* scratch) const {
  const std::span<const float> logits(task->logits, vocab_);
  if (task->prompt != nullptr) {
    task->status = score_token(*task, logits, scratch);
  } else {
    draw_token(*task, logits, scratch);
  }
}

// The mask of the state's matcher, and the end tokens where its text may end.
absl::Status Drawer::find_allowed(State* state, size_t vocab) {
  const auto known = static_cast<size_t>(state->request->grammar->vocabulary().vocab_size());
  const size_t words = mask_words(static_cast<int32_t>(std::max(known, vocab)));
  state->allowed.assign(words, 0);
  const auto texts = std::span(state->allowed).first(mask_words(static_cast<int32_t>(known)));
  BRISK_RETURN_IF_ERROR(grammar_failure(state->matcher->mask(texts)));
  if (!state->matcher->is_complete()) return absl::OkStatus();
  for (const int32_t end : state->ends) mask_add(state->allowed, end);
  return absl::OkStatus();
}

absl::Status Drawer::accept(State* state, int32_t token) {
  const bool is_end = std::ranges::find(state->ends, token) != state->ends.end();
  return is_end ? absl::OkStatus() : grammar_failure(state->matcher->accept(token));
}

void Drawer::draw_token(const Task& task, std::span<const float> logits, SamplerScratch* scratch) {
  State& state = *task.state;
  const Request& request = *state.request;
  if (state.beam_candidates > 0) return list_candidates(task, logits, scratch);
  if (state.produced == request.min_tokens) state.banned.clear();
  Drawn& drawn = *task.drawn;
  if (state.matcher != nullptr) {
    drawn.status = find_allowed(&state, logits.size());
    if (!drawn.status.ok()) return;
  }
  const auto result =
      sample({.logits = logits,
              .params = &request.sampling,
              .history = &state.history,
              .banned = state.banned,
              .allowed = state.allowed,
              .key = {.seed = request.sampling.seed, .stream = static_cast<uint64_t>(state.choice)},
              .position = task.position},
             scratch);
  drawn.status = result.status();
  if (state.matcher != nullptr && absl::IsInvalidArgument(drawn.status)) {
    drawn.status = invalid_input(
        "no token can continue the answer: the demanded structure, min_tokens, bans and logit_bias "
        "exclude all of the vocabulary here");
  }
  if (!drawn.status.ok()) return;
  if (state.matcher != nullptr) drawn.status = accept(&state, result->token);
  if (!drawn.status.ok()) return;
  drawn.token = result->token;
  drawn.logprob = result->logprob;
  drawn.top.assign(result->top.begin(), result->top.end());
  ++state.produced;
  if (uses_history(request.sampling)) state.history.add_output(result->token);
}

void Drawer::list_candidates(const Task& task, std::span<const float> logits,
                             SamplerScratch* scratch) {
  const auto result = score({.logits = logits, .top = task.state->beam_candidates}, scratch);
  task.drawn->status = result.status();
  if (result.ok()) task.drawn->top.assign(result->top.begin(), result->top.end());
}

absl::Status Drawer::score_token(const Task& task, std::span<const float> logits,
                                 SamplerScratch* scratch) {
  const Request& request = *task.prompt->request;
  const auto at = static_cast<size_t>(task.position);
  const auto result = score(
      {.logits = logits, .token = request.prompt[at], .top = request.prompt_logprobs}, scratch);
  if (!result.ok()) return result.status();
  BRISK_CHECK(at < task.prompt->logprobs.size());
  task.prompt->logprobs[at] = {.token = request.prompt[at],
                               .logprob = result->logprob,
                               .rank = result->rank,
                               .top = {result->top.begin(), result->top.end()}};
  return absl::OkStatus();
}

std::vector<PromptLogprob> Drawer::take_prompt(SequenceId first) {
  const auto found = prompts_.find(first);
  if (found == prompts_.end()) return {};
  return std::exchange(found->second.logprobs, {});
}

}  // namespace brisk
