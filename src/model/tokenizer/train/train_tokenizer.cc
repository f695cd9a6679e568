#include "model/tokenizer/train/train_tokenizer.h"

#include <algorithm>
#include <set>

#include "base/json.h"
#include "base/status.h"
#include "model/tokenizer/byte_alphabet.h"
#include "model/tokenizer/pre_tokenizer.h"
#include "model/tokenizer/utf8.h"

namespace brisk {
namespace {

constexpr std::string_view kFamily = "deepseek-r1-qwen";  // Qwen's cuts, without normalisation
constexpr std::string_view kTurnBegin = "<|im_start|>";
constexpr std::string_view kTurnEnd = "<|im_end|>";
constexpr int32_t kVocabMax = 1 << 20;

// ChatML. Tools are listed as the task generator writes them: "Tools:", then name(argument, ...).
constexpr std::string_view kChatTemplate =
    R"({%- if tools %}
{{- '<|im_start|>system\n' }}
{%- if messages[0].role == 'system' %}
{{- messages[0].content + '\n\n' }}
{%- endif %}
{{- 'Tools:' }}
{%- for tool in tools %}
{%- set function = tool.function if tool.function else tool %}
{{- '\n' + function.name + '(' + (function.parameters.properties | list | join(', ')) + ')' }}
{%- endfor %}
{{- '<|im_end|>\n' }}
{%- endif %}
{%- for message in messages %}
{%- if not (tools and loop.first and message.role == 'system') %}
{{- '<|im_start|>' + message.role + '\n' }}
{%- if message.content %}
{{- message.content }}
{%- endif %}
{%- if message.tool_calls %}
{%- for call in message.tool_calls %}
{%- set function = call.function if call.function else call %}
{{- '<tool_call>{"name": "' + function.name + '", "arguments": ' }}
{{- function.arguments if function.arguments is string else function.arguments | tojson }}
{{- '}</tool_call>' }}
{%- endfor %}
{%- endif %}
{{- '<|im_end|>\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<|im_start|>assistant\n' }}
{%- endif %}
)";

bool has(const std::vector<std::string>& list, std::string_view text) {
  return std::find(list.begin(), list.end(), text) != list.end();
}

absl::Status check_special(const std::vector<std::string>& special) {
  std::set<std::string> seen;
  for (const std::string& token : special) {
    if (token.size() < 2) {
      return invalid_input("the special token '{}' must have at least two characters", token);
    }
    if (utf8_valid_prefix(token) != token.size()) {
      return invalid_input("a special token is not UTF-8");
    }
    if (!seen.insert(token).second) {
      return invalid_input("the special token '{}' is given twice", token);
    }
  }
  return absl::OkStatus();
}

absl::Status check_vocab_size(const TokenizerTraining& training) {
  const auto least = kByteTokens + static_cast<int32_t>(training.special.size());
  if (training.vocab_size < least) {
    return invalid_input(
        "a vocabulary of {} is too small: the {} bytes and {} special tokens take {}",
        training.vocab_size, kByteTokens, training.special.size(), least);
  }
  if (training.vocab_size > kVocabMax) {
    return invalid_input("a vocabulary of {} is larger than {}", training.vocab_size, kVocabMax);
  }
  return absl::OkStatus();
}

OrderedJson added_token(const std::string& content) {
  return {{"content", content}, {"single_word", false}, {"lstrip", false},
          {"rstrip", false},    {"normalized", false},  {"special", true}};
}

std::string make_tokenizer_json(const BpeMerges& trained, const std::vector<std::string>& special) {
  OrderedJson vocabulary = OrderedJson::object();
  auto& members = vocabulary.get_ref<OrderedJson::object_t&>();
  for (const std::string& token : trained.tokens) {
    // Appended, not looked up: an ordered object is searched from its beginning.
    members.emplace_back(printable_of_bytes(token), static_cast<int64_t>(members.size()));
  }
  OrderedJson merges = OrderedJson::array();
  for (const auto& [left, right] : trained.merges) {
    merges.push_back(printable_of_bytes(trained.tokens[static_cast<size_t>(left)]) + ' ' +
                     printable_of_bytes(trained.tokens[static_cast<size_t>(right)]));
  }
  OrderedJson added = OrderedJson::array();
  for (const std::string& token : special) {
    OrderedJson entry = {{"id", trained.tokens.size() + added.size()}};
    entry.update(added_token(token));
    added.push_back(std::move(entry));
  }
  const std::string pattern(find_pre_tokenizer_family(kFamily)->patterns.front());
  const OrderedJson cuts = {{{"type", "Split"},
                             {"pattern", {{"Regex", pattern}}},
                             {"behavior", "Isolated"},
                             {"invert", false}},
                            {{"type", "ByteLevel"},
                             {"add_prefix_space", false},
                             {"trim_offsets", false},
                             {"use_regex", false}}};
  const OrderedJson root = {{"version", "1.0"},
                            {"truncation", nullptr},
                            {"padding", nullptr},
                            {"added_tokens", added},
                            {"normalizer", nullptr},
                            {"pre_tokenizer", {{"type", "Sequence"}, {"pretokenizers", cuts}}},
                            {"post_processor", nullptr},
                            {"decoder",
                             {{"type", "ByteLevel"},
                              {"add_prefix_space", false},
                              {"trim_offsets", false},
                              {"use_regex", false}}},
                            {"model",
                             {{"type", "BPE"},
                              {"dropout", nullptr},
                              {"unk_token", nullptr},
                              {"continuing_subword_prefix", nullptr},
                              {"end_of_word_suffix", nullptr},
                              {"fuse_unk", false},
                              {"byte_fallback", false},
                              {"ignore_merges", false},
                              {"vocab", std::move(vocabulary)},
                              {"merges", std::move(merges)}}}};
  return root.dump(1) + '\n';
}

}  // namespace

