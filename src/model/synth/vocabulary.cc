#include "model/synth/vocabulary.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include "base/check.h"

namespace brisk {
namespace {

using Merge = std::pair<std::string, std::string>;

// English letters, the most frequent first, so that common pairs get good ranks.
constexpr std::string_view kLetters = "etaoinshrdlucmfwypvbgkjqxz";

// `count` merges with different results, best first: pairs of letters; `space` and a letter;
// `space` and three letters; four letters. Each part of a merge is a character or an earlier
// result.
std::vector<Merge> merges(std::string_view space, size_t count) {
  const auto letter = [](size_t i) { return std::string(1, kLetters[i]); };
  const size_t n = kLetters.size();
  std::vector<Merge> all;
  std::vector<std::string> pairs;
  for (size_t sum = 0; sum < 2 * n - 1; ++sum) {
    for (size_t i = sum < n ? 0 : sum - n + 1; i < n && i <= sum; ++i) {
      all.emplace_back(letter(i), letter(sum - i));
      pairs.push_back(letter(i) + letter(sum - i));
    }
  }
  for (size_t i = 0; i < n; ++i) all.emplace_back(std::string(space), letter(i));
  for (const std::string& pair : pairs) {
    for (size_t i = 0; i < n; ++i) all.emplace_back(std::string(space) + letter(i), pair);
  }
  for (size_t sum = 0; sum < 2 * pairs.size() - 1 && all.size() < count; ++sum) {
    const size_t first = sum < pairs.size() ? 0 : sum - pairs.size() + 1;
    for (size_t i = first; i < pairs.size() && i <= sum; ++i) {
      all.emplace_back(pairs[i], pairs[sum - i]);
    }
  }
  BRISK_CHECK(all.size() >= count);
  all.resize(count);
  return all;
}

void add(TokenizerData& data, std::string text, TokenType type, float score = 0) {
  data.tokens.push_back(std::move(text));
  data.types.push_back(type);
  data.scores.push_back(score);
}

// <unk>, <s>, </s>, 256 bytes, merged pieces by rank, single characters.
TokenizerData sentence_piece(int32_t size) {
  constexpr std::string_view kSpace = "\xE2\x96\x81";  // U+2581
  TokenizerData data;
  data.kind = TokenizerKind::kSentencePieceBpe;
  add(data, "<unk>", TokenType::kUnknown);
  add(data, "<s>", TokenType::kControl);
  add(data, "</s>", TokenType::kControl);
  for (int byte = 0; byte < 256; ++byte) {
    add(data, fmt::format("<0x{:02X}>", byte), TokenType::kByte);
  }
  std::vector<std::string> characters = {std::string(kSpace)};
  for (char c = '!'; c <= '~'; ++c) characters.emplace_back(1, c);
  const size_t count = static_cast<size_t>(size) - data.tokens.size() - characters.size();
  float score = 0;
  for (const auto& [left, right] : merges(kSpace, count)) {
    add(data, left + right, TokenType::kNormal, score--);
  }
  for (std::string& c : characters) add(data, std::move(c), TokenType::kNormal, score--);
  data.rules = {.bos = 1,
                .eos = 2,
                .unknown = 0,
                .end_of_generation = {2},
                .add_bos = true,
                .prefix = {},
                .suffix = {}};
  return data;
}

// 256 bytes and merged tokens by rank, then room for the control tokens.
TokenizerData byte_level(size_t ordinary) {
  TokenizerData data;
  data.kind = TokenizerKind::kByteLevelBpe;
  for (int byte = 0; byte < 256; ++byte) {
    add(data, std::string(1, static_cast<char>(byte)), TokenType::kNormal);
  }
  data.merges = merges(" ", ordinary - data.tokens.size());
  for (const auto& [left, right] : data.merges) add(data, left + right, TokenType::kNormal);
  return data;
}

TokenizerData llama3(int32_t size) {
  const auto ordinary = static_cast<size_t>(size - 256);
  TokenizerData data = byte_level(ordinary);
  const auto special = [&data](std::string text) {
    add(data, std::move(text), TokenType::kControl);
    return static_cast<int32_t>(data.tokens.size()) - 1;
  };
  data.pre_tokenizer = "llama-bpe";
  data.rules.ignore_merges = data.rules.add_bos = true;
  data.rules.bos = special("<|begin_of_text|>");
  data.rules.eos = special("<|end_of_text|>");
  for (int i = 0; i < 4; ++i) special(fmt::format("<|reserved_special_token_{}|>", i));
  special("<|start_header_id|>");
  special("<|end_header_id|>");
  special("<|reserved_special_token_4|>");
  const int32_t end_of_turn = special("<|eot_id|>");
  data.rules.end_of_generation = {data.rules.eos, end_of_turn};
  for (int i = 5; data.tokens.size() < static_cast<size_t>(size); ++i) {
    special(fmt::format("<|reserved_special_token_{}|>", i));
  }
  return data;
}

TokenizerData qwen(int32_t size) {
  constexpr int32_t kPadding = 293;  // as in 151936: control tokens and what rounds the table up
  TokenizerData data = byte_level(static_cast<size_t>(size - kPadding));
  const auto first = static_cast<int32_t>(data.tokens.size());
  data.pre_tokenizer = "qwen2";
  for (const char* text : {"<|endoftext|>", "<|im_start|>", "<|im_end|>"}) {
    add(data, text, TokenType::kControl);
  }
  data.rules.pad = first;
  data.rules.eos = first + 2;
  data.rules.end_of_generation = {first + 2, first};
  while (data.tokens.size() < static_cast<size_t>(size)) {
    add(data, fmt::format("[PAD{}]", data.tokens.size()), TokenType::kUnused);
  }
  return data;
}

}  // namespace

TokenizerData synthetic_tokenizer(VocabularyStyle style, int32_t size) {
  BRISK_CHECK(size >= 1000 && size <= 400'000);
  switch (style) {
    case VocabularyStyle::kLlama2:
      return sentence_piece(size);
    case VocabularyStyle::kLlama3:
      return llama3(size);
    case VocabularyStyle::kQwen:
      return qwen(size);
  }
  return {};
}

std::string synthetic_chat_template(VocabularyStyle style) {
  switch (style) {
    case VocabularyStyle::kLlama2:
      return "{{ bos_token }}{% for message in messages %}"
             "{% if message['role'] == 'assistant' %}{{ ' ' + message['content'] + eos_token }}"
             "{% else %}{{ '[INST] ' + message['content'] + ' [/INST]' }}{% endif %}"
             "{% endfor %}";
    case VocabularyStyle::kLlama3:
      return "{{ bos_token }}{% for message in messages %}"
             "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' "
             "+ message['content'] + '<|eot_id|>' }}{% endfor %}"
             "{% if add_generation_prompt %}"
             "{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}";
    case VocabularyStyle::kQwen:
      return "{% for message in messages %}"
             "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] "
             "+ '<|im_end|>\\n' }}{% endfor %}"
             "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";
  }
  return "";
}

}  // namespace brisk
