#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "base/status.h"
#include "model/tokenizer/base64.h"
#include "model/tokenizer/tokenizer_files.h"

namespace brisk {
namespace {

constexpr size_t kRanksMax = size_t{1} << 22;

// Fewer bytes than one line of the file may have: a longer one is not a tiktoken file.
constexpr size_t kLineBytesMax = 16 * 1024;

struct Line {
  std::string bytes;
  uint32_t rank = 0;
};

bool parse_line(std::string_view text, Line* line) {
  const size_t space = text.find(' ');
  if (space == 0 || space == text.npos || !decode_base64(text.substr(0, space), &line->bytes))
    return false;
  const std::string_view number = text.substr(space + 1);
  const auto [end, error] =
      std::from_chars(number.data(), number.data() + number.size(), line->rank);
  return error == std::errc() && end == number.data() + number.size();
}

// Takes the first line off `rest`, without its end.
std::string_view take_line(std::string_view* rest) {
  const size_t end = rest->find('\n');
  std::string_view line = rest->substr(0, end);
  rest->remove_prefix(end == rest->npos ? rest->size() : end + 1);
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

void add_control(std::string text, TokenizerData* data) {
  data->tokens.push_back(std::move(text));
  data->types.push_back(TokenType::kControl);
}

int32_t id_of(const TokenizerData& data, std::string_view text) {
  const auto it = std::find(data.tokens.rbegin(), data.tokens.rend(), text);
  return it == data.tokens.rend() ? -1 : static_cast<int32_t>(data.tokens.rend() - it) - 1;
}

// Llama 3.1's 256 special tokens; where 3.0 has another name, the token was reserved.
void add_llama3_specials(TokenizerData* data) {
  constexpr std::array<std::string_view, 11> kNames = {
      "<|begin_of_text|>",
      "<|end_of_text|>",
      "<|reserved_special_token_0|>",
      "<|reserved_special_token_1|>",
      "<|finetune_right_pad_id|>",
      "<|reserved_special_token_2|>",
      "<|start_header_id|>",
      "<|end_header_id|>",
      "<|eom_id|>",
      "<|eot_id|>",
      "<|python_tag|>",
  };
  for (const std::string_view name : kNames) add_control(std::string(name), data);
  for (size_t i = kNames.size(); i < 256; ++i) {
    add_control(fmt::format("<|reserved_special_token_{}|>", i - kNames.size() + 3), data);
  }
  data->pre_tokenizer = "llama-bpe";
  data->rules.bos = id_of(*data, "<|begin_of_text|>");
  data->rules.eos = id_of(*data, "<|end_of_text|>");
  data->rules.add_bos = true;
}

void add_qwen_specials(TokenizerData* data) {
  add_control("<|endoftext|>", data);
  add_control("<|im_start|>", data);
  add_control("<|im_end|>", data);
  for (int i = 0; i < 205; ++i) add_control(fmt::format("<|extra_{}|>", i), data);
  data->pre_tokenizer = "qwen2";
  data->rules.eos = id_of(*data, "<|endoftext|>");
  data->rules.pad = data->rules.eos;
}

void add_gpt2_specials(TokenizerData* data) {
  add_control("<|endoftext|>", data);
  data->pre_tokenizer = "gpt-2";
  data->rules.eos = id_of(*data, "<|endoftext|>");
  data->rules.bos = data->rules.eos;
}

// cl100k_base leaves a hole before its special tokens.
void add_cl100k_specials(TokenizerData* data) {
  data->tokens.emplace_back();
  data->types.push_back(TokenType::kUnused);
  for (const char* name : {"<|endoftext|>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>"}) {
    add_control(name, data);
  }
  while (data->tokens.size() < 100276) {
    data->tokens.emplace_back();
    data->types.push_back(TokenType::kUnused);
  }
  add_control("<|endofprompt|>", data);
  data->pre_tokenizer = "dbrx";
  data->rules.eos = id_of(*data, "<|endoftext|>");
}

void add_o200k_specials(TokenizerData* data) {
  data->tokens.emplace_back();
  data->types.push_back(TokenType::kUnused);
  add_control("<|endoftext|>", data);
  while (data->tokens.size() < 200018) {
    data->tokens.emplace_back();
    data->types.push_back(TokenType::kUnused);
  }
  add_control("<|endofprompt|>", data);
  data->pre_tokenizer = "gpt-4o";
  data->rules.eos = id_of(*data, "<|endoftext|>");
}

struct KnownFile {
  size_t ranks;
  void (*add_specials)(TokenizerData*);
};

constexpr KnownFile kKnownFiles[] = {
    {128000, add_llama3_specials}, {151643, add_qwen_specials},  {50256, add_gpt2_specials},
    {100256, add_cl100k_specials}, {199998, add_o200k_specials},
};

}  // namespace

bool looks_like_tiktoken(std::string_view bytes) {
  std::string_view rest = bytes.substr(0, kLineBytesMax);
  Line line;
  return parse_line(take_line(&rest), &line);
}

absl::StatusOr<TokenizerData> read_tiktoken(std::string_view bytes) {
  TokenizerData data;
  data.kind = TokenizerKind::kByteLevelBpe;
  std::string_view rest = bytes;
  Line line;
  while (!rest.empty()) {
    const std::string_view text = take_line(&rest);
    if (text.empty()) continue;
    const size_t expected = data.tokens.size();
    if (expected == kRanksMax) return invalid_input("more than {} tiktoken ranks", kRanksMax);
    if (!parse_line(text, &line)) {
      return invalid_input("line {} is not base64 and a rank, as in a tiktoken file", expected + 1);
    }
    if (line.rank != expected) {
      return invalid_input("tiktoken ranks must be in order, but {} follows {} others", line.rank,
                           expected);
    }
    data.tokens.push_back(line.bytes);
    data.types.push_back(TokenType::kNormal);
  }
  for (const KnownFile& file : kKnownFiles) {
    if (file.ranks != data.tokens.size()) continue;
    file.add_specials(&data);
    // tiktoken looks a whole word up before it merges.
    data.rules.ignore_merges = true;
    return data;
  }
  return unsupported(
      "a tiktoken file of {} ranks: the file does not say how its model cuts words, and brisk "
      "knows "
      "only those of GPT-2, GPT-4, GPT-4o, Llama 3 and Qwen; use a tokenizer.json",
      data.tokens.size());
}

}  // namespace brisk
