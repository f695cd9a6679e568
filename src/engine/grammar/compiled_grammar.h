// A grammar and a vocabulary, ready to constrain answers, and where one answer stands in it.
#pragma once

#include <absl/base/thread_annotations.h>
#include <absl/container/flat_hash_map.h>
#include <absl/status/statusor.h>
#include <absl/synchronization/mutex.h>

#include <cstdint>
#include <list>
#include <memory>
#include <span>
#include <string_view>

#include "engine/grammar/automaton.h"
#include "engine/grammar/token_mask.h"
#include "engine/grammar/token_trie.h"

namespace brisk {

inline constexpr size_t kMaskCacheBytesMax = size_t{8} << 20;  // of one grammar

// Any thread. The masks of states are computed when they are first needed, and shared by all who
// use the grammar; the least recently used ones go when there are too many.
class CompiledGrammar {
 public:
  CompiledGrammar(Automaton automaton, std::shared_ptr<const TokenTrie> vocabulary);

  const Automaton& automaton() const { return automaton_; }
  const TokenTrie& vocabulary() const { return *vocabulary_; }
  // Of the automaton and of the masks at most.
  size_t bytes_max() const { return automaton_.bytes() + kMaskCacheBytesMax; }

  // Errors: ResourceExhausted, the grammar is too ambiguous.
  absl::StatusOr<std::shared_ptr<const StateMask>> mask_of(int32_t state) const;

 private:
  struct Cached {
    std::shared_ptr<const StateMask> mask;
    std::list<int32_t>::iterator place;
  };

  const Automaton automaton_;
  const std::shared_ptr<const TokenTrie> vocabulary_;

  mutable absl::Mutex mutex_;
  mutable absl::flat_hash_map<int32_t, Cached> masks_ ABSL_GUARDED_BY(mutex_);
  mutable std::list<int32_t> recent_ ABSL_GUARDED_BY(mutex_);  // the latest first
  mutable size_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;
};

// Errors: as Automaton::compile.
absl::StatusOr<std::shared_ptr<const CompiledGrammar>> compile_grammar(
    const Grammar& grammar, std::shared_ptr<const TokenTrie> vocabulary);

// Where one text stands. A copy goes on by itself. One thread.
class GrammarMatcher {
 public:
  explicit GrammarMatcher(std::shared_ptr<const CompiledGrammar> grammar);

  // The token comes next. Errors, which leave everything as it was: InvalidArgument, the grammar
  // does not allow it; ResourceExhausted, it is too ambiguous.
  absl::Status accept(int32_t token);
  absl::Status accept(std::string_view bytes);

  // Sets `allowed` to the tokens that may come next; end tokens are nobody's business here.
  // REQUIRES: mask_words(vocabulary). Errors: ResourceExhausted, too ambiguous.
  absl::Status mask(std::span<uint64_t> allowed);

  // The text may end here.
  bool is_complete() const { return places_.has_ended; }
  // And nothing else may come.
  bool must_end() const { return places_.has_ended && places_.places.empty(); }

 private:
  std::shared_ptr<const CompiledGrammar> grammar_;
  FrameStore frames_;
  PlaceSet places_;
  WalkScratch scratch_;
};

}  // namespace brisk
