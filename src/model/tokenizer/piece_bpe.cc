// SentencePiece's BPE: neighbouring pieces merge while their concatenation is a piece, the highest
// score first (https://github.com/google/sentencepiece, bpe_model).
#include <absl/container/flat_hash_map.h>

#include <algorithm>
#include <functional>

#include "base/status.h"
#include "model/tokenizer/merges.h"
#include "model/tokenizer/piece_writer.h"
#include "model/tokenizer/token_model.h"
#include "model/tokenizer/utf8.h"

namespace brisk {
namespace {

constexpr int32_t kUnknownSymbol = -1;

// Sizes of the characters that `text` consists of; empty when it is not UTF-8.
std::vector<uint8_t> character_sizes(std::string_view text) {
  std::vector<uint8_t> sizes;
  while (!text.empty()) {
    const Utf8Char c = utf8_first(text);
    if (c.state != Utf8State::kValid) return {};
    sizes.push_back(c.size);
    text.remove_prefix(c.size);
  }
  return sizes;
}

class PieceBpe final : public TokenModel {
 public:
  PieceBpe(const TokenizerRules& rules, const Vocabulary& vocabulary)
      : vocabulary_(vocabulary), unknown_(rules.unknown), fuse_unknown_(rules.fuse_unknown) {}

  absl::Status add_ranked_merges(const TokenizerData& data);
  void add_scored_merges(const std::vector<float>& scores);

  void encode(const std::vector<std::string_view>& words, std::vector<int32_t>* ids) const override;
  bool encodes_bytes() const override { return vocabulary_.has_all_byte_tokens(); }

 private:
  // How the merges that produced unused pieces are taken apart again: piece -> (left, right).
  using Splits = absl::flat_hash_map<int32_t, std::pair<int32_t, int32_t>>;
  struct Watch {
    const Vocabulary& vocabulary;
    Splits splits;
  };
  static void watch_merge(void* context, int32_t left, int32_t right, int32_t result);

  void add_characters();
  int32_t symbol_of(std::string_view text) const;
  std::vector<uint32_t> rank_scores(const std::vector<float>& scores) const;
  void split_characters(std::string_view word, std::vector<Symbol>* symbols) const;
  void write(const Symbol& symbol, std::string_view text, const Splits& splits,
             PieceWriter* writer) const;

