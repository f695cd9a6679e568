// Byte-level BPE (GPT-2, Llama 3, Qwen, ...): the bytes of a word merge by rank.
#include <array>

#include "base/status.h"
#include "model/tokenizer/byte_alphabet.h"
#include "model/tokenizer/merges.h"
#include "model/tokenizer/token_model.h"

namespace brisk {
namespace {

class ByteBpe final : public TokenModel {
 public:
  ByteBpe(const TokenizerRules& rules, const Vocabulary& vocabulary)
      : vocabulary_(vocabulary), unknown_(rules.unknown), ignore_merges_(rules.ignore_merges) {
    for (int byte = 0; byte < 256; ++byte) {
      const auto c = static_cast<char>(byte);
      byte_ids_[static_cast<size_t>(byte)] = vocabulary.find_plain({&c, 1});
    }
  }

  absl::Status add_ranked_merges(const TokenizerData& data);
  void add_merges_by_id();

  void encode(const std::vector<std::string_view>& words, std::vector<int32_t>* ids) const override;
  bool encodes_bytes() const override { return true; }

 private:
  void write(int32_t id, std::vector<int32_t>* ids) const;

  // Constant after construction.
  const Vocabulary& vocabulary_;
  const int32_t unknown_;
  const bool ignore_merges_;
  std::array<int32_t, 256> byte_ids_;  // -1: the vocabulary lacks this byte
  MergeTable merges_;
};

absl::Status ByteBpe::add_ranked_merges(const TokenizerData& data) {
  merges_.reserve(data.merges.size());
  uint32_t rank = 0;
  for (const auto& [left, right] : data.merges) {
    const int32_t left_id = vocabulary_.find(left);
    const int32_t right_id = vocabulary_.find(right);
    const int32_t result = vocabulary_.find(left + right);
    if (left_id < 0 || right_id < 0 || result < 0) {
      return invalid_input("merge {} (\"{}\" and \"{}\") is not made of tokens", rank,
                           printable_of_bytes(left), printable_of_bytes(right));
    }
    merges_.add(left_id, right_id, {rank++, result});
  }
  return absl::OkStatus();
}

// tiktoken: two neighbours merge when their concatenation is a token, the lowest id first.
void ByteBpe::add_merges_by_id() {
  for (int32_t id = 0; id < vocabulary_.size(); ++id) {
    const std::string_view token = vocabulary_.text(id);
    if (token.size() < 2 || vocabulary_.find_plain(token) != id) continue;
    for (size_t at = 1; at < token.size(); ++at) {
      const int32_t left = vocabulary_.find_plain(token.substr(0, at));
      if (left < 0) continue;
      const int32_t right = vocabulary_.find_plain(token.substr(at));
      if (right >= 0) merges_.add(left, right, {static_cast<uint32_t>(id), id});
    }
  }
}

void ByteBpe::write(int32_t id, std::vector<int32_t>* ids) const {
  if (id >= 0) {
    ids->push_back(id);
  } else if (unknown_ >= 0) {
    ids->push_back(unknown_);
  }
}

void ByteBpe::encode(const std::vector<std::string_view>& words, std::vector<int32_t>* ids) const {
  Merger merger(merges_);
  std::vector<Symbol> symbols;
  for (const std::string_view word : words) {
    if (ignore_merges_) {
      if (const int32_t id = vocabulary_.find_plain(word); id >= 0) {
        ids->push_back(id);
        continue;
      }
    }
    symbols.clear();
    for (const char c : word) symbols.push_back({byte_ids_[static_cast<uint8_t>(c)], 1});
    merger.merge(&symbols);
    for (const Symbol& symbol : symbols) write(symbol.id, ids);
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<const TokenModel>> make_byte_bpe(const TokenizerData& data,
                                                                const Vocabulary& vocabulary) {
  auto model = std::make_unique<ByteBpe>(data.rules, vocabulary);
  if (data.merges.empty()) {
    model->add_merges_by_id();
  } else {
    BRISK_RETURN_IF_ERROR(model->add_ranked_merges(data));
  }
  return model;
}

}  // namespace brisk