std::string make_tokenizer_config(const std::vector<std::string>& special) {
  OrderedJson config = {{"add_prefix_space", false},
                        {"add_bos_token", false},
                        {"add_eos_token", false},
                        {"bos_token", nullptr},
                        {"clean_up_tokenization_spaces", false},
                        {"tokenizer_class", "PreTrainedTokenizerFast"}};
  const bool chats = has(special, kTurnBegin) && has(special, kTurnEnd);
  if (!special.empty()) {
    config["eos_token"] = chats ? std::string(kTurnEnd) : special.front();
    config["pad_token"] = special.front();
  }
  if (chats) config["chat_template"] = kChatTemplate;
  return config.dump(1) + '\n';
}

absl::StatusOr<TrainedTokenizer> train_tokenizer(const TokenizerTraining& training) {
  BRISK_RETURN_IF_ERROR(check_special(training.special));
  BRISK_RETURN_IF_ERROR(check_vocab_size(training));
  const auto tell = [&](std::string_view what, uint64_t done, uint64_t total) {
    if (training.progress) training.progress(what, done, total);
  };
  TokenizerData cuts;
  cuts.pre_tokenizer = kFamily;
  BRISK_ASSIGN_OR_RETURN(const PreTokenizer pre_tokenizer, PreTokenizer::create(cuts));
  WordCounter counter(pre_tokenizer);
  for (const std::string& path : training.corpora) {
    BRISK_RETURN_IF_ERROR(read_corpus(
        path, [&](std::string_view text) { counter.add_text(text); },
        [&](size_t done, size_t total) { tell("reading " + path, done, total); }));
  }
  if (counter.bytes() == 0) return invalid_input("the corpus has no text to learn from");
  const std::vector<WordCount> words = counter.counts();
  const int32_t merges_max =
      training.vocab_size - kByteTokens - static_cast<int32_t>(training.special.size());
  const BpeMerges trained = train_bpe(words, merges_max, training.count_min, [&](int32_t done) {
    tell("merges", static_cast<uint64_t>(done), static_cast<uint64_t>(merges_max));
  });
  const auto made = static_cast<int32_t>(trained.merges.size());
  if (made < merges_max) {
    return invalid_input(
        "the corpus ({} bytes, {} different words) allows a vocabulary of at most {}, not {}: no "
        "other pair of tokens occurs {} times in it. Give a smaller --vocab-size or more text",
        counter.bytes(), words.size(), training.vocab_size - (merges_max - made),
        training.vocab_size, training.count_min);
  }
  return TrainedTokenizer{.tokenizer_json = make_tokenizer_json(trained, training.special),
                          .tokenizer_config = make_tokenizer_config(training.special),
                          .vocab_size = training.vocab_size,
                          .texts = counter.texts(),
                          .words = static_cast<int64_t>(words.size()),
                          .bytes = counter.bytes(),
                          .tokens = trained.corpus_tokens};
}

absl::StatusOr<std::string> corpus_lines(const std::vector<std::string>& corpora) {
  std::string lines;
  for (const std::string& path : corpora) {
    BRISK_RETURN_IF_ERROR(read_corpus(
        path, [&](std::string_view text) { (lines += text) += '\n'; }, [](size_t, size_t) {}));
  }
  if (lines.find_first_not_of(" \t\r\n") == std::string::npos) {
    return invalid_input("the corpus has no text to learn from");
  }
  return lines;
}

}  // namespace brisk