  // Constant after construction.
  const Vocabulary& vocabulary_;
  const int32_t unknown_;
  const bool fuse_unknown_;
  bool has_unused_ = false;
  MergeTable merges_;
  // Every character that can take part in a merge. Those that are no piece themselves, but appear
  // inside one, have numbers beyond the vocabulary.
  absl::flat_hash_map<uint32_t, int32_t> symbol_of_character_;
};

// Characters that are pieces.
void PieceBpe::add_characters() {
  for (int32_t id = 0; id < vocabulary_.size(); ++id) {
    has_unused_ |= vocabulary_.type(id) == TokenType::kUnused;
    const std::string& text = vocabulary_.text(id);
    if (text.empty() || vocabulary_.find_plain(text) != id) continue;
    const Utf8Char c = utf8_first(text);
    if (c.state == Utf8State::kValid && c.size == text.size()) {
      symbol_of_character_.try_emplace(c.code, id);
    }
  }
}

absl::Status PieceBpe::add_ranked_merges(const TokenizerData& data) {
  add_characters();
  merges_.reserve(data.merges.size());
  uint32_t rank = 0;
  for (const auto& [left, right] : data.merges) {
    const int32_t left_id = vocabulary_.find(left);
    const int32_t right_id = vocabulary_.find(right);
    const int32_t result = vocabulary_.find(left + right);
    if (left_id < 0 || right_id < 0 || result < 0) {
      return invalid_input("merge {} (\"{}\" and \"{}\") is not made of tokens", rank, left, right);
    }
    merges_.add(left_id, right_id, {rank++, result});
  }
  return absl::OkStatus();
}

// Equal scores get equal ranks: they merge from left to right.
std::vector<uint32_t> PieceBpe::rank_scores(const std::vector<float>& scores) const {
  std::vector<float> order = scores;
  std::sort(order.begin(), order.end(), std::greater<>());
  order.erase(std::unique(order.begin(), order.end()), order.end());
  std::vector<uint32_t> ranks(scores.size());
  for (size_t i = 0; i < scores.size(); ++i) {
    const auto at = std::lower_bound(order.begin(), order.end(), scores[i], std::greater<>());
    ranks[i] = static_cast<uint32_t>(at - order.begin());
  }
  return ranks;
}

int32_t PieceBpe::symbol_of(std::string_view text) const {
  if (const int32_t id = vocabulary_.find_plain(text); id >= 0) return id;
  const Utf8Char c = utf8_first(text);
  if (c.size != text.size()) return kUnknownSymbol;
  const auto it = symbol_of_character_.find(c.code);
  return it == symbol_of_character_.end() ? kUnknownSymbol : it->second;
}

// A symbol is always a piece or a single character, so all merges there can be are known: the ways
// to cut a piece into two symbols.
void PieceBpe::add_scored_merges(const std::vector<float>& scores) {
  add_characters();
  const std::vector<uint32_t> ranks = rank_scores(scores);
  int32_t next_symbol = vocabulary_.size();
  for (int32_t id = 0; id < vocabulary_.size(); ++id) {
    const std::string_view piece = vocabulary_.text(id);
    if (vocabulary_.find_plain(piece) != id) continue;
    const std::vector<uint8_t> sizes = character_sizes(piece);
    if (sizes.size() < 2) continue;
    size_t at = 0;
    for (const uint8_t size : sizes) {
      const uint32_t code = utf8_first(piece.substr(at)).code;
      if (symbol_of_character_.try_emplace(code, next_symbol).second) ++next_symbol;
      at += size;
    }
    at = 0;
    for (size_t i = 0; i + 1 < sizes.size(); ++i) {
      at += sizes[i];
      const int32_t left = symbol_of(piece.substr(0, at));
      if (left == kUnknownSymbol) continue;
      const int32_t right = symbol_of(piece.substr(at));
      if (right == kUnknownSymbol) continue;
      merges_.add(left, right, {ranks[static_cast<size_t>(id)], id});
    }
  }
}

void PieceBpe::watch_merge(void* context, int32_t left, int32_t right, int32_t result) {
  auto* watch = static_cast<Watch*>(context);
  if (watch->vocabulary.type(result) == TokenType::kUnused) watch->splits[result] = {left, right};
}

void PieceBpe::split_characters(std::string_view word, std::vector<Symbol>* symbols) const {
  symbols->clear();
  while (!word.empty()) {
    const Utf8Char c = utf8_first(word);
    int32_t id = kUnknownSymbol;
    if (c.state == Utf8State::kValid) {
      const auto it = symbol_of_character_.find(c.code);
      if (it != symbol_of_character_.end()) id = it->second;
    }
    symbols->push_back({id, c.size});
    word.remove_prefix(c.size);
  }
}

// Unused pieces are written as the pieces that they were merged from. `splits` leads to ever
// shorter pieces, so this ends.
void PieceBpe::write(const Symbol& symbol, std::string_view text, const Splits& splits,
                     PieceWriter* writer) const {
  struct Part {
    int32_t id;
    std::string_view text;
  };
  std::vector<Part> parts = {{symbol.id, text}};
  while (!parts.empty()) {
    const Part part = parts.back();
    parts.pop_back();
    if (!vocabulary_.contains(part.id)) {
      writer->uncovered(part.text);
      continue;
    }
    const auto split =
        vocabulary_.type(part.id) == TokenType::kUnused ? splits.find(part.id) : splits.end();
    if (split == splits.end()) {
      writer->token(part.id);
      continue;
    }
    const auto [left, right] = split->second;
    // A symbol outside the vocabulary is one character.
    const size_t left_size =
        vocabulary_.contains(left) ? vocabulary_.text(left).size() : utf8_first(part.text).size;
    parts.push_back({right, part.text.substr(left_size)});
    parts.push_back({left, part.text.substr(0, left_size)});
  }
}

void PieceBpe::encode(const std::vector<std::string_view>& words, std::vector<int32_t>* ids) const {
  PieceWriter writer(vocabulary_, unknown_, fuse_unknown_, ids);
  Merger merger(merges_);
  Watch watch{vocabulary_, {}};
  if (has_unused_) merger.watch(&watch_merge, &watch);
  std::vector<Symbol> symbols;
  for (const std::string_view word : words) {
    watch.splits.clear();
    split_characters(word, &symbols);
    merger.merge(&symbols);
    size_t at = 0;
    for (const Symbol& symbol : symbols) {
      if (vocabulary_.contains(symbol.id) && !has_unused_) {
        writer.token(symbol.id);
      } else {
        write(symbol, word.substr(at, symbol.size), watch.splits, &writer);
      }
      at += symbol.size;
    }
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<const TokenModel>> make_piece_bpe(const TokenizerData& data,
                                                                 const Vocabulary& vocabulary) {
  auto model = std::make_unique<PieceBpe>(data.rules, vocabulary);
  if (!data.merges.empty()) {
    BRISK_RETURN_IF_ERROR(model->add_ranked_merges(data));
  } else {
    std::vector<float> scores = data.scores;
    scores.resize(static_cast<size_t>(vocabulary.size()), 0.0F);
    model->add_scored_merges(scores);
  }
  return model;
}

}  // namespace brisk
