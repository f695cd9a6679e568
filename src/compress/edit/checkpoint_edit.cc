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

CheckpointEdit::Made CheckpointEdit::make(const MatrixFormat& format, std::vector<int64_t> shape) {
  Made made = {.tensor = {}, .format = format, .memory = {}, .owned = nullptr};
  const size_t bytes = format.bytes(shape);
  if (journal_ != nullptr) made.memory = journal_->allocate(bytes);
  if (made.memory.empty()) {  // or it has no room: commit will say so
    made.owned = std::make_unique<std::byte[]>(bytes);
    made.memory = {made.owned.get(), bytes};
  }
  made.tensor = format.tensor(std::move(shape), made.memory);
  return made;
}

std::span<std::byte> CheckpointEdit::replace(const NamedTensor& old, const MatrixFormat& format,
                                             std::vector<int64_t> shape) {
  Made& made = replacements_[&old];
  if (made.memory.empty()) made = make(format, std::move(shape));
  BRISK_CHECK(made.format.dtype == format.dtype && !made.committed);
  return made.memory;
}

std::span<std::byte> CheckpointEdit::replace(const NamedTensor& old, const MatrixFormat& format) {
  return replace(old, format, old.tensor.shape);
}

std::byte* CheckpointEdit::replace(const NamedTensor& old, DType dtype,
                                   std::vector<int64_t> shape) {
  return replace(old, MatrixFormat{.dtype = dtype}, std::move(shape)).data();
}

std::byte* CheckpointEdit::add(std::string name, DType dtype, std::vector<int64_t> shape) {
  added_.push_back({std::move(name), make({.dtype = dtype}, std::move(shape))});
  return added_.back().made.memory.data();
}

void CheckpointEdit::remove(const NamedTensor& old) {
  if (removed_.insert(&old).second) newly_removed_.push_back(&old);
}

// The pages of a tensor whose values are not needed any more.
void CheckpointEdit::release(const NamedTensor& named) const {
  const std::byte* const at = named.tensor.data.data();
  const bool is_in_file = std::ranges::any_of(source_->files, [at](const MappedFile& file) {
    const auto bytes = file.bytes();
    return at >= bytes.data() && at < bytes.data() + bytes.size();
  });
  if (is_in_file) drop_mapped_pages(named.tensor.data);
}

Json CheckpointEdit::entry_of(const std::string& name, const Made& made) const {
  return {{"name", name},
          {"format", to_json(made.format)},
          {"shape", made.tensor.shape},
          {"offset", journal_->offset_of(made.memory.data())}};
}

absl::Status CheckpointEdit::commit(const Json& details) {
  if (journal_ == nullptr) return absl::OkStatus();
  Json tensors = Json::array(), added = Json::array(), removed = Json::array();
  journal_->release();
  for (const NamedTensor& named : source_->tensors) {
    const auto it = replacements_.find(&named);
    if (it == replacements_.end() || it->second.committed) continue;
    it->second.committed = true;
    release(named);
    if (it->second.owned == nullptr) tensors.push_back(entry_of(named.name, it->second));
  }
  for (Added& each : added_) {
    if (each.made.committed) continue;
    each.made.committed = true;
    if (each.made.owned == nullptr) added.push_back(entry_of(each.name, each.made));
  }
  for (const NamedTensor* named : newly_removed_) {
    release(*named);
    removed.push_back(named->name);
  }
  newly_removed_.clear();
  return journal_->commit(
      {{"tensors", tensors}, {"added", added}, {"removed", removed}, {"details", details}});
}

absl::StatusOr<CheckpointEdit::Made> CheckpointEdit::made_of(const Json& entry) const {
  constexpr double kBytesMax = 1e15;
  Made made;
  BRISK_ASSIGN_OR_RETURN(made.format, matrix_format_from_json(entry.at("format")));
  auto shape = entry.at("shape").get<std::vector<int64_t>>();
  double values = 1;
  for (const int64_t extent : shape) values *= extent > 0 ? static_cast<double>(extent) : kBytesMax;
  const bool is_scaled = made.format.scheme.has_value();
  const int64_t block = is_scaled ? 1 : format_of(made.format.dtype).block_values;
  if (shape.empty() || values >= kBytesMax || shape.back() % block != 0) {
    return invalid_input("a tensor's rows are not whole blocks");
  }
  BRISK_ASSIGN_OR_RETURN(made.memory,
                         journal_->at(entry.at("offset").get<int64_t>(), made.format.bytes(shape)));
  made.tensor = made.format.tensor(std::move(shape), made.memory);
  made.committed = true;
  return made;
}

absl::StatusOr<const NamedTensor*> CheckpointEdit::tensor_of(const Json& name) const {
  const auto found = source_->index.find(name.get_ref<const std::string&>());
  if (found == source_->index.end()) return invalid_input("a tensor is of another model");
  return &source_->tensors[found->second];
}

absl::StatusOr<Json> CheckpointEdit::restore(const Json& step) {
  try {
    for (const Json& entry : step.at("tensors")) {
      BRISK_ASSIGN_OR_RETURN(const NamedTensor* named, tensor_of(entry.at("name")));
      BRISK_ASSIGN_OR_RETURN(Made made, made_of(entry));
      if (made.tensor.shape != named->tensor.shape) {
        return invalid_input("{} has another shape", named->name);
      }
      replacements_[named] = std::move(made);
    }
    for (const Json& entry : step.at("added")) {
      BRISK_ASSIGN_OR_RETURN(Made made, made_of(entry));
      added_.push_back({entry.at("name").get<std::string>(), std::move(made)});
    }
    for (const Json& name : step.at("removed")) {
      BRISK_ASSIGN_OR_RETURN(const NamedTensor* named, tensor_of(name));
      removed_.insert(named);
    }
    return step.at("details");
  } catch (const Json::exception& error) {
    return invalid_input("not a step of such work: {}", error.what());
  }
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
  for (const Added& added : added_) put(added.name, added.made.tensor);
  return checkpoint;
}

}  // namespace brisk
