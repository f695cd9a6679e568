#include "model/checkpoint/gguf_model_writer.h"

#include <algorithm>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/status.h"
#include "model/tokenizer/byte_alphabet.h"
#include "model/tokenizer/pre_tokenizer.h"

namespace brisk {
namespace {

// Writes keys of one architecture; what the configuration does not say is left out.
class Keys {
 public:
  Keys(GgufHeader& header, std::string architecture)
      : header_(header), architecture_(std::move(architecture)) {}

  void size(std::string_view key, int64_t value) {
    if (value > 0) header_.u32(name_of(key), static_cast<uint32_t>(value));
  }

  void zero(std::string_view key) { header_.u32(name_of(key), 0); }

  void number(std::string_view key, double value) {
    if (value != 0) header_.f32(name_of(key), static_cast<float>(value));
  }

  void text(std::string_view key, std::string_view value) { header_.text(name_of(key), value); }

  void boolean(std::string_view key, bool value) { header_.boolean(name_of(key), value); }

 private:
  std::string name_of(std::string_view key) const {
    return fmt::format("{}.{}", architecture_, key);
  }

  GgufHeader& header_;
  const std::string architecture_;
};

void put_rope(const ModelConfig& config, Keys& keys) {
  const RopeScaling& scaling = config.rope_scaling;
  keys.number("rope.freq_base", config.rope_theta);
  keys.size("rope.dimension_count", config.rotary_dim > 0 ? config.rotary_dim : config.head_dim);
  switch (scaling.kind) {
    case RopeScaling::Kind::kNone:
    case RopeScaling::Kind::kLlama3:
      break;
    case RopeScaling::Kind::kLinear:
      keys.text("rope.scaling.type", "linear");
      keys.number("rope.scaling.factor", scaling.factor);
      break;
    case RopeScaling::Kind::kLongRope:
      // No factor: readers would divide positions by it, on top of the factors in tensors.
      keys.text("rope.scaling.type", "longrope");
      break;
    case RopeScaling::Kind::kYarn:
      keys.text("rope.scaling.type", "yarn");
      keys.number("rope.scaling.factor", scaling.factor);
      break;
  }
  const bool stretched =
      scaling.kind == RopeScaling::Kind::kLongRope || scaling.kind == RopeScaling::Kind::kYarn;
  if (!stretched && config.architecture != "phi3") return;
  keys.size("rope.scaling.original_context_length", scaling.original_context_length);
  keys.number("rope.scaling.attn_factor", scaling.attention_factor);
}

void put_norms(const ModelConfig& config, Keys& keys) {
  if (config.architecture == "gpt2") {
    keys.number("attention.layer_norm_epsilon", config.norm_eps);
    return;
  }
  const bool bitnet = config.architecture == "bitnet";
  keys.number("attention.layer_norm_rms_epsilon", bitnet ? kBitnetNormEps : config.norm_eps);
  if (bitnet) keys.number("final_norm_epsilon", config.norm_eps);
}

void put_model(const ModelConfig& config, GgufHeader& header) {
  header.text("general.architecture", config.architecture);
  if (!config.name.empty()) header.text("general.name", config.name);
  header.u32("general.quantization_version", 2);
  Keys keys(header, config.architecture);
  keys.size("vocab_size", config.vocab_size);
  keys.size("context_length", config.context_length);
  keys.size("embedding_length", config.hidden_size);
  keys.size("block_count", config.layers);
  keys.size("feed_forward_length", config.ffn_size);
  keys.size("attention.head_count", config.heads);
  keys.size("attention.head_count_kv", config.kv_heads);
  if (config.heads > 0 && config.head_dim != config.hidden_size / config.heads) {
    keys.size("attention.key_length", config.head_dim);
    keys.size("attention.value_length", config.head_dim);
  }
  put_norms(config, keys);
  keys.number("attention.scale", config.attention_scale);
  keys.size("attention.sliding_window", config.sliding_window);
  // Early readers of phi3 ask for it even where there is none.
  if (config.architecture == "phi3" && config.sliding_window == 0) {
    keys.zero("attention.sliding_window");
  }
  keys.number("attn_logit_softcapping", config.attention_softcap);
  keys.number("final_logit_softcapping", config.final_softcap);
  if (config.architecture != "gpt2") put_rope(config, keys);
  if (config.experts == 0) return;
  keys.size("expert_count", config.experts);
  keys.size("expert_used_count", config.experts_per_token);
  keys.size("expert_feed_forward_length", config.expert_ffn_size);
  keys.size("expert_shared_feed_forward_length", config.shared_expert_ffn_size);
  if (config.normalize_expert_weights.has_value()) {
    keys.boolean("expert_weights_norm", *config.normalize_expert_weights);
  }
}

int32_t number_of(TokenType type) {
  switch (type) {
    case TokenType::kNormal:
      return 1;
    case TokenType::kUnknown:
      return 2;
    case TokenType::kControl:
      return 3;
    case TokenType::kUserDefined:
      return 4;
    case TokenType::kUnused:
      return 5;
    case TokenType::kByte:
      return 6;
  }
  return 1;
}

// The family whose cuts a tokenizer.json spells out. Errors: Unimplemented when there is none.
absl::StatusOr<std::string> family_of(const TokenizerData& data) {
  if (!data.pre_tokenizer.empty()) return data.pre_tokenizer;
  const bool nfc = std::any_of(data.normalizers.begin(), data.normalizers.end(),
                               [](const auto& s) { return s.kind == NormalizerStep::Kind::kNfc; });
  for (const PreTokenizerFamily& family : pre_tokenizer_families()) {
    const bool same_cuts = std::equal(
        family.patterns.begin(), family.patterns.end(), data.splits.begin(), data.splits.end(),
        [](std::string_view pattern, const SplitStep& step) { return pattern == step.pattern; });
    if (same_cuts && family.nfc == nfc && family.ignore_merges == data.rules.ignore_merges) {
      return std::string(family.names.front());
    }
  }
  return unsupported(
      "the tokenizer cuts text in a way that GGUF has no name for; brisk cannot write it there");
}

// The pair that byte-level BPE merges last to make `token`, when only tokens ranked before it
// exist. Empty when it cannot be made.
std::pair<std::string, std::string> last_merge(
    const std::string& token, size_t rank, const std::unordered_map<std::string, size_t>& rank_of) {
  std::vector<std::string> parts;
  for (const char byte : token) parts.emplace_back(1, byte);
  while (parts.size() > 2) {
    size_t best = 0, best_rank = rank;
    for (size_t i = 0; i + 1 < parts.size(); ++i) {
      const auto found = rank_of.find(parts[i] + parts[i + 1]);
      if (found != rank_of.end() && found->second < best_rank) {
        best = i;
        best_rank = found->second;
      }
    }
    if (best_rank == rank) return {};
    parts[best] += parts[best + 1];
    parts.erase(parts.begin() + static_cast<ptrdiff_t>(best) + 1);
  }
  return {parts.front(), parts.back()};
}

absl::Status put_byte_level(const TokenizerData& data, GgufHeader& header) {
  BRISK_ASSIGN_OR_RETURN(const std::string family, family_of(data));
  header.text("tokenizer.ggml.model", "gpt2");
  header.text("tokenizer.ggml.pre", family);
  std::vector<std::string> texts;
  for (size_t i = 0; i < data.tokens.size(); ++i) {
    const bool plain = data.types[i] != TokenType::kNormal;
    texts.push_back(plain ? data.tokens[i] : printable_of_bytes(data.tokens[i]));
  }
  header.texts("tokenizer.ggml.tokens", texts);
  texts.clear();
  for (const auto& [left, right] : ranked_merges(data)) {
    texts.push_back(printable_of_bytes(left) + " " + printable_of_bytes(right));
  }
  header.texts("tokenizer.ggml.merges", texts);
  return absl::OkStatus();
}

// A tokenizer.json ranks merges of SentencePiece vocabularies; GGUF scores tokens instead.
std::vector<float> scores_of(const TokenizerData& data) {
  if (data.scores.size() == data.tokens.size()) return data.scores;
  std::unordered_map<std::string, float> score_of;
  for (size_t i = 0; i < data.merges.size(); ++i) {
    score_of.emplace(data.merges[i].first + data.merges[i].second, -static_cast<float>(i));
  }
  const float last = -static_cast<float>(data.merges.size());
  std::vector<float> scores;
  for (const std::string& token : data.tokens) {
    const auto found = score_of.find(token);
    scores.push_back(found == score_of.end() ? last : found->second);
  }
  return scores;
}

void put_sentence_piece(const TokenizerData& data, GgufHeader& header) {
  const bool unigram = data.kind == TokenizerKind::kSentencePieceUnigram;
  header.text("tokenizer.ggml.model", unigram ? "t5" : "llama");
  header.text("tokenizer.ggml.pre", "default");
  header.texts("tokenizer.ggml.tokens", data.tokens);
  header.floats("tokenizer.ggml.scores", scores_of(data));
  header.boolean("tokenizer.ggml.add_space_prefix", adds_dummy_prefix(data));
  header.boolean("tokenizer.ggml.remove_extra_whitespaces", data.rules.remove_extra_whitespaces);
  if (!data.charsmap.empty()) header.bytes("tokenizer.ggml.precompiled_charsmap", data.charsmap);
}

absl::Status put_tokenizer(const TokenizerData& data, GgufHeader& header) {
  if (data.kind == TokenizerKind::kByteLevelBpe) {
    BRISK_RETURN_IF_ERROR(put_byte_level(data, header));
  } else {
    put_sentence_piece(data, header);
  }
  std::vector<int32_t> types;
  types.reserve(data.types.size());
  for (const TokenType type : data.types) types.push_back(number_of(type));
  header.i32s("tokenizer.ggml.token_type", types);
  const auto put_id = [&header](std::string_view key, int32_t id) {
    if (id >= 0) header.u32(fmt::format("tokenizer.ggml.{}", key), static_cast<uint32_t>(id));
  };
  const TokenizerRules& rules = data.rules;
  put_id("bos_token_id", rules.bos);
  put_id("eos_token_id", rules.eos);
  put_id("unknown_token_id", rules.unknown);
  put_id("padding_token_id", rules.pad);
  // GGUF has room for two more ends: of a turn and of a message.
  const char* const kEndKeys[] = {"eot_token_id", "eom_token_id"};
  size_t used = 0;
  for (const int32_t id : rules.end_of_generation) {
    if (id != rules.eos && used < std::size(kEndKeys)) put_id(kEndKeys[used++], id);
  }
  header.boolean("tokenizer.ggml.add_bos_token", rules.add_bos);
  header.boolean("tokenizer.ggml.add_eos_token", rules.add_eos);
  return absl::OkStatus();
}

}  // namespace

std::vector<std::pair<std::string, std::string>> ranked_merges(const TokenizerData& data) {
  if (!data.merges.empty()) return data.merges;
  std::unordered_map<std::string, size_t> rank_of;
  for (size_t i = 0; i < data.tokens.size(); ++i) {
    if (data.types[i] == TokenType::kNormal) rank_of.emplace(data.tokens[i], i);
  }
  std::vector<std::pair<std::string, std::string>> merges;
  for (size_t i = 0; i < data.tokens.size(); ++i) {
    constexpr size_t kMergedBytesMax = 1024;  // longer ones are not merged from text anyway
    const std::string& token = data.tokens[i];
    if (data.types[i] != TokenType::kNormal || token.size() < 2) continue;
    if (token.size() > kMergedBytesMax) continue;
    auto merge = last_merge(token, i, rank_of);
    if (!merge.first.empty()) merges.push_back(std::move(merge));
  }
  return merges;
}

bool adds_dummy_prefix(const TokenizerData& data) {
  return data.rules.add_dummy_prefix ||
         std::any_of(data.normalizers.begin(), data.normalizers.end(), [](const auto& step) {
           return step.kind == NormalizerStep::Kind::kPrepend && step.content == "\xE2\x96\x81";
         });
}

absl::StatusOr<GgufHeader> gguf_header(const ModelConfig& config, const TokenizerData& tokenizer,
                                       std::string_view chat_template) {
  GgufHeader header;
  put_model(config, header);
  if (tokenizer.kind != TokenizerKind::kNone) {
    BRISK_RETURN_IF_ERROR(put_tokenizer(tokenizer, header));
  }
  if (!chat_template.empty()) header.text("tokenizer.chat_template", chat_template);
  return header;
}

}  // namespace brisk
