// brisk inspect: what is in a checkpoint, and whether brisk runs it.
#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "apps/command.h"
#include "apps/table.h"
#include "base/json.h"
#include "base/status.h"
#include "base/units.h"
#include "compress/report/quality_json.h"
#include "compress/report/quality_text.h"
#include "compute/kernels/cpu/kernel_table.h"
#include "compute/quant/format.h"
#include "compute/quant/scaled_codes.h"
#include "model/arch/architecture.h"
#include "model/checkpoint/checkpoint.h"
#include "model/checkpoint/quality_report.h"
#include "model/checkpoint/tensor_table.h"
#include "model/choose_sparse.h"
#include "model/low_rank.h"
#include "model/model.h"
#include "model/tokenizer/utf8.h"

namespace brisk {
namespace {

constexpr size_t kShownBytesMax = 1000;  // of anything that a file says

// Formats of the KV cache, of which others are as large.
constexpr std::pair<const char*, KvElement> kKvShown[] = {
    {"f32", KvElement::kF32},
    {"bf16", KvElement::kBF16},
    {"int8", KvElement::kInt8},
    {"int4", KvElement::kInt4},
};

struct Options {
  std::string path;
  std::string tokenizer;
  bool json = false;
  bool tensors = false;
};

uint64_t bytes_of_tensor(const Tensor& tensor) {
  const auto side = static_cast<uint64_t>(tensor.scaled != nullptr ? tensor.scaled->side_bytes : 0);
  return tensor.data.size() + tensor.scales.size_bytes() + side;
}

// What the tensors of one format take together.
struct FormatShare {
  int64_t tensors = 0;
  int64_t values = 0;
  uint64_t bytes = 0;
};

struct Summary {
  std::map<std::string, FormatShare> formats;
  FormatShare total;
  uint64_t file_bytes = 0;
  std::string refusal;  // why brisk cannot run it; empty when it can
  int64_t matrices = 0;
  int64_t sparse_matrices = 0;  // that would run sparse here
};

std::string format_name(const Tensor& tensor) {
  if (tensor.scaled != nullptr) return describe(*tensor.scaled, tensor.shape.front());
  const std::string name(format_of(tensor.dtype).name);
  if (!tensor.is_packed()) return name;
  return name + (tensor.panels ? " panels" : " tiles");
}

Summary summarise(const Options& options, const std::shared_ptr<const Checkpoint>& checkpoint,
                  const KernelTable& kernels, SparseChoice choice) {
  Summary summary;
  for (const NamedTensor& named : checkpoint->tensors) {
    for (FormatShare* share : {&summary.formats[format_name(named.tensor)], &summary.total}) {
      ++share->tensors;
      share->values += named.tensor.values();
      share->bytes += bytes_of_tensor(named.tensor);
    }
  }
  for (const NamedTensor& named : checkpoint->tensors) {
    if (named.tensor.shape.size() < 2) continue;
    ++summary.matrices;
    summary.sparse_matrices += choose_sparse(named.tensor, kernels, choice) ? 1 : 0;
  }
  for (const MappedFile& file : checkpoint->files) summary.file_bytes += file.bytes().size();
  if (const auto architecture = find_architecture(checkpoint->config); !architecture.ok()) {
    summary.refusal = message_of(architecture.status());
  } else if (checkpoint->tensors.empty()) {
    summary.refusal = "it has no tensors";
  } else {
    const LoadOptions as_it_lies = {.tokenizer_path = "", .activations = Activations::kF32};
    const auto model = make_model(checkpoint, options.path, as_it_lies);
    if (!model.ok()) summary.refusal = message_of(model.status());
  }
  return summary;
}

std::string_view layout_name(Layout layout) {
  switch (layout) {
    case Layout::kGguf:
      return "GGUF";
    case Layout::kHuggingFace:
      return "Hugging Face";
    case Layout::kLlama2c:
      return "llama2.c";
  }
  return "";
}

std::string_view kind_name(TokenizerKind kind) {
  switch (kind) {
    case TokenizerKind::kNone:
      return "none";
    case TokenizerKind::kSentencePieceBpe:
      return "SentencePiece BPE";
    case TokenizerKind::kSentencePieceUnigram:
      return "SentencePiece unigram";
    case TokenizerKind::kByteLevelBpe:
      return "byte-level BPE";
  }
  return "";
}

std::string_view scaling_name(RopeScaling::Kind kind) {
  switch (kind) {
    case RopeScaling::Kind::kNone:
      return "";
    case RopeScaling::Kind::kLinear:
      return "linear";
    case RopeScaling::Kind::kLlama3:
      return "llama3";
    case RopeScaling::Kind::kLongRope:
      return "longrope";
    case RopeScaling::Kind::kYarn:
      return "yarn";
  }
  return "";
}

std::string rope_text(const Checkpoint& checkpoint) {
  const ModelConfig& config = checkpoint.config;
  if (config.rope_theta == 0) return "";
  std::string text = fmt::format("theta {:g}", config.rope_theta);
  if (config.rope_theta_local > 0) text += fmt::format(" (local {:g})", config.rope_theta_local);
  if (config.rope_scaling.kind != RopeScaling::Kind::kNone) {
    text += fmt::format(", {} scaling by {:g}", scaling_name(config.rope_scaling.kind),
                        config.rope_scaling.factor);
  } else if (checkpoint.find("rope_freqs.weight") != nullptr) {
    text += ", llama3 scaling (rope_freqs)";
  }
  return text;
}

std::string tokenizer_text(const TokenizerData& tokenizer) {
  if (tokenizer.kind == TokenizerKind::kNone) return "none";
  std::string text =
      fmt::format("{}, {} tokens", kind_name(tokenizer.kind), tokenizer.tokens.size());
  if (!tokenizer.pre_tokenizer.empty()) text += fmt::format(", cut as {}", tokenizer.pre_tokenizer);
  const auto named = [&](std::string_view what, int32_t id) {
    if (id < 0 || static_cast<size_t>(id) >= tokenizer.tokens.size()) return;
    text += fmt::format(", {} {} \"{}\"", what, id, tokenizer.tokens[static_cast<size_t>(id)]);
  };
  named("bos", tokenizer.rules.bos);
  named("eos", tokenizer.rules.eos);
  return text;
}

// Of projections that are two factors, without ".weight".
std::vector<std::pair<std::string_view, int64_t>> ranks_of(const Checkpoint& checkpoint) {
  std::vector<std::pair<std::string_view, int64_t>> ranks;
  for (const auto& [name, tensor] : checkpoint.tensors) {
    if (!is_factor(name, Factor::kA) || tensor.shape.empty()) continue;
    ranks.emplace_back(std::string_view(name).substr(0, name.rfind(".low_rank_a")),
                       tensor.shape.front());
  }
  return ranks;
}

std::string low_rank_text(const Checkpoint& checkpoint) {
  const auto ranks = ranks_of(checkpoint);
  if (ranks.empty()) return "";
  const auto by_rank = [](const auto& a, const auto& b) { return a.second < b.second; };
  const auto [least, most] = std::minmax_element(ranks.begin(), ranks.end(), by_rank);
  return fmt::format("{} matrices are products of two, of rank {} to {}", ranks.size(),
                     least->second, most->second);
}

Json ranks_json(const Checkpoint& checkpoint) {
  Json ranks = Json::object();
  for (const auto& [name, rank] : ranks_of(checkpoint)) ranks[std::string(name)] = rank;
  return ranks;
}

// Name and value of everything worth a line; empty values are left out.
// What a token takes of the KV cache in its formats. REQUIRES: brisk runs the model.
int64_t kv_token_bytes(const ModelConfig& config, KvElement element) {
  const KvHeadBytes bytes = kv_head_bytes(element, config.head_dim);
  return config.layers * config.kv_heads * (bytes.keys + bytes.values) / kKvBlockTokens;
}

std::string kv_text(const ModelConfig& config) {
  std::string text;
  for (const auto& [name, element] : kKvShown) {
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", name,
                        human_bytes(static_cast<uint64_t>(kv_token_bytes(config, element))));
  }
  return text + " a token";
}

std::vector<std::pair<std::string, std::string>> facts(const Options& options,
                                                       const Checkpoint& checkpoint,
                                                       const Summary& summary) {
  const ModelConfig& config = checkpoint.config;
  const auto count = [](int64_t value) { return value > 0 ? fmt::format("{}", value) : ""; };
  std::string experts;
  if (config.experts > 0) {
    experts = fmt::format("{}, {} a token, width {}", config.experts, config.experts_per_token,
                          config.expert_ffn_size);
    if (config.shared_expert_ffn_size > 0) {
      experts += fmt::format(", one shared of width {}", config.shared_expert_ffn_size);
    }
  }
  std::string tied;
  if (!checkpoint.tensors.empty() && config.tied_embeddings.has_value()) {
    tied = *config.tied_embeddings ? "yes" : "no";
  }
  std::vector<std::pair<std::string, std::string>> all = {
      {"file", options.path},
      {"layout", std::string(layout_name(config.layout))},
      {"architecture", config.architecture},
      {"name", config.name},
      {"size", fmt::format("{} in {} file{}", human_bytes(summary.file_bytes),
                           checkpoint.files.size(), checkpoint.files.size() == 1 ? "" : "s")},
      {"parameters", human_count(static_cast<double>(summary.total.values))},
      {"layers", count(config.layers)},
      {"hidden size", count(config.hidden_size)},
      {"heads", config.heads > 0 ? fmt::format("{}, {} for keys and values, of size {}",
                                               config.heads, config.kv_heads, config.head_dim)
                                 : ""},
      {"feed-forward", count(config.ffn_size)},
      {"experts", experts},
      {"vocabulary", count(config.vocab_size)},
      {"context", count(config.context_length)},
      {"sliding window", count(config.sliding_window)},
      {"KV cache", summary.refusal.empty() ? kv_text(config) : ""},
      {"rope", rope_text(checkpoint)},
      {"tied head", tied},
      {"sparse", summary.sparse_matrices > 0
                     ? fmt::format("{} of {} matrices have enough zeros to run sparse here",
                                   summary.sparse_matrices, summary.matrices)
                     : ""},
      {"low rank", low_rank_text(checkpoint)},
      {"tokenizer", tokenizer_text(checkpoint.tokenizer)},
      {"chat template", checkpoint.chat_template.empty()
                            ? "none"
                            : fmt::format("{} characters", checkpoint.chat_template.size())},
      {"brisk runs it", summary.refusal.empty() ? "yes" : "no: " + summary.refusal},
  };
  std::erase_if(all, [](const auto& fact) { return fact.second.empty(); });
  return all;
}

std::string formats_table(const Summary& summary) {
  std::vector<std::vector<std::string>> rows = {
      {"format", "tensors", "values", "bytes", "share", "bits/value"}};
  const auto add = [&](std::string_view name, const FormatShare& share) {
    const double bytes = static_cast<double>(share.bytes);
    const double total = static_cast<double>(std::max<uint64_t>(summary.total.bytes, 1));
    const double values = static_cast<double>(std::max<int64_t>(share.values, 1));
    rows.push_back({std::string(name), fmt::format("{}", share.tensors),
                    human_count(static_cast<double>(share.values)), human_bytes(share.bytes),
                    fmt::format("{:.1f} %", 100 * bytes / total),
                    fmt::format("{:.2f}", 8 * bytes / values)});
  };
  for (const auto& [name, share] : summary.formats) add(name, share);
  if (summary.formats.size() > 1) add("all", summary.total);
  using enum Align;
  return table(rows, {kLeft, kRight, kRight, kRight, kRight, kRight});
}

std::string tensors_table(const Checkpoint& checkpoint) {
  std::vector<std::vector<std::string>> rows = {{"tensor", "shape", "format", "bytes"}};
  for (const auto& [name, tensor] : checkpoint.tensors) {
    rows.push_back({utf8_printable(name, kShownBytesMax), shape_text(tensor.shape),
                    format_name(tensor), fmt::format("{}", bytes_of_tensor(tensor))});
  }
  return table(rows, {Align::kLeft, Align::kLeft, Align::kLeft, Align::kRight});
}

// What its maker measured of it: a claim of the file, like all else in it.
void print_quality(const Checkpoint& checkpoint) {
  const std::string_view text = quality_report_of(checkpoint);
  if (text.empty()) return;
  const auto json = parse_json(text);
  const auto report = json.ok() ? quality_of_json(*json) : json.status();
  fmt::print("\nquality, as its maker measured it\n");
  if (!report.ok()) {
    fmt::print("brisk cannot read it: {}\n",
               utf8_printable(message_of(report.status()), kShownBytesMax));
    return;
  }
  for (const auto& [name, value] : quality_facts(*report)) {
    fmt::print("{:<16} {}\n", utf8_printable(name, kShownBytesMax),
               utf8_printable(value, kShownBytesMax));
  }
}

void print_text(const Options& options, const Checkpoint& checkpoint, const Summary& summary) {
  for (const auto& [name, value] : facts(options, checkpoint, summary)) {
    fmt::print("{:<14} {}\n", name, utf8_printable(value, kShownBytesMax));
  }
  if (!checkpoint.tensors.empty()) fmt::print("\n{}", formats_table(summary));
  print_quality(checkpoint);
  if (options.tensors) fmt::print("\n{}", tensors_table(checkpoint));
}

Json tensors_json(const Checkpoint& checkpoint) {
  Json list = Json::array();
  for (const auto& [name, tensor] : checkpoint.tensors) {
    list.push_back({{"name", name},
                    {"shape", tensor.shape},
                    {"format", format_name(tensor)},
                    {"bytes", bytes_of_tensor(tensor)}});
  }
  return list;
}

void print_json(const Options& options, const Checkpoint& checkpoint, const Summary& summary) {
  const ModelConfig& config = checkpoint.config;
  const TokenizerData& tokenizer = checkpoint.tokenizer;
  Json formats_json = Json::object();
  for (const auto& [name, share] : summary.formats) {
    formats_json[std::string(name)] = {
        {"tensors", share.tensors}, {"values", share.values}, {"bytes", share.bytes}};
  }
  Json json = {
      {"path", options.path},
      {"layout", layout_name(config.layout)},
      {"architecture", config.architecture},
      {"name", config.name},
      {"files", checkpoint.files.size()},
      {"file_bytes", summary.file_bytes},
      {"parameters", summary.total.values},
      {"sparse_matrices", summary.sparse_matrices},
      {"layers", config.layers},
      {"hidden_size", config.hidden_size},
      {"heads", config.heads},
      {"kv_heads", config.kv_heads},
      {"head_dim", config.head_dim},
      {"ffn_size", config.ffn_size},
      {"vocab_size", config.vocab_size},
      {"context_length", config.context_length},
      {"sliding_window", config.sliding_window},
      {"rope_theta", config.rope_theta},
      {"rope_scaling", scaling_name(config.rope_scaling.kind)},
      {"experts", config.experts},
      {"experts_per_token", config.experts_per_token},
      {"formats", std::move(formats_json)},
      {"tokenizer",
       {{"kind", kind_name(tokenizer.kind)},
        {"tokens", tokenizer.tokens.size()},
        {"pre_tokenizer", tokenizer.pre_tokenizer},
        {"bos", tokenizer.rules.bos},
        {"eos", tokenizer.rules.eos},
        {"end_of_generation", tokenizer.rules.end_of_generation}}},
      {"chat_template", checkpoint.chat_template},
      {"low_rank", ranks_json(checkpoint)},
      {"supported", summary.refusal.empty()},
      {"metadata", checkpoint.metadata},
  };
  if (!summary.refusal.empty()) json["refusal"] = summary.refusal;
  if (const std::string_view text = quality_report_of(checkpoint); !text.empty()) {
    auto report = parse_json(text);
    json["quality_report"] = report.ok() ? *std::move(report) : Json(text);
  }
  if (options.tensors) json["tensors"] = tensors_json(checkpoint);
  fmt::print("{}\n", json.dump(2, ' ', false, Json::error_handler_t::replace));
}

absl::Status inspect(const Options& options) {
  BRISK_ASSIGN_OR_RETURN(const std::shared_ptr<const Checkpoint> checkpoint,
                         open_checkpoint(options.path, {.tokenizer_path = options.tokenizer}));
  BRISK_ASSIGN_OR_RETURN(const KernelTable* kernels, kernels_from_environment());
  BRISK_ASSIGN_OR_RETURN(const SparseChoice sparse, sparse_choice_from_environment());
  const Summary summary = summarise(options, checkpoint, *kernels, sparse);
  if (options.json) {
    print_json(options, *checkpoint, summary);
  } else {
    print_text(options, *checkpoint, summary);
  }
  return absl::OkStatus();
}

}  // namespace

CommandAction add_inspect(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_option("path", options->path,
                 "A .gguf, .safetensors or llama2.c .bin file, or a Hugging Face directory")
      ->required();
  app.add_flag("--json", options->json, "Everything, with the file's own metadata, as JSON");
  app.add_flag("--tensors", options->tensors, "Every tensor");
  app.add_option("--tokenizer", options->tokenizer, "A tokenizer file for models without one");
  return [options] { return inspect(*options); };
}

}  // namespace brisk
