// The grammars of a model's requests, compiled for its vocabulary and kept for the next ones.
#pragma once

#include <absl/base/thread_annotations.h>
#include <absl/container/flat_hash_map.h>
#include <absl/status/statusor.h>
#include <absl/synchronization/mutex.h>

#include <list>
#include <memory>
#include <vector>

#include "engine/grammar/compiled_grammar.h"
#include "engine/grammar/grammar_source.h"
#include "model/model.h"

namespace brisk {

inline constexpr size_t kGrammarsKept = 32;
inline constexpr size_t kGrammarBytesKept = size_t{512} << 20;  // with all the masks they may hold

// The vocabulary as texts are made of it: control tokens are no part of any, but for `spelled`, and
// those that end a text never are. REQUIRES: the model has a tokenizer.
std::shared_ptr<const TokenTrie> make_token_trie(const Model& model,
                                                 const std::vector<int32_t>& spelled = {});

// Any thread. One grammar is compiled at a time, which takes about a second at most: never on the
// engine's thread.
class GrammarCache {
 public:
  explicit GrammarCache(const Model& model) : model_(model) {}  // outlives this

  // Errors: InvalidArgument, what is wrong with the source.
  absl::StatusOr<std::shared_ptr<const CompiledGrammar>> compile(const GrammarSource& source);

 private:
  struct Entry {
    GrammarSource source;
    std::shared_ptr<const CompiledGrammar> grammar;
  };

  std::shared_ptr<const CompiledGrammar> find(const GrammarSource& source);
  void keep(const GrammarSource& source, std::shared_ptr<const CompiledGrammar> grammar);

  const Model& model_;
  absl::Mutex compiling_;
  // By the control tokens in it: none, or those that the model's own form of tool calls has.
  absl::flat_hash_map<std::vector<int32_t>, std::shared_ptr<const TokenTrie>> vocabularies_
      ABSL_GUARDED_BY(compiling_);

  absl::Mutex mutex_;
  std::list<Entry> recent_ ABSL_GUARDED_BY(mutex_);  // the latest first
  absl::flat_hash_map<GrammarSource, std::list<Entry>::iterator> entries_ ABSL_GUARDED_BY(mutex_);
  size_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace brisk
