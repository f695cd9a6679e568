#include "compress/edit/checkpoint_edit.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/status.h"
#include "compute/quant/format.h"
#include "compute/sys/memory.h"
#include "model/checkpoint/quality_report.h"

namespace brisk {

CheckpointEdit::CheckpointEdit(std::shared_ptr<const Checkpoint> source, EditJournal* journal)
    : source_(std::move(source)),
      journal_(journal),
      config_(source_->config),
      tokenizer_(source_->tokenizer) {}

void CheckpointEdit::allocate(size_t bytes, Replacement& replacement) {
  if (journal_ != nullptr) replacement.memory = journal_->allocate(bytes);
  if (!replacement.memory.empty()) return;
  replacement.owned = std::make_unique<std::byte[]>(bytes);  // no room there: commit will say so
  replacement.memory = {replacement.owned.get(), bytes};
}

std::span<std::byte> CheckpointEdit::replace(const NamedTensor& old, const MatrixFormat& format,
                                             std::vector<int64_t> shape) {
  Replacement& replacement = replacements_[&old];
  if (replacement.memory.empty()) {
    allocate(format.bytes(shape), replacement);
    replacement.format = format;
    replacement.tensor = format.tensor(std::move(shape), replacement.memory);
  }
  BRISK_CHECK(replacement.format.dtype == format.dtype && !replacement.committed);
  return replacement.memory;
}

std::span<std::byte> CheckpointEdit::replace(const NamedTensor& old, const MatrixFormat& format) {
  return replace(old, format, old.tensor.shape);
}

std::byte* CheckpointEdit::replace(const NamedTensor& old, DType dtype,
                                   std::vector<int64_t> shape) {
  return replace(old, MatrixFormat{.dtype = dtype}, std::move(shape)).data();
}

bool CheckpointEdit::is_in_file(std::span<const std::byte> bytes) const {
  return std::any_of(source_->files.begin(), source_->files.end(), [&](const MappedFile& file) {
    const std::byte* begin = file.bytes().data();
    return bytes.data() >= begin && bytes.data() < begin + file.bytes().size();
  });
}

absl::Status CheckpointEdit::commit(const Json& details) {
  if (journal_ == nullptr) return absl::OkStatus();
  Json tensors = Json::array();
  journal_->release();
  for (const NamedTensor& named : source_->tensors) {
    const auto it = replacements_.find(&named);
    if (it == replacements_.end() || it->second.committed) continue;
    Replacement& replacement = it->second;
    replacement.committed = true;
    if (is_in_file(named.tensor.data)) drop_mapped_pages(named.tensor.data);
    if (replacement.owned != nullptr) continue;
    tensors.push_back({{"name", named.name},
                       {"format", to_json(replacement.format)},
                       {"shape", replacement.tensor.shape},
                       {"offset", journal_->offset_of(replacement.memory.data())}});
  }
  return journal_->commit({{"tensors", tensors}, {"details", details}});
}

absl::Status CheckpointEdit::restore_tensor(const Json& entry) {
  const auto found = source_->index.find(entry.at("name").get_ref<const std::string&>());
  if (found == source_->index.end()) return invalid_input("a tensor is of another model");
  const NamedTensor& named = source_->tensors[found->second];
  Replacement& replacement = replacements_[&named];
  BRISK_ASSIGN_OR_RETURN(replacement.format, matrix_format_from_json(entry.at("format")));
  auto shape = entry.at("shape").get<std::vector<int64_t>>();
  if (shape != named.tensor.shape) return invalid_input("{} has another shape", named.name);
  const bool is_scaled = replacement.format.scheme.has_value();
  const int64_t block = is_scaled ? 1 : format_of(replacement.format.dtype).block_values;
  if (shape.empty() || shape.back() % block != 0) {
    return invalid_input("rows of {} are not whole blocks", named.name);
  }
  BRISK_ASSIGN_OR_RETURN(replacement.memory, journal_->at(entry.at("offset").get<int64_t>(),
                                                          replacement.format.bytes(shape)));
  replacement.tensor = replacement.format.tensor(std::move(shape), replacement.memory);
  replacement.committed = true;
  return absl::OkStatus();
}

absl::StatusOr<Json> CheckpointEdit::restore(const Json& step) {
  try {
    for (const Json& entry : step.at("tensors")) BRISK_RETURN_IF_ERROR(restore_tensor(entry));
    return step.at("details");
  } catch (const Json::exception& error) {
    return invalid_input("not a step of such work: {}", error.what());
  }
}

std::byte* CheckpointEdit::add(std::string name, DType dtype, std::vector<int64_t> shape) {
  Tensor tensor;
  tensor.dtype = dtype;
  tensor.shape = std::move(shape);
  const auto size = static_cast<size_t>(bytes_of(dtype, tensor.values()));
  std::byte* bytes = added_bytes_.emplace_back(std::make_unique<std::byte[]>(size)).get();
  tensor.data = {bytes, size};
  added_.push_back({std::move(name), std::move(tensor)});
  return bytes;
}

void CheckpointEdit::patch_values(const NamedTensor& old, int64_t first,
                                  std::span<const float> values) {
  const bool is_new = !replacements_.contains(&old);
  std::byte* bytes = replace(old, DType::kF32, old.tensor.shape);
  float* all = reinterpret_cast<float*>(bytes);
  if (is_new) decode_values(old.tensor, 0, old.tensor.values(), all);
  std::copy(values.begin(), values.end(), all + first);
}

void CheckpointEdit::select_rows(const NamedTensor& old, std::span<const int64_t> rows) {
  const Tensor& from = old.tensor;
  std::vector<int64_t> shape = from.shape;
  const auto row_bytes =
      static_cast<size_t>(bytes_of(from.dtype, from.values() / std::max<int64_t>(shape[0], 1)));
  shape[0] = std::ssize(rows);
  std::byte* to = replace(old, from.dtype, std::move(shape));
  for (const int64_t row : rows) {
    const auto bytes = from.data.subspan(static_cast<size_t>(row) * row_bytes, row_bytes);
    to = std::copy(bytes.begin(), bytes.end(), to);
  }
}

void CheckpointEdit::rename_prefix(const std::string& prefix, const std::string& other) {
  renamed_.emplace_back(prefix, other);
}

// Empty: it goes.
std::string CheckpointEdit::new_name(const std::string& name) const {
  for (const auto& [prefix, other] : renamed_) {
    // Below the wrappers' prefixes too, see Checkpoint::find_weight.
    const size_t at = name.find(prefix);
    if (at == std::string::npos || (at > 0 && name[at - 1] != '.')) continue;
    return other.empty() ? "" : name.substr(0, at) + other + name.substr(at + prefix.size());
  }
  return name;
}

void CheckpointEdit::update(Json& config) const {
  const auto set = [&config](const char* key, const Json& value) {
    if (config.contains(key)) config[key] = value;
  };
  set("vocab_size", config_.vocab_size);
  set("hidden_size", config_.hidden_size);
  set("intermediate_size", config_.ffn_size);
  set("num_hidden_layers", config_.layers);
  set("num_attention_heads", config_.heads);
  set("num_key_value_heads", config_.kv_heads);
  // Readers derive it from sizes that may not be what they were.
  if (config_.head_dim > 0) config["head_dim"] = config_.head_dim;
  if (config.contains("layer_types") && !config_.layer_is_sliding.empty()) {
    Json types = Json::array();
    for (const bool sliding : config_.layer_is_sliding) {
      types.push_back(sliding ? "sliding_attention" : "full_attention");
    }
    config["layer_types"] = std::move(types);
  }
  set("bos_token_id", config_.bos_token >= 0 ? Json(config_.bos_token) : Json(nullptr));
  set("pad_token_id", tokenizer_.rules.pad >= 0 ? Json(tokenizer_.rules.pad) : Json(nullptr));
  if (config_.eos_tokens.size() == 1) {
    set("eos_token_id", config_.eos_tokens.front());
  } else {
    set("eos_token_id", config_.eos_tokens);
  }
}

Checkpoint CheckpointEdit::edited() const {
  Checkpoint checkpoint;
  checkpoint.config = config_;
  checkpoint.generation = source_->generation;
  checkpoint.tokenizer = tokenizer_;
  checkpoint.chat_template = source_->chat_template;
  checkpoint.metadata = source_->metadata;
  if (checkpoint.metadata.contains("config")) update(checkpoint.metadata["config"]);
  drop_quality_report(checkpoint);  // it was another's
  drop_quality_report(checkpoint);
  const auto put = [&checkpoint](std::string name, const Tensor& tensor) {
    checkpoint.index.emplace(name, checkpoint.tensors.size());
    checkpoint.tensors.push_back({std::move(name), tensor});
  };
  for (const NamedTensor& named : source_->tensors) {
    std::string name = new_name(named.name);
    if (name.empty() || removed_.contains(&named)) continue;
    const auto it = replacements_.find(&named);
    put(std::move(name), it == replacements_.end() ? named.tensor : it->second.tensor);
  }
  for (const NamedTensor& added : added_) put(added.name, added.tensor);
  return checkpoint;
}

}  // namespace brisk
