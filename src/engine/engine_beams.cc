// Beam searches: how the steps of the engine's thread take them on.
#include <span>
#include <utility>
#include <vector>

#include "base/check.h"
#include "engine/engine_impl.h"

namespace brisk {

// The candidates that each beam has to offer in a step.
int EngineImpl::begin_search(const GenerationState* generation, std::vector<int32_t> end_tokens) {
  const Request& request = generation->request();
  BeamSearch search({.width = request.choices,
                     .length_penalty = request.beam_search->length_penalty,
                     .tokens_min = request.min_tokens,
                     .tokens_max = tokens_max(request) - std::ssize(request.prompt),
                     .end_tokens = std::move(end_tokens),
                     .logprobs = request.sampling.logprobs});
  const int candidates = search.candidates();
  searches_.emplace(generation, std::move(search));
  return candidates;
}

// Decides for the samples of beams, which are all in one step, which beams they continue and how.
// A search ends when one of its beams failed.
void EngineImpl::advance_beams(const StepPlan& plan) {
  struct Beams {
    std::vector<size_t> samples;  // by beam
    bool failed = false;
  };
  absl::flat_hash_map<const GenerationState*, Beams> groups;
  for (size_t i = 0; i < drawn_.size(); ++i) {
    parents_.push_back(static_cast<int32_t>(i));
    const Choice& choice = choices_.at(plan.samples[i].sequence);
    if (!searches_.contains(choice.generation.get())) continue;
    Beams& beams = groups[choice.generation.get()];
    BRISK_CHECK(choice.index == static_cast<int>(beams.samples.size()));
    beams.samples.push_back(i);
    beams.failed = beams.failed || !drawn_[i].status.ok();
  }
  for (const auto& [generation, beams] : groups) {
    if (beams.failed) {
      for (const size_t sample : beams.samples) drawn_tokens_[sample] = kNoToken;
      continue;
    }
    std::vector<std::span<const TokenLogprob>> likeliest;
    for (const size_t sample : beams.samples) likeliest.emplace_back(drawn_[sample].top);
    BeamSearch& search = searches_.at(generation);
    search.advance(likeliest);
    for (size_t beam = 0; beam < beams.samples.size(); ++beam) {
      const auto parent = static_cast<size_t>(search.parents()[beam]);
      parents_[beams.samples[beam]] = static_cast<int32_t>(beams.samples[parent]);
      drawn_tokens_[beams.samples[beam]] = search.tokens()[beam];
    }
  }
}

void EngineImpl::finish_searches() {
  std::vector<std::shared_ptr<GenerationState>> done;
  for (const auto& [id, choice] : choices_) {
    if (choice.index != 0) continue;
    const auto search = searches_.find(choice.generation.get());
    if (search != searches_.end() && search->second.done()) done.push_back(choice.generation);
  }
  for (const auto& generation : done) deliver_answers(generation);
}

void EngineImpl::deliver_answers(const std::shared_ptr<GenerationState>& generation) {
  const Instant now = clock_.now();
  const SequenceId first = first_sequence_.at(generation.get());
  const std::vector<BeamAnswer> answers = searches_.at(generation.get()).answers();
  const int choices = generation->request().choices;
  for (int i = 0; i < choices; ++i) {
    const SequenceId id{first.value + i};
    scheduler_.cancel(id);  // where the tokens have not ended it
    choices_.erase(id);
    drawer_.end(id);
  }
  note_duration(seconds_between(generation->scheduled_at(), now));
  publish_stats();
  for (int i = 0; i < choices; ++i) {
    if (i >= std::ssize(answers)) {  // the vocabulary has not as many
      generation->deliver({.choice = i, .finish = FinishReason::kStop}, now);
      continue;
    }
    const BeamAnswer& answer = answers[static_cast<size_t>(i)];
    for (const BeamAnswer::Token& token : answer.tokens) {
      TokenEvent event = {
          .choice = i, .token = token.token, .logprob = token.logprob, .top = token.top};
      if (&token == &answer.tokens.back()) {
        event.finish = answer.has_ended ? FinishReason::kStop : FinishReason::kLength;
      }
      generation->deliver(std::move(event), now);
    }
  }
  finish(generation);
}

}  // namespace brisk
