#include "plan/load/prompt_writer.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "base/rng.h"

namespace brisk {
namespace {

// Short and frequent: most tokenizers have each as one token with the space before it.
constexpr std::array<const char*, 128> kWords = {
    "the",     "and",   "that",   "was",    "for",   "with",   "his",   "her",     "they",
    "have",    "this",  "from",   "had",    "not",   "but",    "what",  "all",     "were",
    "when",    "your",  "can",    "said",   "there", "use",    "each",  "which",   "she",
    "how",     "their", "will",   "other",  "about", "out",    "many",  "then",    "them",
    "these",   "some",  "would",  "make",   "like",  "him",    "into",  "time",    "has",
    "look",    "two",   "more",   "write",  "see",   "number", "way",   "could",   "people",
    "than",    "first", "water",  "been",   "call",  "who",    "oil",   "now",     "find",
    "long",    "down",  "day",    "did",    "get",   "come",   "made",  "may",     "part",
    "over",    "new",   "sound",  "take",   "only",  "little", "work",  "know",    "place",
    "year",    "live",  "back",   "give",   "most",  "very",   "after", "thing",   "our",
    "just",    "name",  "good",   "man",    "think", "say",    "great", "where",   "help",
    "through", "much",  "before", "line",   "right", "too",    "mean",  "old",     "any",
    "same",    "tell",  "boy",    "follow", "came",  "want",   "show",  "also",    "around",
    "form",    "three", "small",  "set",    "put",   "end",    "does",  "another", "well",
    "large",   "must"};

}  // namespace

PromptAlphabet PromptAlphabet::ids_below(int32_t vocab_size) {
  BRISK_CHECK(vocab_size > 0);
  constexpr int32_t kOftenSpecial = 1000;
  constexpr int32_t kIdsMax = 1 << 16;
  const int32_t first = std::min(kOftenSpecial, vocab_size / 2);
  const int32_t end = std::min(vocab_size, first + kIdsMax);
  std::vector<int32_t> ids;
  for (int32_t id = first; id < end; ++id) ids.push_back(id);
  return of_ids(ids);
}

PromptAlphabet PromptAlphabet::of_ids(const std::vector<int32_t>& ids) {
  BRISK_CHECK(!ids.empty());
  PromptAlphabet alphabet;
  alphabet.is_ids_ = true;
  for (const int32_t id : ids) alphabet.pieces_.push_back(std::to_string(id) + ",");
  return alphabet;
}

PromptAlphabet PromptAlphabet::of_words() {
  PromptAlphabet alphabet;
  for (const char* word : kWords) alphabet.pieces_.push_back(std::string(word) + " ");
  return alphabet;
}

void PromptAlphabet::append(std::string& out, const std::vector<PromptPart>& prompt,
                            uint64_t seed) const {
  out += is_ids_ ? '[' : '"';
  for (const PromptPart& part : prompt) {
    const RngKey key = {.seed = seed, .stream = part.content};
    std::array<uint32_t, 4> words = {};
    for (uint32_t i = 0; i < static_cast<uint32_t>(part.tokens); ++i) {
      if (i % 4 == 0) words = philox(key, i / 4);
      // Multiplied instead of divided: even enough, and cheaper.
      out += pieces_[(uint64_t{words[i % 4]} * pieces_.size()) >> 32];
    }
  }
  if (out.back() == ',' || out.back() == ' ') out.pop_back();
  out += is_ids_ ? ']' : '"';
}

std::string sample_words() {
  std::string text;
  for (const char* word : kWords) {
    text += word;
    text += ' ';
  }
  text.pop_back();
  return text;
}

}  // namespace brisk
