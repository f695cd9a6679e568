// How requests come to the engine's thread and leave it.
#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/status.h"
#include "engine/engine_impl.h"

namespace brisk {
namespace {

// Shorter prompts are computed again sooner than they are looked for.
constexpr int64_t kStoredBlocksMin = 4;

PrefixScope scope_of(const Request& request) {
  return {.salt = request.cache_salt,
          .adapter = request.adapter == nullptr ? 0 : request.adapter->id};
}

}  // namespace

void EngineImpl::accept(const std::shared_ptr<GenerationState>& generation) {
  const Request& request = generation->request();
  const bool searches = request.beam_search.has_value();
  const std::vector<int32_t> ends = end_tokens(request);
  auto first = scheduler_.submit({.prompt = request.prompt,
                                  .max_tokens = request.max_tokens,
                                  .choices = request.choices,
                                  .priority = request.priority,
                                  .tenant = request.tenant,
                                  .scope = scope_of(request),
                                  .stop_tokens = searches ? std::vector<int32_t>() : ends,
                                  .prompt_logits = request.prompt_logprobs >= 0,
                                  .beams = searches});
  if (!first.ok()) {
    generation->fail(first.status());
    for (int i = 0; i < request.choices; ++i) {
      generation->deliver({.choice = i, .finish = FinishReason::kError}, clock_.now());
    }
    return finish(generation);
  }
  live_adapters_->add(request.adapter);
  if (request.embed.has_value()) {
    pooled_.try_emplace(generation.get(), *request.embed, std::ssize(request.prompt),
                        model_->spec.hidden_size);
  }
  first_sequence_[generation.get()] = *first;
  if (request.prompt_logprobs >= 0) drawer_.begin_prompt(*first, request);
  const int candidates = searches ? begin_search(generation.get(), ends) : 0;
  for (int i = 0; i < request.choices; ++i) {
    if (generation->choice_ended(i) && !searches) {  // cancelled while it waited for the disk
      scheduler_.cancel({first->value + i});
      continue;
    }
    const SequenceId id{first->value + i};
    choices_[id] = {.generation = generation, .index = i};
    drawer_.begin({.id = id,
                   .request = &request,
                   .choice = i,
                   .end_tokens = ends,
                   .beam_candidates = candidates});
  }
}

std::vector<int32_t> EngineImpl::end_tokens(const Request& request) const {
  std::vector<int32_t> tokens = request.stop_tokens;
  if (request.ignore_eos) return tokens;
  const auto& own = model_->checkpoint->config.eos_tokens;
  tokens.insert(tokens.end(), own.begin(), own.end());
  if (model_->tokenizer != nullptr) {
    const auto& ends = model_->tokenizer->rules().end_of_generation;
    tokens.insert(tokens.end(), ends.begin(), ends.end());
  }
  // Configurations and tokenizers may name ends that the vocabulary lacks; they are never drawn.
  std::erase_if(tokens,
                [this](int32_t token) { return token < 0 || token >= model_->spec.vocab_size; });
  return tokens;
}

void EngineImpl::cancel(const Cancellation& cancellation) {
  if (cancellation.generation == nullptr) return cancel_everything();
  end_choices(cancellation, FinishReason::kCancelled);
}

void EngineImpl::end_choices(const Cancellation& which, FinishReason reason) {
  if (std::ranges::count(loading_, which.generation) > 0) return end_loading(which, reason);
  const auto first = first_sequence_.find(which.generation.get());
  if (first == first_sequence_.end()) return;  // it has ended
  const SequenceId begin = first->second;
  const int choices = which.generation->request().choices;
  if (which.choice != kAllChoices && searches_.contains(which.generation.get())) {
    // A search needs all of its beams, whoever wants which of its answers.
    which.generation->deliver({.choice = which.choice, .finish = reason}, clock_.now());
    if (!which.generation->all_ended()) return;
    return end_choices({.generation = which.generation, .choice = kAllChoices}, reason);
  }
  for (int i = 0; i < choices; ++i) {
    if (which.choice != kAllChoices && which.choice != i) continue;
    const SequenceId id{begin.value + i};
    if (!choices_.contains(id)) continue;
    scheduler_.cancel(id);
    end_choice(id, reason);
  }
}

// Choices of a request that waits for the disk.
void EngineImpl::end_loading(const Cancellation& which, FinishReason reason) {
  const std::shared_ptr<GenerationState> generation = which.generation;
  for (int i = 0; i < generation->request().choices; ++i) {
    if (which.choice != kAllChoices && which.choice != i) continue;
    generation->deliver({.choice = i, .finish = reason}, clock_.now());
  }
  if (!generation->all_ended()) return;
  std::erase(loading_, generation);
  finish(generation);
}

void EngineImpl::cancel_everything() {
  while (!loading_.empty()) {
    end_loading({.generation = loading_.back(), .choice = kAllChoices}, FinishReason::kCancelled);
  }
  std::vector<SequenceId> ids;
  for (const auto& [id, choice] : choices_) ids.push_back(id);
  for (const SequenceId id : ids) {
    scheduler_.cancel(id);
    end_choice(id, FinishReason::kCancelled);
  }
}

// A choice that ends without a token of its own.
void EngineImpl::end_choice(SequenceId id, FinishReason reason) {
  const auto it = choices_.find(id);
  const std::shared_ptr<GenerationState> generation = it->second.generation;
  const int index = it->second.index;
  choices_.erase(it);
  drawer_.end(id);
  publish_stats();
  generation->deliver({.choice = index, .finish = reason}, clock_.now());
  if (generation->all_ended()) finish(generation);
}

void EngineImpl::finish(const std::shared_ptr<GenerationState>& generation) {
  if (!generation->was_scheduled()) mailbox_->no_longer_waiting(*generation);
  std::erase_if(stalled_, [&](const Stalled& one) { return one.generation == generation; });
  if (generation->was_scheduled()) store_prefix(generation->request());
  if (const auto first = first_sequence_.find(generation.get()); first != first_sequence_.end()) {
    drawer_.end_prompt(first->second);
    searches_.erase(generation.get());
    pooled_.erase(generation.get());
    first_sequence_.erase(first);
    live_adapters_->remove(generation->request().adapter);
  }
  ++finished_;
}

void EngineImpl::pause(const std::shared_ptr<GenerationState>& generation) {
  const SequenceId begin = first_sequence_.at(generation.get());
  for (int i = 0; i < generation->request().choices; ++i) scheduler_.pause({begin.value + i});
  stalled_.push_back({.generation = generation, .since = clock_.now()});
}

void EngineImpl::resume(const std::shared_ptr<GenerationState>& generation) {
  std::erase_if(stalled_, [&](const Stalled& one) { return one.generation == generation; });
  const auto first = first_sequence_.find(generation.get());
  if (first == first_sequence_.end()) return;  // it has ended
  for (int i = 0; i < generation->request().choices; ++i) {
    scheduler_.resume({first->second.value + i});
  }
}

void EngineImpl::cancel_stalled() {
  const Instant now = clock_.now();
  for (size_t i = stalled_.size(); i-- > 0;) {  // ending one takes it out
    const std::shared_ptr<GenerationState> generation = stalled_[i].generation;
    if (seconds_between(stalled_[i].since, now) < options_.unread_seconds_max) continue;
    generation->fail(absl::DeadlineExceededError(
        fmt::format("nobody read the answer for {} s", options_.unread_seconds_max)));
    end_choices({.generation = generation, .choice = kAllChoices}, FinishReason::kError);
  }
}

// Whether the request waits for blocks of its prompt from the disk, which has those of no scope.
bool EngineImpl::load_stored_prefix(const std::shared_ptr<GenerationState>& generation) {
  const Request& request = generation->request();
  if (store_ == nullptr || scope_of(request) != PrefixScope{} || request.prompt_logprobs >= 0)
    return false;
  // The last token is computed anyway.
  const auto prompt = std::span(request.prompt).first(request.prompt.size() - 1);
  const int64_t cached = std::ssize(scheduler_.find_cached(prompt, {}));
  const int64_t stored = store_->stored_blocks(prompt, cached);
  if (stored == 0 || !store_->load(generation, cached, stored)) return false;
  loading_.push_back(generation);
  return true;
}

void EngineImpl::restore(const RestoredBlocks& restored) {
  // It may have been cancelled meanwhile.
  if (std::erase(loading_, restored.generation) == 0) return;
  const Request& request = restored.generation->request();
  const auto blocks = static_cast<size_t>(restored.first_block) + restored.blocks.size();
  const auto prefix = std::span(request.prompt).first(blocks * kKvBlockTokens);
  // What is cached by now need not be what was when it was looked up.
  const auto cached = static_cast<size_t>(std::ssize(scheduler_.find_cached(prefix, {})));
  const auto first = static_cast<size_t>(restored.first_block);
  if (cached >= first && cached < blocks) {
    const std::vector<BlockId> room =
        scheduler_.restore(prefix, {}, static_cast<int64_t>(blocks - cached));
    for (size_t i = 0; i < room.size(); ++i) {
      runner_->write_block(room[i], restored.blocks[cached - first + i]);
    }
    totals_.restored_tokens += std::ssize(room) * kKvBlockTokens;
  }
  accept(restored.generation);
}

// Saves the blocks of the prompt that are cached and not stored yet.
void EngineImpl::store_prefix(const Request& request) {
  if (store_ == nullptr || scope_of(request) != PrefixScope{}) return;
  const std::span<const BlockId> cached = scheduler_.find_cached(request.prompt, {});
  if (std::ssize(cached) < kStoredBlocksMin) return;
  auto next = static_cast<size_t>(store_->stored_blocks(request.prompt, 0));
  for (; next < cached.size() && store_->can_save(); ++next) {
    std::vector<std::byte> bytes(static_cast<size_t>(runner_->block_bytes()));
    runner_->read_block(cached[next], bytes);
    store_->save(std::span(request.prompt).first((next + 1) * kKvBlockTokens), std::move(bytes));
  }
}

}  // namespace brisk
