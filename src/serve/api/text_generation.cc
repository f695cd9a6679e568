#include "serve/api/text_generation.h"

#include <algorithm>
#include <utility>

#include "base/status.h"

namespace brisk::api {

struct TextGeneration::Part {
  std::shared_ptr<Generation> generation;
  int prompt_tokens = 0;
  int first_choice = 0;
  Instant submitted;
  std::vector<TextStream> texts;                   // (choices)
  std::vector<bool> told;                          // (choices) the finish was reported
  std::vector<std::optional<Instant>> last_token;  // (choices)
  bool observed = false;                           // its end is in the metrics
};

TextGeneration::TextGeneration(ModelLease model, std::shared_ptr<http::KeyAccount> account)
    : model_(std::move(model)), account_(std::move(account)) {}

void TextGeneration::charge(int64_t tokens) {
  if (account_ != nullptr && tokens > 0) account_->charge(tokens, clock_.now());
}

TextGeneration::~TextGeneration() {
  for (const auto& part : parts_) {
    if (part->observed) continue;
    part->generation->cancel();
    for (const bool told : part->told) {
      if (!told) model_->metrics->count_finish(FinishReason::kCancelled);
    }
  }
}

absl::StatusOr<std::unique_ptr<TextGeneration>> TextGeneration::start(ModelLease model,
                                                                      std::vector<Request> requests,
                                                                      const Options& options,
                                                                      const http::Wakeup& wakeup) {
  Engine& engine = *model->engine;
  std::unique_ptr<TextGeneration> run(new TextGeneration(std::move(model), options.account));
  const Tokenizer& tokenizer = *engine.model().tokenizer;
  int first_choice = 0;
  for (Request& request : requests) {
    auto part = std::make_unique<Part>();
    part->prompt_tokens = static_cast<int>(request.prompt.size());
    part->first_choice = first_choice;
    part->submitted = run->clock_.now();
    const auto choices = static_cast<size_t>(request.choices);
    const TextStreamOptions text_options = {.stops = options.stops,
                                            .include_stop = options.include_stop,
                                            .special = options.special,
                                            .first = begins_text(tokenizer, request.prompt),
                                            .keep_tokens = options.keep_tokens,
                                            .min_tokens = request.min_tokens};
    for (size_t i = 0; i < choices; ++i) part->texts.emplace_back(tokenizer, text_options);
    part->told.resize(choices, false);
    part->last_token.resize(choices);
    first_choice += request.choices;
    BRISK_ASSIGN_OR_RETURN(part->generation,
                           engine.submit(std::move(request), [wakeup] { wakeup.wake(); }));
    run->parts_.push_back(std::move(part));
  }
  if (options.listed_in != nullptr) {
    std::vector<std::shared_ptr<Generation>> all;
    for (const auto& part : run->parts_) all.push_back(part->generation);
    run->listed_in_ = options.listed_in;
    run->ticket_ = run->listed_in_->add(options.listed_as, std::move(all));
  }
  for (const auto& part : run->parts_) run->charge(part->prompt_tokens);
  return run;
}

absl::StatusOr<std::vector<ChoiceDelta>> TextGeneration::poll() {
  std::vector<ChoiceDelta> deltas;
  for (const auto& part : parts_) BRISK_RETURN_IF_ERROR(poll_part(*part, deltas));
  return deltas;
}

absl::Status TextGeneration::poll_part(Part& part, std::vector<ChoiceDelta>& deltas) {
  if (part.observed) return absl::OkStatus();
  const std::vector<TokenEvent> events = part.generation->take();
  observe_tokens(part, events);
  charge(std::ranges::count_if(events, [](const TokenEvent& event) { return event.token >= 0; }));
  std::vector<bool> touched(part.texts.size(), false);
  for (const TokenEvent& event : events) {
    const auto choice = static_cast<size_t>(event.choice);
    TextStream& text = part.texts[choice];
    if (text.finish().has_value()) continue;
    touched[choice] = true;
    text.push(event);
    if (text.hit_stop_string()) part.generation->cancel_choice(event.choice);
    if (text.finish() == FinishReason::kError) return part.generation->status();
    if (text.finish() == FinishReason::kCancelled) return cancelled_status();
  }
  for (size_t i = 0; i < part.texts.size(); ++i) {
    if (!touched[i]) continue;
    ChoiceDelta delta{.choice = part.first_choice + static_cast<int>(i),
                      .delta = part.texts[i].take(),
                      .finish = std::nullopt,
                      .stop_string = part.texts[i].stop_string()};
    if (!part.told[i]) delta.finish = part.texts[i].finish();
    part.told[i] = delta.finish.has_value();
    if (delta.finish.has_value()) model_->metrics->count_finish(*delta.finish);
    if (!delta.delta.empty() || delta.finish.has_value()) deltas.push_back(std::move(delta));
  }
  if (part.generation->done()) {
    part.observed = true;
    model_->metrics->observe(part.generation->stats(),
                             seconds_between(part.submitted, clock_.now()));
  }
  return absl::OkStatus();
}

absl::Status TextGeneration::cancelled_status() const {
  if (ticket_ != nullptr && ticket_->cancelled()) {
    return absl::CancelledError("the request was cancelled by DELETE /v1/brisk/requests");
  }
  return absl::UnavailableError("the server is stopping; send the request again elsewhere");
}

// The gaps between the tokens of each choice. Tokens that came together share their gap.
void TextGeneration::observe_tokens(Part& part, const std::vector<TokenEvent>& events) {
  const Instant now = clock_.now();
  std::vector<int> count(part.texts.size(), 0);
  for (const TokenEvent& event : events) {
    if (event.token >= 0) ++count[static_cast<size_t>(event.choice)];
  }
  for (size_t i = 0; i < count.size(); ++i) {
    if (count[i] == 0) continue;
    std::optional<Instant>& last = part.last_token[i];
    const double seconds = last.has_value() ? seconds_between(*last, now) / count[i] : 0;
    for (int gap = 0; last.has_value() && gap < count[i]; ++gap)
      model_->metrics->observe_token_gap(seconds);
    last = now;
  }
}

bool TextGeneration::done() const {
  for (const auto& part : parts_) {
    if (!part->observed) return false;
  }
  return true;
}

Usage TextGeneration::usage() const {
  Usage usage;
  for (const auto& part : parts_) {
    usage.prompt_tokens += part->prompt_tokens;
    usage.cached_tokens += part->generation->stats().cached_tokens;
    for (const TextStream& text : part->texts) usage.completion_tokens += text.tokens();
  }
  return usage;
}

const TextGeneration::Part& TextGeneration::part_of(int choice) const {
  size_t i = parts_.size() - 1;
  while (parts_[i]->first_choice > choice) --i;
  return *parts_[i];
}

std::vector<PromptLogprob> TextGeneration::prompt_logprobs(int choice) const {
  return part_of(choice).generation->prompt_logprobs();
}

double TextGeneration::mean_logprob(int choice) const {
  const Part& part = part_of(choice);
  const TextStream& text = part.texts[static_cast<size_t>(choice - part.first_choice)];
  return text.tokens() == 0 ? 0 : text.logprob_sum() / text.tokens();
}

int TextGeneration::choices() const {
  int choices = 0;
  for (const auto& part : parts_) choices += static_cast<int>(part->texts.size());
  return choices;
}

}  // namespace brisk::api
