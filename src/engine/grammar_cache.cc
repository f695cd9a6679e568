#include "engine/grammar_cache.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"

namespace brisk {

namespace {

// The control tokens that stand in the fixed words of calls, such as [TOOL_CALLS]: what a grammar
// says as text, the model says with them.
std::vector<int32_t> spelled_tokens(const GrammarSource& source, const Tokenizer& tokenizer) {
  if (source.kind != GrammarSource::Kind::kToolCalls) return {};
  const ToolCallForms& calls = source.calls;
  const ToolCallForm& call = calls.tools.front();  // the others differ in names and schemas
  std::vector<int32_t> tokens;
  for (int32_t token = 0; token < tokenizer.vocab_size(); ++token) {
    if (!tokenizer.is_control(token)) continue;
    const std::string text = tokenizer.decode_token(token, true);
    if (text.empty()) continue;
    for (const std::string& words :
         {calls.first, calls.between, calls.last, calls.marker, call.begin, call.end}) {
      if (words.find(text) == std::string::npos) continue;
      tokens.push_back(token);
      break;
    }
  }
  return tokens;
}

}  // namespace

std::shared_ptr<const TokenTrie> make_token_trie(const Model& model,
                                                 const std::vector<int32_t>& spelled) {
  const Tokenizer& tokenizer = *model.tokenizer;
  std::vector<int32_t> ends = tokenizer.rules().end_of_generation;
  if (model.checkpoint != nullptr) {
    const auto& own = model.checkpoint->config.eos_tokens;
    ends.insert(ends.end(), own.begin(), own.end());
  }
  std::vector<std::string> tokens;
  for (int32_t token = 0; token < tokenizer.vocab_size(); ++token) {
    const bool is_spelled = std::ranges::binary_search(spelled, token);
    const bool is_text = (is_spelled || !tokenizer.is_control(token)) &&
                         std::ranges::find(ends, token) == ends.end();
    tokens.push_back(is_text ? tokenizer.decode_token(token, is_spelled) : "");
  }
  return std::make_shared<const TokenTrie>(std::move(tokens));
}

absl::StatusOr<std::shared_ptr<const CompiledGrammar>> GrammarCache::compile(
    const GrammarSource& source) {
  if (auto known = find(source)) return known;
  absl::MutexLock lock(&compiling_);
  if (auto known = find(source)) return known;  // somebody else has compiled it meanwhile
  if (model_.tokenizer == nullptr) {
    return invalid_input("answers cannot be constrained: the model has no tokenizer");
  }
  BRISK_ASSIGN_OR_RETURN(const Grammar grammar, read_grammar(source));
  const std::vector<int32_t> spelled = spelled_tokens(source, *model_.tokenizer);
  std::shared_ptr<const TokenTrie>& vocabulary = vocabularies_[spelled];
  if (vocabulary == nullptr) vocabulary = make_token_trie(model_, spelled);
  BRISK_ASSIGN_OR_RETURN(auto compiled, compile_grammar(grammar, vocabulary));
  keep(source, compiled);
  return compiled;
}

std::shared_ptr<const CompiledGrammar> GrammarCache::find(const GrammarSource& source) {
  absl::MutexLock lock(&mutex_);
  const auto found = entries_.find(source);
  if (found == entries_.end()) return nullptr;
  recent_.splice(recent_.begin(), recent_, found->second);
  return found->second->grammar;
}

void GrammarCache::keep(const GrammarSource& source,
                        std::shared_ptr<const CompiledGrammar> grammar) {
  absl::MutexLock lock(&mutex_);
  bytes_ += grammar->bytes_max();
  recent_.push_front({.source = source, .grammar = std::move(grammar)});
  entries_[source] = recent_.begin();
  while (recent_.size() > 1 && (recent_.size() > kGrammarsKept || bytes_ > kGrammarBytesKept)) {
    bytes_ -= recent_.back().grammar->bytes_max();
    entries_.erase(recent_.back().source);
    recent_.pop_back();
  }
}

}  // namespace brisk
