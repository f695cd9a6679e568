#include "engine/grammar/compiled_grammar.h"

#include <algorithm>
#include <utility>

#include "base/status.h"

namespace brisk {
namespace {

constexpr size_t kFramesKept = 4096;  // more are looked through for those that are needed

}  // namespace

CompiledGrammar::CompiledGrammar(Automaton automaton, std::shared_ptr<const TokenTrie> vocabulary)
    : automaton_(std::move(automaton)), vocabulary_(std::move(vocabulary)) {}

absl::StatusOr<std::shared_ptr<const StateMask>> CompiledGrammar::mask_of(int32_t state) const {
  {
    absl::MutexLock lock(&mutex_);
    if (const auto found = masks_.find(state); found != masks_.end()) {
      recent_.splice(recent_.begin(), recent_, found->second.place);
      return found->second.mask;
    }
  }
  BRISK_ASSIGN_OR_RETURN(StateMask computed, compute_state_mask(automaton_, *vocabulary_, state));
  auto mask = std::make_shared<const StateMask>(std::move(computed));
  absl::MutexLock lock(&mutex_);
  const auto [place, is_new] = masks_.try_emplace(state);
  if (!is_new) return place->second.mask;  // another thread was faster
  recent_.push_front(state);
  place->second = {.mask = mask, .place = recent_.begin()};
  bytes_ += mask->bytes();
  while (bytes_ > kMaskCacheBytesMax && recent_.size() > 1) {
    const auto oldest = masks_.find(recent_.back());
    bytes_ -= oldest->second.mask->bytes();
    masks_.erase(oldest);
    recent_.pop_back();
  }
  return mask;
}

absl::StatusOr<std::shared_ptr<const CompiledGrammar>> compile_grammar(
    const Grammar& grammar, std::shared_ptr<const TokenTrie> vocabulary) {
  BRISK_ASSIGN_OR_RETURN(Automaton automaton, Automaton::compile(grammar));
  return std::make_shared<const CompiledGrammar>(std::move(automaton), std::move(vocabulary));
}

GrammarMatcher::GrammarMatcher(std::shared_ptr<const CompiledGrammar> grammar)
    : grammar_(std::move(grammar)) {
  Pushdown(grammar_->automaton(), &frames_)
      .enter({.state = grammar_->automaton().start()}, &places_);
}

absl::Status GrammarMatcher::accept(int32_t token) {
  const std::string_view bytes = grammar_->vocabulary().bytes_of(token);
  if (bytes.empty()) {
    return invalid_input("token {} is not allowed by the grammar: it is no text", token);
  }
  return accept(bytes);
}

absl::Status GrammarMatcher::accept(std::string_view bytes) {
  Pushdown pushdown(grammar_->automaton(), &frames_);
  PlaceSet now = places_;
  PlaceSet next;
  for (const char byte : bytes) {
    next.clear();
    pushdown.read(now, static_cast<uint8_t>(byte), &next);
    if (next.has_too_many) return exhausted("the grammar is too ambiguous for this text");
    if (next.is_empty()) return invalid_input("the text is not one that the grammar allows");
    std::swap(now, next);
  }
  places_ = std::move(now);
  if (frames_.size() > kFramesKept) frames_.keep_only(places_.places);
  return absl::OkStatus();
}

absl::Status GrammarMatcher::mask(std::span<uint64_t> allowed) {
  std::ranges::fill(allowed, 0);
  const WalkInput input{.automaton = &grammar_->automaton(),
                        .vocabulary = &grammar_->vocabulary(),
                        .frames = &frames_};
  if (places_.has_too_many) return exhausted("the grammar is too ambiguous");
  scratch_.work = kWalkWorkMax;
  for (const Place& place : places_.places) {
    BRISK_ASSIGN_OR_RETURN(const auto mask, grammar_->mask_of(place.state));
    mask->add_to(allowed);
    if (place.frame == kBottom || mask->going_on.empty()) continue;
    const FrameStore::Frame frame = frames_.at(place.frame);
    const Place after{.state = frame.back, .frame = frame.below};
    BRISK_RETURN_IF_ERROR(walk_after(input, *mask, after, &scratch_, allowed));
  }
  return absl::OkStatus();
}

}  // namespace brisk
