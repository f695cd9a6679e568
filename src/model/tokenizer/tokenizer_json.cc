#include "model/tokenizer/tokenizer_json.h"

#include <algorithm>
#include <utility>

#include "base/status.h"
#include "model/tokenizer/base64.h"
#include "model/tokenizer/pre_tokenizer.h"
#include "model/tokenizer/regex.h"
#include "model/tokenizer/vocabulary.h"

namespace brisk {
namespace {

using Behavior = SplitStep::Behavior;
using Kind = NormalizerStep::Kind;

constexpr size_t kUnusedIdsMax = 65536;
constexpr size_t kContentBytesMax = 4096;

// "pattern": {"String": ...} or {"Regex": ...}, as a regular expression.
absl::StatusOr<std::string> read_pattern(JsonView pattern) {
  if (pattern["Regex"].is_string()) return std::string(pattern["Regex"].text());
  if (pattern["String"].is_string()) return escaped_for_regex(pattern["String"].text());
  return invalid_input("a pattern is neither a string nor a regular expression");
}

absl::StatusOr<Behavior> read_behavior(std::string_view name) {
  if (name == "Isolated") return Behavior::kIsolated;
  if (name == "Removed") return Behavior::kRemoved;
  if (name == "MergedWithPrevious") return Behavior::kMergedWithPrevious;
  if (name == "MergedWithNext") return Behavior::kMergedWithNext;
  if (name == "Contiguous") return Behavior::kContiguous;
  return invalid_input("the split behavior \"{}\" does not exist", name);
}

// Spaces become U+2581 and a text gets one in front: SentencePiece's rules say the same, so that
// decoding knows about it too.
absl::Status read_replace(JsonView replace, TokenizerData* data) {
  const JsonView pattern = replace["pattern"];
  const std::string_view content = replace["content"].text();
  if (content.size() > kContentBytesMax) {
    return invalid_input("a replacement of {} bytes is longer than {}", content.size(),
                         kContentBytesMax);
  }
  if (pattern["String"].text() == " " && content == kSpaceSymbol) {
    data->rules.escape_whitespaces = true;
    return absl::OkStatus();
  }
  NormalizerStep step{.kind = Kind::kReplace, .content = std::string(content)};
  if (pattern["String"].is_string()) {
    step.pattern = pattern["String"].text();
  } else {
    step.kind = Kind::kReplaceRegex;
    BRISK_ASSIGN_OR_RETURN(step.pattern, read_pattern(pattern));
  }
  data->normalizers.push_back(std::move(step));
  return absl::OkStatus();
}

absl::Status read_prepend(std::string_view content, TokenizerData* data) {
  if (content == kSpaceSymbol) {
    data->rules.add_dummy_prefix = true;
    return absl::OkStatus();
  }
  if (content.size() > kContentBytesMax) return invalid_input("the prepended text is too long");
  data->normalizers.push_back({.kind = Kind::kPrepend, .content = std::string(content)});
  return absl::OkStatus();
}

absl::Status read_precompiled(JsonView normalizer, TokenizerData* data) {
  if (!decode_base64(normalizer["precompiled_charsmap"].text(), &data->charsmap)) {
    return invalid_input("the precompiled normalizer is not base64");
  }
  data->normalizers.push_back({.kind = Kind::kCharsmap});
  return absl::OkStatus();
}

absl::Status read_metaspace(JsonView metaspace, TokenizerData* data) {
  if (metaspace["replacement"].text(kSpaceSymbol) != kSpaceSymbol) {
    return unsupported("a Metaspace pre-tokenizer with another replacement than U+2581");
  }
  TokenizerRules& rules = data->rules;
  const bool after_whitespace_split = !data->splits.empty() &&
                                      data->splits.back().behavior == Behavior::kRemoved &&
                                      data->splits.back().pattern == R"(\s+)";
  if (after_whitespace_split) {
    // Every word gets its own U+2581: the same as one space between any two.
    data->splits.pop_back();
    data->normalizers.push_back({.kind = Kind::kReplaceRegex, .pattern = R"(\s+)", .content = " "});
    rules.remove_extra_whitespaces = true;
  }
  rules.escape_whitespaces = true;
  const bool adds = metaspace["add_prefix_space"].boolean(true);
  const std::string_view scheme = metaspace["prepend_scheme"].text(adds ? "always" : "never");
  rules.add_dummy_prefix |= scheme != "never";
  rules.prefix_first_only = scheme == "first";
  rules.prefix_if_missing = true;
  if (metaspace["split"].boolean(true)) {
    data->splits.push_back(
        {.pattern = std::string(kSpaceSymbol), .behavior = Behavior::kMergedWithNext});
  }
  return absl::OkStatus();
}

absl::Status read_split(JsonView split, TokenizerData* data) {
  SplitStep step;
  BRISK_ASSIGN_OR_RETURN(step.pattern, read_pattern(split["pattern"]));
  BRISK_ASSIGN_OR_RETURN(step.behavior, read_behavior(split["behavior"].text()));
  step.invert = split["invert"].boolean(false);
  data->splits.push_back(std::move(step));
  return absl::OkStatus();
}

void read_byte_level(JsonView byte_level, TokenizerData* data) {
  data->add_prefix_space |= byte_level["add_prefix_space"].boolean(true);
  if (!byte_level["use_regex"].boolean(true)) return;
  const PreTokenizerFamily* gpt2 = find_pre_tokenizer_family("gpt-2");
  data->splits.push_back({.pattern = std::string(gpt2->patterns.front())});
}

constexpr std::string_view kPunctuation = R"([\p{P}!-/:-@\[-`{-~])";

absl::Status read_simple_split(std::string_view type, JsonView value, TokenizerData* data) {
  std::vector<SplitStep>& splits = data->splits;
  if (type == "Digits") {
    const bool individual = value["individual_digits"].boolean(false);
    splits.push_back({.pattern = R"(\p{N})",
                      .behavior = individual ? Behavior::kIsolated : Behavior::kContiguous});
  } else if (type == "Punctuation") {
    BRISK_ASSIGN_OR_RETURN(const Behavior behavior,
                           read_behavior(value["behavior"].text("Isolated")));
    splits.push_back({.pattern = std::string(kPunctuation), .behavior = behavior});
  } else if (type == "Whitespace") {
    splits.push_back(
        {.pattern = R"(\w+|[^\w\s]+)", .behavior = Behavior::kRemoved, .invert = true});
  } else if (type == "WhitespaceSplit") {
    splits.push_back({.pattern = R"(\s+)", .behavior = Behavior::kRemoved});
  } else if (type == "BertPreTokenizer") {
    splits.push_back({.pattern = R"(\s+)", .behavior = Behavior::kRemoved});
    splits.push_back({.pattern = std::string(kPunctuation)});
  } else if (type == "CharDelimiterSplit") {
    splits.push_back(
        {.pattern = escaped_for_regex(value["delimiter"].text()), .behavior = Behavior::kRemoved});
  } else {
    return unsupported("the pre-tokenizer \"{}\"", type);
  }
  return absl::OkStatus();
}

absl::Status too_deep() {
  return invalid_input("sequences are nested deeper than {}", kSequenceDepthMax);
}

// Calls read(item) for every item of a sequence until one fails.
template <class Read>
absl::Status read_sequence(JsonView items, Read read) {
  absl::Status status;
  items.for_each_item([&](JsonView item) {
    if (status.ok()) status = read(item);
  });
  return status;
}

// The ids of a special token in a template.
absl::Status add_template_token(JsonView processor, std::string_view name,
                                std::vector<int32_t>* ids) {
  const JsonView token = processor["special_tokens"][name]["ids"];
  if (!token.is_array()) return invalid_input("the template's token \"{}\" has no ids", name);
  return read_sequence(token, [ids](JsonView id) -> absl::Status {
    const int64_t value = id.integer(-1);
    if (value < 0 || value > INT32_MAX || ids->size() == 64) {
      return invalid_input("a token of the template has no usable id");
    }
    ids->push_back(static_cast<int32_t>(value));
    return absl::OkStatus();
  });
}

absl::Status read_template(JsonView processor, TokenizerData* data) {
  TokenizerRules& rules = data->rules;
  bool after_text = false;
  return read_sequence(processor["single"], [&](JsonView item) -> absl::Status {
    if (item["Sequence"].exists()) {
      after_text = true;
      return absl::OkStatus();
    }
    return add_template_token(processor, item["SpecialToken"]["id"].text(),
                              after_text ? &rules.suffix : &rules.prefix);
  });
}

// "cls": ["<s>", 0] and "sep" of the processors named after BERT and RoBERTa.
absl::Status read_bert_processor(JsonView processor, TokenizerData* data) {
  const auto id_of = [&](const char* name) {
    int64_t id = -1;
    processor[name].for_each_item([&](JsonView item) { id = item.integer(id); });
    return id >= 0 && id <= INT32_MAX ? static_cast<int32_t>(id) : -1;
  };
  const int32_t cls = id_of("cls");
  const int32_t sep = id_of("sep");
  if (cls < 0 || sep < 0) return invalid_input("the post-processor's cls or sep has no id");
  data->rules.prefix = {cls};
  data->rules.suffix = {sep};
  return absl::OkStatus();
}

}  // namespace

absl::Status read_json_normalizer(JsonView normalizer, TokenizerData* data, int depth) {
  if (normalizer.is_null()) return absl::OkStatus();
  if (depth > kSequenceDepthMax) return too_deep();
  const std::string_view type = normalizer["type"].text();
  if (type == "Sequence") {
    return read_sequence(normalizer["normalizers"], [&](JsonView item) {
      return read_json_normalizer(item, data, depth + 1);
    });
  }
  if (type == "Replace") return read_replace(normalizer, data);
  if (type == "Prepend") return read_prepend(normalizer["prepend"].text(), data);
  if (type == "Precompiled") return read_precompiled(normalizer, data);
  std::vector<NormalizerStep>& steps = data->normalizers;
  if (type == "NFC") {
    steps.push_back({.kind = Kind::kNfc});
  } else if (type == "NFD") {
    steps.push_back({.kind = Kind::kNfd});
  } else if (type == "NFKC") {
    steps.push_back({.kind = Kind::kNfkc});
  } else if (type == "NFKD") {
    steps.push_back({.kind = Kind::kNfkd});
  } else if (type == "Lowercase") {
    steps.push_back({.kind = Kind::kLowercase});
  } else if (type == "StripAccents") {
    steps.push_back({.kind = Kind::kStripAccents});
  } else if (type == "Strip") {
    if (normalizer["strip_left"].boolean(true)) steps.push_back({.kind = Kind::kStripLeft});
    if (normalizer["strip_right"].boolean(true)) steps.push_back({.kind = Kind::kStripRight});
  } else {
    return unsupported("the normalizer \"{}\"", type);
  }
  return absl::OkStatus();
}

absl::Status read_json_pre_tokenizer(JsonView pre_tokenizer, TokenizerData* data, bool* byte_level,
                                     int depth) {
  if (pre_tokenizer.is_null()) return absl::OkStatus();
  if (depth > kSequenceDepthMax) return too_deep();
  const std::string_view type = pre_tokenizer["type"].text();
  if (type == "Sequence") {
    return read_sequence(pre_tokenizer["pretokenizers"], [&](JsonView item) {
      return read_json_pre_tokenizer(item, data, byte_level, depth + 1);
    });
  }
  if (type == "Split") return read_split(pre_tokenizer, data);
  if (type == "Metaspace") return read_metaspace(pre_tokenizer, data);
  if (type == "ByteLevel") {
    *byte_level = true;
    read_byte_level(pre_tokenizer, data);
    return absl::OkStatus();
  }
  return read_simple_split(type, pre_tokenizer, data);
}

absl::Status read_json_post_processor(JsonView post_processor, TokenizerData* data, int depth) {
  if (post_processor.is_null()) return absl::OkStatus();
  if (depth > kSequenceDepthMax) return too_deep();
  const std::string_view type = post_processor["type"].text();
  if (type == "Sequence") {
    return read_sequence(post_processor["processors"], [&](JsonView item) {
      return read_json_post_processor(item, data, depth + 1);
    });
  }
  if (type == "ByteLevel") return absl::OkStatus();  // it only moves offsets
  if (type == "TemplateProcessing") return read_template(post_processor, data);
  if (type == "BertProcessing" || type == "RobertaProcessing") {
    return read_bert_processor(post_processor, data);
  }
  return unsupported("the post-processor \"{}\"", type);
}

absl::Status put_token(int64_t id, std::string text, TokenType type, TokenizerData* data) {
  if (id < 0 || static_cast<size_t>(id) >= data->tokens.size() + kUnusedIdsMax) {
    return invalid_input("the token \"{}\" has the id {}, which is out of range", text, id);
  }
  const auto at = static_cast<size_t>(id);
  if (at >= data->tokens.size()) {
    data->tokens.resize(at + 1);
    data->types.resize(at + 1, TokenType::kUnused);
    if (!data->scores.empty()) data->scores.resize(at + 1, 0.0F);
  }
  data->tokens[at] = std::move(text);
  data->types[at] = type;
  return absl::OkStatus();
}

int32_t find_token(const TokenizerData& data, std::string_view text) {
  const auto it = std::find(data.tokens.rbegin(), data.tokens.rend(), text);
  return it == data.tokens.rend() ? -1 : static_cast<int32_t>(data.tokens.rend() - it) - 1;
}

}  // namespace brisk
