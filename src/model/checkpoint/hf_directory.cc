#include "model/checkpoint/hf_directory.h"

#include <filesystem>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "base/status.h"
#include "model/checkpoint/hf_config.h"
#include "model/checkpoint/quantization_config.h"
#include "model/checkpoint/safetensors.h"
#include "model/checkpoint/scaled_tensors.h"
#include "model/checkpoint/tensor_table.h"

namespace brisk {
namespace {

constexpr size_t kConfigBytesMax = size_t{16} << 20;
constexpr size_t kIndexBytesMax = size_t{64} << 20;
constexpr size_t kShardsMax = 4096;

std::string in_directory(const std::string& directory, std::string_view name) {
  return (std::filesystem::path(directory) / name).string();
}

bool exists(const std::string& path) {
  std::error_code error;
  return std::filesystem::exists(path, error);
}

absl::StatusOr<Json> read_json(const std::string& path, size_t bytes_max) {
  BRISK_ASSIGN_OR_RETURN(const std::string text, read_file(path, bytes_max));
  auto json = parse_json(text, {.bytes_max = bytes_max});
  if (!json.ok()) return annotate(json.status(), path);
  return json;
}

// The file's contents, or null when there is no such file.
absl::StatusOr<Json> read_optional_json(const std::string& path) {
  if (!exists(path)) return Json();
  return read_json(path, kConfigBytesMax);
}

absl::Status read_configuration(const std::string& directory, Checkpoint& checkpoint) {
  BRISK_ASSIGN_OR_RETURN(const Json config,
                         read_json(in_directory(directory, "config.json"), kConfigBytesMax));
  auto read = read_hf_config(config);
  if (!read.ok()) return annotate(read.status(), directory);
  checkpoint.config = std::move(*read);
  checkpoint.metadata["config"] = config;
  BRISK_ASSIGN_OR_RETURN(const Json generation,
                         read_optional_json(in_directory(directory, "generation_config.json")));
  if (generation.is_null()) return absl::OkStatus();
  auto defaults = read_generation_config(generation, checkpoint.config);
  if (!defaults.ok()) return annotate(defaults.status(), directory);
  checkpoint.generation = *defaults;
  checkpoint.metadata["generation_config"] = generation;
  return absl::OkStatus();
}

// "chat_template" of tokenizer_config.json: a string, or a list of named ones.
std::string template_of(const Json& config) {
  const auto found = config.find("chat_template");
  if (found == config.end()) return "";
  if (found->is_string()) return found->get<std::string>();
  if (!found->is_array()) return "";
  for (const Json& entry : *found) {
    if (entry.is_object() && entry.value("name", Json()) == "default" &&
        entry.value("template", Json()).is_string()) {
      return entry["template"].get<std::string>();
    }
  }
  return "";
}

// chat_template.jinja is newest and wins; then tokenizer_config.json; then chat_template.json,
// which multimodal processors have.
absl::Status read_chat_template(const std::string& directory, Checkpoint& checkpoint) {
  const std::string jinja = in_directory(directory, "chat_template.jinja");
  if (exists(jinja)) {
    BRISK_ASSIGN_OR_RETURN(checkpoint.chat_template, read_file(jinja, kConfigBytesMax));
    return absl::OkStatus();
  }
  for (const char* name : {"tokenizer_config.json", "chat_template.json"}) {
    BRISK_ASSIGN_OR_RETURN(const Json json, read_optional_json(in_directory(directory, name)));
    if (json.is_object()) checkpoint.chat_template = template_of(json);
    if (!checkpoint.chat_template.empty()) break;
  }
  return absl::OkStatus();
}

// Adds the tensors of `bytes` that `wanted` assigns to this file (all of them when it is null).
absl::Status add_tensors(std::span<const std::byte> bytes, const std::set<std::string>* wanted,
                         Checkpoint& checkpoint) {
  BRISK_ASSIGN_OR_RETURN(SafetensorsFile file, parse_safetensors(bytes));
  size_t found = 0;
  for (SafetensorsTensor& entry : file.tensors) {
    if (wanted != nullptr && wanted->count(entry.name) == 0) continue;
    ++found;
    BRISK_RETURN_IF_ERROR(add_tensor(checkpoint, std::move(entry.name), std::move(entry.tensor)));
  }
  if (wanted != nullptr && found != wanted->size()) {
    for (const std::string& name : *wanted) {
      if (checkpoint.find(name) == nullptr) {
        return invalid_input("tensor \"{}\" of the index is not in this file", name);
      }
    }
  }
  if (!file.metadata.empty()) checkpoint.metadata["safetensors"].update(file.metadata);
  return absl::OkStatus();
}

absl::Status add_file(const std::string& path, const std::set<std::string>* wanted,
                      Checkpoint& checkpoint) {
  BRISK_ASSIGN_OR_RETURN(MappedFile file, MappedFile::open(path));
  checkpoint.files.push_back(std::move(file));
  return annotate(add_tensors(checkpoint.files.back().bytes(), wanted, checkpoint), path);
}

// A shard is a plain file name: an index may not lead out of its directory.
bool is_plain_name(const std::string& name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == std::string::npos &&
         name.find('\0') == std::string::npos;
}

absl::Status read_shards(const std::string& directory, const std::string& index_path,
                         Checkpoint& checkpoint) {
  BRISK_ASSIGN_OR_RETURN(const Json index, read_json(index_path, kIndexBytesMax));
  const auto map = index.find("weight_map");
  if (!index.is_object() || map == index.end() || !map->is_object() || map->empty()) {
    return invalid_input("{}: there is no \"weight_map\"", index_path);
  }
  std::map<std::string, std::set<std::string>> names_of_shard;
  for (const auto& [name, shard] : map->items()) {
    if (!shard.is_string() || !is_plain_name(shard.get<std::string>())) {
      return invalid_input("{}: tensor \"{}\" lies in {}, which is not a file name", index_path,
                           name, to_text(shard).substr(0, 80));
    }
    names_of_shard[shard.get<std::string>()].insert(name);
  }
  if (names_of_shard.size() > kShardsMax) {
    return invalid_input("{}: {} files are too many", index_path, names_of_shard.size());
  }
  for (const auto& [shard, names] : names_of_shard) {
    BRISK_RETURN_IF_ERROR(add_file(in_directory(directory, shard), &names, checkpoint));
  }
  return absl::OkStatus();
}

absl::Status read_weights(const std::string& directory, Checkpoint& checkpoint) {
  const std::string index = in_directory(directory, "model.safetensors.index.json");
  if (exists(index)) return read_shards(directory, index, checkpoint);
  const std::string single = in_directory(directory, "model.safetensors");
  if (exists(single)) return add_file(single, nullptr, checkpoint);
  return not_found(
      "{}: there is neither model.safetensors nor model.safetensors.index.json (PyTorch .bin "
      "weights must be converted first)",
      directory);
}

// Makes matrices of quantised weights, as the directory's files say they are. REQUIRES: the
// configuration and the tensors have been read.
absl::Status combine_weights(const std::string& directory, Checkpoint& checkpoint) {
  if (!checkpoint.metadata.contains("config")) return absl::OkStatus();
  BRISK_ASSIGN_OR_RETURN(QuantizationConfig config,
                         read_quantization_config(checkpoint.metadata["config"]));
  if (config.method == QuantizationConfig::Method::kNone) {
    BRISK_ASSIGN_OR_RETURN(const Json early,
                           read_optional_json(in_directory(directory, "quantize_config.json")));
    if (!early.is_null()) {
      BRISK_ASSIGN_OR_RETURN(config, read_quantize_config(early));
    }
  }
  return combine_scaled_tensors(config, checkpoint);
}

}  // namespace

absl::Status read_hf_directory(const std::string& directory, Checkpoint& checkpoint) {
  if (!exists(in_directory(directory, "config.json"))) {
    return invalid_input(
        "{}: there is no config.json; give a Hugging Face model directory, or the path of a "
        ".gguf, .safetensors or llama2.c .bin file",
        directory);
  }
  BRISK_RETURN_IF_ERROR(read_configuration(directory, checkpoint));
  BRISK_RETURN_IF_ERROR(read_chat_template(directory, checkpoint));
  BRISK_RETURN_IF_ERROR(read_weights(directory, checkpoint));
  return annotate(combine_weights(directory, checkpoint), directory);
}

absl::Status read_single_safetensors(const std::string& path, Checkpoint& checkpoint) {
  checkpoint.config.layout = Layout::kHuggingFace;
  const std::string directory = std::filesystem::path(path).parent_path().string();
  if (exists(in_directory(directory, "config.json"))) {
    BRISK_RETURN_IF_ERROR(read_configuration(directory, checkpoint));
    BRISK_RETURN_IF_ERROR(read_chat_template(directory, checkpoint));
  }
  BRISK_RETURN_IF_ERROR(
      annotate(add_tensors(checkpoint.files.back().bytes(), nullptr, checkpoint), path));
  return annotate(combine_weights(directory, checkpoint), path);
}

}  // namespace brisk
