#include "model/convert/hf_tokenizer.h"

#include <algorithm>
#include <filesystem>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/status.h"
#include "model/checkpoint/gguf_model_writer.h"
#include "model/tokenizer/byte_alphabet.h"
#include "model/tokenizer/pre_tokenizer.h"

namespace brisk {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kSpace = "\xE2\x96\x81";  // U+2581

bool is_special(TokenType type) {
  return type == TokenType::kControl || type == TokenType::kUnknown;
}

Json added_tokens(const TokenizerData& data) {
  Json list = Json::array();
  for (size_t i = 0; i < data.tokens.size(); ++i) {
    if (!is_special(data.types[i]) && data.types[i] != TokenType::kUserDefined) continue;
    AddedToken flags;
    for (const AddedToken& added : data.added) {
      if (added.id == static_cast<int32_t>(i)) flags = added;
    }
    list.push_back({{"id", i},
                    {"content", data.tokens[i]},
                    {"single_word", flags.single_word},
                    {"lstrip", flags.lstrip},
                    {"rstrip", flags.rstrip},
                    {"normalized", flags.normalized},
                    {"special", is_special(data.types[i])}});
  }
  return list;
}

// BOS in front of every text, where the rules ask for it.
Json post_processor(const TokenizerData& data, bool byte_level) {
  const TokenizerRules& rules = data.rules;
  if (!rules.add_bos || rules.bos < 0) {
    if (!byte_level) return nullptr;
    return {{"type", "ByteLevel"},
            {"add_prefix_space", true},
            {"trim_offsets", false},
            {"use_regex", true}};
  }
  const std::string& bos = data.tokens[static_cast<size_t>(rules.bos)];
  const Json begin = {{"SpecialToken", {{"id", bos}, {"type_id", 0}}}};
  const Json first = {{"Sequence", {{"id", "A"}, {"type_id", 0}}}};
  const Json second = {{"Sequence", {{"id", "B"}, {"type_id", 1}}}};
  Json json = {{"type", "TemplateProcessing"}};
  json["single"] = Json::array({begin, first});
  json["pair"] = Json::array({begin, first, second});
  json["special_tokens"][bos] = {
      {"id", bos}, {"ids", Json::array({rules.bos})}, {"tokens", Json::array({bos})}};
  return json;
}

absl::StatusOr<Json> byte_level_cuts(const TokenizerData& data) {
  std::vector<std::string> patterns;
  if (const auto* family = find_pre_tokenizer_family(data.pre_tokenizer); family != nullptr) {
    patterns.assign(family->patterns.begin(), family->patterns.end());
  }
  for (const SplitStep& step : data.splits) patterns.push_back(step.pattern);
  if (patterns.empty()) return unsupported("the tokenizer's cuts have no name");
  Json steps = Json::array();
  for (const std::string& pattern : patterns) {
    steps.push_back({{"type", "Split"},
                     {"pattern", {{"Regex", pattern}}},
                     {"behavior", "Isolated"},
                     {"invert", false}});
  }
  steps.push_back({{"type", "ByteLevel"},
                   {"add_prefix_space", data.add_prefix_space},
                   {"trim_offsets", true},
                   {"use_regex", false}});
  return Json{{"type", "Sequence"}, {"pretokenizers", std::move(steps)}};
}

absl::StatusOr<Json> byte_level_json(const TokenizerData& data) {
  Json vocabulary = Json::object(), merges = Json::array();
  for (size_t i = 0; i < data.tokens.size(); ++i) {
    const bool plain = data.types[i] != TokenType::kNormal;
    vocabulary[plain ? data.tokens[i] : printable_of_bytes(data.tokens[i])] = i;
  }
  for (const auto& [left, right] : ranked_merges(data)) {
    merges.push_back(printable_of_bytes(left) + " " + printable_of_bytes(right));
  }
  const auto* family = find_pre_tokenizer_family(data.pre_tokenizer);
  const bool nfc =
      (family != nullptr && family->nfc) ||
      std::any_of(data.normalizers.begin(), data.normalizers.end(),
                  [](const auto& step) { return step.kind == NormalizerStep::Kind::kNfc; });
  BRISK_ASSIGN_OR_RETURN(Json cuts, byte_level_cuts(data));
  Json json = {{"version", "1.0"}, {"added_tokens", added_tokens(data)}};
  json["normalizer"] = nfc ? Json::object({{"type", "NFC"}}) : Json(nullptr);
  json["pre_tokenizer"] = std::move(cuts);
  json["post_processor"] = post_processor(data, true);
  json["decoder"] = {{"type", "ByteLevel"},
                     {"add_prefix_space", true},
                     {"trim_offsets", true},
                     {"use_regex", true}};
  json["model"] = {{"type", "BPE"},
                   {"byte_fallback", false},
                   {"ignore_merges", data.rules.ignore_merges},
                   {"vocab", std::move(vocabulary)},
                   {"merges", std::move(merges)}};
  return json;
}

// Every way to make a piece of two others, best pieces first: merging by these ranks is merging by
// the scores of results.
std::vector<std::pair<std::string, std::string>> merges_of_scores(const TokenizerData& data) {
  if (!data.merges.empty()) return data.merges;
  std::unordered_map<std::string_view, size_t> id_of;
  for (size_t i = 0; i < data.tokens.size(); ++i) {
    if (data.types[i] == TokenType::kNormal) id_of.emplace(data.tokens[i], i);
  }
  struct Candidate {
    float score;
    size_t left, right;
  };
  std::vector<Candidate> all;
  for (const auto& [piece, id] : id_of) {
    for (size_t cut = 1; cut < piece.size(); ++cut) {
      const auto left = id_of.find(piece.substr(0, cut)), right = id_of.find(piece.substr(cut));
      if (left == id_of.end() || right == id_of.end()) continue;
      all.push_back({data.scores[id], left->second, right->second});
    }
  }
  std::sort(all.begin(), all.end(), [](const Candidate& a, const Candidate& b) {
    return std::tuple(-a.score, a.left, a.right) < std::tuple(-b.score, b.left, b.right);
  });
  std::vector<std::pair<std::string, std::string>> merges;
  for (const Candidate& c : all) merges.emplace_back(data.tokens[c.left], data.tokens[c.right]);
  return merges;
}

Json sentence_piece_json(const TokenizerData& data) {
  Json vocabulary = Json::object(), merges = Json::array();
  for (size_t i = 0; i < data.tokens.size(); ++i) vocabulary[data.tokens[i]] = i;
  for (const auto& [left, right] : merges_of_scores(data)) merges.push_back(left + " " + right);
  Json before = Json::array(), after = Json::array();
  const Json to_symbol = {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", kSpace}};
  const Json to_space = {{"type", "Replace"}, {"pattern", {{"String", kSpace}}}, {"content", " "}};
  after = Json::array(
      {to_space, Json::object({{"type", "ByteFallback"}}), Json::object({{"type", "Fuse"}})});
  if (adds_dummy_prefix(data)) {
    before.push_back({{"type", "Prepend"}, {"prepend", kSpace}});
    after.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  }
  before.push_back(to_symbol);
  const bool has_unknown = data.rules.unknown >= 0;
  Json json = {{"version", "1.0"}, {"added_tokens", added_tokens(data)}};
  json["normalizer"] = {{"type", "Sequence"}, {"normalizers", std::move(before)}};
  json["pre_tokenizer"] = nullptr;
  json["post_processor"] = post_processor(data, false);
  json["decoder"] = {{"type", "Sequence"}, {"decoders", std::move(after)}};
  json["model"] = {
      {"type", "BPE"},
      {"byte_fallback", true},
      {"fuse_unk", true},
      {"unk_token",
       has_unknown ? Json(data.tokens[static_cast<size_t>(data.rules.unknown)]) : Json(nullptr)},
      {"vocab", std::move(vocabulary)},
      {"merges", std::move(merges)}};
  return json;
}

Json tokenizer_config(const Checkpoint& source) {
  const TokenizerData& data = source.tokenizer;
  Json json = {{"tokenizer_class", "PreTrainedTokenizerFast"},
               {"add_bos_token", data.rules.add_bos},
               {"add_eos_token", data.rules.add_eos},
               {"model_max_length", source.config.context_length}};
  const auto name = [&](const char* key, int32_t id) {
    if (id >= 0) json[key] = data.tokens[static_cast<size_t>(id)];
  };
  name("bos_token", data.rules.bos);
  name("eos_token", data.rules.eos);
  name("unk_token", data.rules.unknown);
  name("pad_token", data.rules.pad);
  return json;
}

absl::StatusOr<std::string> copy_files(const std::string& in, const std::string& out) {
  int copied = 0;
  for (const char* name : {"tokenizer.json", "tokenizer.model", "tokenizer_config.json",
                           "special_tokens_map.json", "added_tokens.json", "vocab.json",
                           "merges.txt", "chat_template.jinja", "generation_config.json"}) {
    std::error_code error;
    if (!fs::exists(fs::path(in) / name, error)) continue;
    fs::copy_file(fs::path(in) / name, fs::path(out) / name, fs::copy_options::overwrite_existing,
                  error);
    if (error) return system_error("{}/{}: cannot write: {}", out, name, error.message());
    ++copied;
  }
  return fmt::format("{} files copied", copied);
}

}  // namespace

absl::StatusOr<Json> tokenizer_json(const TokenizerData& data) {
  switch (data.kind) {
    case TokenizerKind::kNone:
      return unsupported("there is none");
    case TokenizerKind::kSentencePieceUnigram:
      return unsupported("left out: brisk writes tokenizer.json for BPE vocabularies only");
    case TokenizerKind::kByteLevelBpe:
      return byte_level_json(data);
    case TokenizerKind::kSentencePieceBpe:
      return sentence_piece_json(data);
  }
  return unsupported("there is none");
}

absl::StatusOr<std::string> write_hf_tokenizer(const std::string& in, const std::string& out,
                                               const Checkpoint& source) {
  std::error_code error;
  if (fs::is_directory(in, error)) return copy_files(in, out);
  if (!source.chat_template.empty()) {
    BRISK_RETURN_IF_ERROR(
        write_file_atomically(out + "/chat_template.jinja", source.chat_template));
  }
  const auto json = tokenizer_json(source.tokenizer);
  if (!json.ok()) return std::string(message_of(json.status()));
  BRISK_RETURN_IF_ERROR(write_file_atomically(out + "/tokenizer.json", to_text(*json)));
  BRISK_RETURN_IF_ERROR(
      write_file_atomically(out + "/tokenizer_config.json", to_text(tokenizer_config(source))));
  return std::string("tokenizer.json written");
}

}  // namespace brisk
