// SentencePiece's unigram model: the segmentation with the highest sum of scores, found by dynamic
// programming from left to right.
#include <algorithm>
#include <limits>

#include "base/status.h"
#include "model/tokenizer/piece_writer.h"
#include "model/tokenizer/token_model.h"
#include "model/tokenizer/trie.h"
#include "model/tokenizer/utf8.h"

namespace brisk {
namespace {

// How much worse than the worst piece a character without one is.
constexpr float kUnknownPenalty = 10.0F;

constexpr int32_t kUncovered = -1;

class Unigram final : public TokenModel {
 public:
  Unigram(const TokenizerData& data, const Vocabulary& vocabulary);

  void encode(const std::vector<std::string_view>& words, std::vector<int32_t>* ids) const override;
  bool encodes_bytes() const override { return vocabulary_.has_all_byte_tokens(); }

 private:
  // The best way to get to a position of the word.
  struct Step {
    float score;
    uint32_t from;  // where its last piece begins
    int32_t piece;  // kUncovered: a character that is no piece
  };

  float score_of(int32_t id, size_t bytes) const;
  void find_best(std::string_view word, std::vector<Step>* steps) const;

  // Constant after construction.
  const Vocabulary& vocabulary_;
  const int32_t unknown_;
  const bool fuse_unknown_;
  const std::vector<float> scores_;
  float score_min_ = 0;
  float score_max_ = 0;
  Trie pieces_;
};

Unigram::Unigram(const TokenizerData& data, const Vocabulary& vocabulary)
    : vocabulary_(vocabulary),
      unknown_(data.rules.unknown),
      fuse_unknown_(data.rules.fuse_unknown),
      scores_(data.scores) {
  std::vector<Trie::Entry> entries;
  score_min_ = std::numeric_limits<float>::max();
  score_max_ = std::numeric_limits<float>::lowest();
  for (int32_t id = 0; id < vocabulary.size(); ++id) {
    const TokenType type = vocabulary.type(id);
    if (type != TokenType::kNormal && type != TokenType::kUserDefined) continue;
    entries.emplace_back(vocabulary.text(id), id);
    if (type != TokenType::kNormal) continue;
    score_min_ = std::min(score_min_, scores_[static_cast<size_t>(id)]);
    score_max_ = std::max(score_max_, scores_[static_cast<size_t>(id)]);
  }
  if (score_min_ > score_max_) score_min_ = score_max_ = 0;
  pieces_ = Trie(std::move(entries));
}

float Unigram::score_of(int32_t id, size_t bytes) const {
  if (vocabulary_.type(id) == TokenType::kUserDefined) {
    return static_cast<float>(bytes) * score_max_ - 0.1F;
  }
  return scores_[static_cast<size_t>(id)];
}

// steps[i] becomes the best way to the first i bytes; only ends of characters are reached.
void Unigram::find_best(std::string_view word, std::vector<Step>* steps) const {
  constexpr float kUnreached = -std::numeric_limits<float>::infinity();
  steps->assign(word.size() + 1, {kUnreached, 0, kUncovered});
  (*steps)[0].score = 0;
  const auto improve = [steps](size_t from, size_t to, int32_t piece, float score) {
    Step& step = (*steps)[to];
    if (score > step.score) step = {score, static_cast<uint32_t>(from), piece};
  };
  size_t at = 0;
  while (at < word.size()) {
    const std::string_view rest = word.substr(at);
    const float here = (*steps)[at].score;
    const size_t character = utf8_first(rest).size;
    bool covered = false;
    pieces_.for_each_prefix(rest, [&](size_t size, int32_t piece) {
      improve(at, at + size, piece, here + score_of(piece, size));
      covered |= size == character;
    });
    if (!covered) improve(at, at + character, kUncovered, here + score_min_ - kUnknownPenalty);
    at += character;
  }
}

void Unigram::encode(const std::vector<std::string_view>& words, std::vector<int32_t>* ids) const {
  PieceWriter writer(vocabulary_, unknown_, fuse_unknown_, ids);
  std::vector<Step> steps;
  std::vector<std::pair<size_t, size_t>> path;  // (begin, end) of the chosen pieces
  for (const std::string_view word : words) {
    find_best(word, &steps);
    path.clear();
    for (size_t end = word.size(); end > 0; end = steps[end].from) {
      path.emplace_back(steps[end].from, end);
    }
    for (auto it = path.rbegin(); it != path.rend(); ++it) {
      const auto [begin, end] = *it;
      if (steps[end].piece == kUncovered) {
        writer.uncovered(word.substr(begin, end - begin));
      } else {
        writer.token(steps[end].piece);
      }
    }
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<const TokenModel>> make_unigram(const TokenizerData& data,
                                                               const Vocabulary& vocabulary) {
  if (data.scores.size() != static_cast<size_t>(vocabulary.size())) {
    return invalid_input("a unigram tokenizer needs a score for every token");
  }
  return std::make_unique<Unigram>(data, vocabulary);
}

}  // namespace brisk
