#include "model/tokenizer/train/bpe_trainer.h"

#include <absl/container/flat_hash_map.h>
#include <absl/container/flat_hash_set.h>

#include <algorithm>
#include <queue>

namespace brisk {
namespace {

using Pair = std::pair<int32_t, int32_t>;

struct Word {
  std::vector<int32_t> tokens;
  int64_t count;
};

struct Candidate {
  int64_t count;
  Pair pair;
  // The top of a heap is the greatest: most frequent, then the lowest tokens.
  bool operator<(const Candidate& other) const {
    return count != other.count ? count < other.count : pair > other.pair;
  }
};

// Pairs with how often and in which words they occur. Counts are kept as words change; the heap may
// hold older counts, which are seen when they come up.
class Trainer {
 public:
  explicit Trainer(const std::vector<WordCount>& words) {
    for (const WordCount& word : words) {
      std::vector<int32_t> tokens;
      for (const char c : word.word) tokens.push_back(static_cast<uint8_t>(c));
      words_.push_back({std::move(tokens), word.count});
    }
    for (size_t i = 0; i < words_.size(); ++i) {
      for (size_t at = 0; at + 1 < words_[i].tokens.size(); ++at) {
        add({words_[i].tokens[at], words_[i].tokens[at + 1]}, words_[i].count, i);
      }
    }
    for (const auto& [pair, use] : uses_) heap_.push({use.count, pair});
  }

  // The most frequent pair, if it occurs `count_min` times.
  bool next(int64_t count_min, Pair* best) {
    while (!heap_.empty()) {
      const Candidate top = heap_.top();
      heap_.pop();
      const auto use = uses_.find(top.pair);
      if (use == uses_.end()) continue;  // merged since
      const int64_t count = use->second.count;
      if (count == top.count) {
        *best = top.pair;
        return count >= count_min;
      }
      if (count > 0) heap_.push({count, top.pair});
    }
    return false;
  }

  void merge(Pair pair, int32_t merged) {
    const auto words = std::move(uses_.at(pair).words);
    uses_.erase(pair);
    grown_.clear();
    // In any order: it changes no count.
    for (const size_t word : words) merge_in(word, pair, merged);
    for (const Pair& grown : grown_) heap_.push({uses_.at(grown).count, grown});
  }

  int64_t tokens() const {
    int64_t total = 0;
    for (const Word& word : words_) total += word.count * static_cast<int64_t>(word.tokens.size());
    return total;
  }

 private:
  struct Use {
    int64_t count = 0;
    absl::flat_hash_set<size_t> words;  // may hold words that have lost it
  };

  void add(Pair pair, int64_t count, size_t word) {
    Use& use = uses_[pair];
    use.count += count;
    use.words.insert(word);
  }

  void merge_in(size_t index, Pair pair, int32_t merged) {
    Word& word = words_[index];
    std::vector<int32_t>& tokens = word.tokens;
    size_t to = 0;
    for (size_t from = 0; from < tokens.size(); ++from) {
      const bool found =
          from + 1 < tokens.size() && tokens[from] == pair.first && tokens[from + 1] == pair.second;
      if (!found) {
        tokens[to++] = tokens[from];
        continue;
      }
      if (to > 0) replace({tokens[to - 1], pair.first}, {tokens[to - 1], merged}, index);
      if (from + 2 < tokens.size()) {
        replace({pair.second, tokens[from + 2]}, {merged, tokens[from + 2]}, index);
      }
      tokens[to++] = merged;
      ++from;
    }
    tokens.resize(to);
  }

  // One occurrence of `old` in the word has become one of `grown`.
  void replace(Pair old, Pair grown, size_t word) {
    const int64_t count = words_[word].count;
    if (const auto it = uses_.find(old); it != uses_.end()) it->second.count -= count;
    add(grown, count, word);
    grown_.insert(grown);
  }

  std::vector<Word> words_;
  absl::flat_hash_map<Pair, Use> uses_;
  std::priority_queue<Candidate> heap_;
  absl::flat_hash_set<Pair> grown_;  // by the merge at hand
};

}  // namespace

BpeMerges train_bpe(const std::vector<WordCount>& words, int32_t merges_max, int64_t count_min,
                    const std::function<void(int32_t)>& progress) {
  BpeMerges trained;
  for (int byte = 0; byte < kByteTokens; ++byte) {
    trained.tokens.emplace_back(1, static_cast<char>(byte));
  }
  Trainer trainer(words);
  Pair pair;
  while (static_cast<int32_t>(trained.merges.size()) < merges_max &&
         trainer.next(std::max<int64_t>(count_min, 1), &pair)) {
    trainer.merge(pair, static_cast<int32_t>(trained.tokens.size()));
    trained.merges.push_back(pair);
    trained.tokens.push_back(trained.tokens[static_cast<size_t>(pair.first)] +
                             trained.tokens[static_cast<size_t>(pair.second)]);
    progress(static_cast<int32_t>(trained.merges.size()));
  }
  trained.corpus_tokens = trainer.tokens();
  return trained;
}

}  // namespace brisk
