#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

#include "compress/trim/trim_vocab.h"
#include "model/tokenizer/utf8.h"

namespace brisk {
namespace {

// Merges the parts of single tokens, as their tokenizer does when it meets them in a text, to find
// which others it passes through.
class Derivations {
 public:
  explicit Derivations(const TokenizerData& data) : data_(data) {
    for (size_t i = 0; i < data.tokens.size(); ++i) {
      if (data.types[i] == TokenType::kNormal)
        ids_.emplace(data.tokens[i], static_cast<int32_t>(i));
    }
    for (size_t rank = 0; rank < data.merges.size(); ++rank) {
      ranks_.emplace(data.merges[rank].first + '\0' + data.merges[rank].second,
                     static_cast<double>(rank));
    }
  }

  // Tokens of all parts that `token` is made of, itself included.
  void add_parts(int32_t token, std::unordered_set<int32_t>& kept) const {
    std::vector<std::string> parts = characters(data_.tokens[static_cast<size_t>(token)]);
    for (;;) {
      for (const std::string& part : parts) {
        if (const auto it = ids_.find(part); it != ids_.end()) kept.insert(it->second);
      }
      size_t best = 0;
      double best_rank = std::numeric_limits<double>::infinity();
      for (size_t i = 0; i + 1 < parts.size(); ++i) {
        const double rank = rank_of(parts[i], parts[i + 1]);
        if (rank < best_rank) {
          best = i;
          best_rank = rank;
        }
      }
      if (std::isinf(best_rank)) return;
      parts[best] += parts[best + 1];
      parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(best) + 1);
    }
  }

 private:
  std::vector<std::string> characters(std::string_view text) const {
    std::vector<std::string> parts;
    while (!text.empty()) {
      const bool bytes = data_.kind == TokenizerKind::kByteLevelBpe;
      const size_t size = bytes ? 1 : utf8_first(text).size;
      parts.emplace_back(text.substr(0, size));
      text.remove_prefix(size);
    }
    return parts;
  }

  // Lower is merged first; infinity: never.
  double rank_of(const std::string& left, const std::string& right) const {
    constexpr double kNever = std::numeric_limits<double>::infinity();
    if (!ranks_.empty()) {
      const auto it = ranks_.find(left + '\0' + right);
      return it == ranks_.end() ? kNever : it->second;
    }
    const auto it = ids_.find(left + right);
    if (it == ids_.end()) return kNever;
    const bool scored = data_.kind == TokenizerKind::kSentencePieceBpe;
    return scored ? -static_cast<double>(data_.scores[static_cast<size_t>(it->second)])
                  : static_cast<double>(it->second);
  }

  const TokenizerData& data_;
  std::unordered_map<std::string, int32_t> ids_;
  std::unordered_map<std::string, double> ranks_;
};

// Tokens that rules name, whatever their type.
std::vector<int32_t> named_tokens(const TokenizerRules& rules) {
  std::vector<int32_t> named = {rules.bos, rules.eos, rules.unknown, rules.pad};
  for (const auto* list : {&rules.end_of_generation, &rules.prefix, &rules.suffix}) {
    named.insert(named.end(), list->begin(), list->end());
  }
  std::erase_if(named, [](int32_t token) { return token < 0; });
  return named;
}

}  // namespace

std::vector<int32_t> tokens_to_keep(const TokenizerData& data, const Tokenizer& tokenizer,
                                    const std::vector<std::string>& texts) {
  std::unordered_set<int32_t> used, kept;
  for (const std::string& text : texts) {
    for (const int32_t token : tokenizer.encode(text, {.add_special = false})) used.insert(token);
  }
  const Derivations derivations(data);
  for (const int32_t token : used) {
    kept.insert(token);
    if (data.kind != TokenizerKind::kSentencePieceUnigram) derivations.add_parts(token, kept);
  }
  for (size_t i = 0; i < data.tokens.size(); ++i) {
    const TokenType type = data.types[i];
    const bool is_byte = data.kind == TokenizerKind::kByteLevelBpe && data.tokens[i].size() == 1;
    const bool is_plain = type == TokenType::kNormal || type == TokenType::kUnused;
    if (is_byte || !is_plain) kept.insert(static_cast<int32_t>(i));
  }
  for (const int32_t token : named_tokens(tokenizer.rules())) kept.insert(token);
  for (const int32_t token : named_tokens(data.rules)) kept.insert(token);
  std::vector<int32_t> sorted(kept.begin(), kept.end());
  std::erase_if(sorted, [&](int32_t token) { return token >= std::ssize(data.tokens); });
  std::sort(sorted.begin(), sorted.end());
  return sorted;
}

TokenizerData trim_tokenizer(const TokenizerData& data, const std::vector<int32_t>& kept) {
  std::unordered_map<int32_t, int32_t> new_id;
  std::unordered_set<std::string> spellings;
  TokenizerData trimmed = data;
  trimmed.tokens.clear();
  trimmed.scores.clear();
  trimmed.types.clear();
  for (const int32_t token : kept) {
    const auto i = static_cast<size_t>(token);
    new_id[token] = static_cast<int32_t>(trimmed.tokens.size());
    trimmed.tokens.push_back(data.tokens[i]);
    trimmed.types.push_back(data.types[i]);
    if (i < data.scores.size()) trimmed.scores.push_back(data.scores[i]);
    spellings.insert(data.tokens[i]);
  }
  std::erase_if(trimmed.merges, [&](const auto& merge) {
    return !spellings.contains(merge.first) || !spellings.contains(merge.second) ||
           !spellings.contains(merge.first + merge.second);
  });
  std::erase_if(trimmed.added, [&](const AddedToken& added) { return !new_id.contains(added.id); });
  for (AddedToken& added : trimmed.added) added.id = new_id[added.id];
  const auto rename = [&](int32_t& token) {
    const auto it = new_id.find(token);
    token = it == new_id.end() ? -1 : it->second;
  };
  TokenizerRules& rules = trimmed.rules;
  for (int32_t* token : {&rules.bos, &rules.eos, &rules.unknown, &rules.pad}) rename(*token);
  for (auto* list : {&rules.end_of_generation, &rules.prefix, &rules.suffix}) {
    for (int32_t& token : *list) rename(token);
    std::erase(*list, -1);
  }
  return trimmed;
}

}  // namespace brisk
