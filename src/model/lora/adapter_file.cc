#include "model/lora/adapter_file.h"

#include <absl/container/flat_hash_map.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <optional>
#include <string_view>
#include <utility>

#include "base/status.h"
#include "model/checkpoint/gguf.h"
#include "model/checkpoint/safetensors.h"
#include "model/checkpoint/tensor_table.h"
#include "model/lora/peft_config.h"

namespace brisk {
namespace {

constexpr size_t kConfigBytesMax = size_t{1} << 20;

// Pairs up the two matrices of every module.
class Pairing {
 public:
  struct Half {
    bool is_a = false;
    std::string weight;
    std::string_view name;
  };

  absl::Status add(const Half& half, Tensor tensor) {
    if (tensor.shape.size() != 2) {
      return invalid_input("tensor \"{}\" has shape {}, expected a matrix", half.name,
                           shape_text(tensor.shape));
    }
    const auto [it, is_new] = index_.try_emplace(half.weight, modules_.size());
    if (is_new) modules_.emplace_back().weight = half.weight;
    LoraModule& module = modules_[it->second];
    std::string& name = half.is_a ? module.a_name : module.b_name;
    if (!name.empty()) return invalid_input("tensor \"{}\" appears twice", half.name);
    name = half.name;
    (half.is_a ? module.a : module.b) = std::move(tensor);
    return absl::OkStatus();
  }

  absl::StatusOr<std::vector<LoraModule>> take() {
    if (modules_.empty()) return invalid_input("the adapter has no tensors");
    for (const LoraModule& module : modules_) {
      if (!module.a_name.empty() && !module.b_name.empty()) continue;
      return invalid_input("tensor \"{}\" has no counterpart",
                           module.a_name.empty() ? module.b_name : module.a_name);
    }
    return std::move(modules_);
  }

 private:
  std::vector<LoraModule> modules_;
  absl::flat_hash_map<std::string, size_t> index_;
};

// "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight".
std::optional<Pairing::Half> peft_half(std::string_view name) {
  std::string_view module = name;
  constexpr std::string_view kWrapper = "base_model.model.";
  if (module.starts_with(kWrapper)) module.remove_prefix(kWrapper.size());
  for (const std::string_view ending : {".lora_A.weight", ".lora_B.weight"}) {
    if (!module.ends_with(ending)) continue;
    module.remove_suffix(ending.size());
    return Pairing::Half{.is_a = ending == ".lora_A.weight",
                         .weight = std::string(module) + ".weight",
                         .name = name};
  }
  return std::nullopt;
}

// "blk.0.attn_q.weight.lora_a".
std::optional<Pairing::Half> gguf_half(std::string_view name) {
  for (const std::string_view ending : {".lora_a", ".lora_b"}) {
    if (!name.ends_with(ending)) continue;
    return Pairing::Half{.is_a = ending == ".lora_a",
                         .weight = std::string(name.substr(0, name.size() - ending.size())),
                         .name = name};
  }
  return std::nullopt;
}

absl::Status not_low_rank(std::string_view name) {
  return unsupported(
      "tensor \"{}\" is not one of a low-rank addition to a weight; brisk loads no other", name);
}

absl::Status check_is_lora(const GgufFile& file) {
  for (const auto& [key, wanted] :
       {std::pair{"general.type", "adapter"}, std::pair{"adapter.type", "lora"}}) {
    BRISK_ASSIGN_OR_RETURN(const auto found, file.string(key));
    if (found.value_or("") == wanted) continue;
    return invalid_input("this GGUF file is no LoRA adapter: {} is \"{}\", not \"{}\"", key,
                         found.value_or("").substr(0, 40), wanted);
  }
  if (file.find("adapter.alora.invocation_tokens") != nullptr) {
    return unsupported("adapters that are active only after certain tokens cannot be loaded");
  }
  return absl::OkStatus();
}

absl::StatusOr<LoraFile> open_gguf(const std::string& path) {
  BRISK_ASSIGN_OR_RETURN(MappedFile mapped, MappedFile::open(path));
  const std::span<const std::byte> bytes = mapped.bytes();
  if (bytes.size() < 4 || std::memcmp(bytes.data(), "GGUF", 4) != 0) {
    return invalid_input(
        "{}: not an adapter; give a directory with adapter_config.json, or a GGUF file", path);
  }
  absl::StatusOr<LoraFile> file = read_gguf_lora(bytes);
  if (!file.ok()) return annotate(file.status(), path);
  file->files.push_back(std::move(mapped));
  return file;
}

absl::StatusOr<LoraFile> open_peft(const std::filesystem::path& directory) {
  const std::string config_path = (directory / "adapter_config.json").string();
  const std::string weights_path = (directory / "adapter_model.safetensors").string();
  std::error_code error;
  if (!std::filesystem::exists(config_path, error)) {
    return not_found("{}: there is no adapter_config.json", directory.string());
  }
  if (!std::filesystem::exists(weights_path, error)) {
    return not_found("{}: there is no adapter_model.safetensors (a .bin must be converted first)",
                     directory.string());
  }
  BRISK_ASSIGN_OR_RETURN(const std::string text, read_file(config_path, kConfigBytesMax));
  const auto config = parse_ordered_json(text);
  if (!config.ok()) return annotate(config.status(), config_path);
  BRISK_ASSIGN_OR_RETURN(MappedFile mapped, MappedFile::open(weights_path));
  absl::StatusOr<LoraFile> file = read_peft(*config, mapped.bytes());
  if (!file.ok()) return annotate(file.status(), directory.string());
  file->files.push_back(std::move(mapped));
  return file;
}

}  // namespace

absl::StatusOr<LoraFile> read_peft(const OrderedJson& config,
                                   std::span<const std::byte> safetensors) {
  const auto peft = read_peft_config(config);
  if (!peft.ok()) return annotate(peft.status(), "adapter_config.json");
  BRISK_ASSIGN_OR_RETURN(SafetensorsFile parsed, parse_safetensors(safetensors));
  Pairing pairing;
  for (SafetensorsTensor& entry : parsed.tensors) {
    const auto half = peft_half(entry.name);
    if (!half.has_value()) return not_low_rank(entry.name);
    BRISK_RETURN_IF_ERROR(pairing.add(*half, std::move(entry.tensor)));
  }
  LoraFile file;
  BRISK_ASSIGN_OR_RETURN(file.modules, pairing.take());
  for (LoraModule& module : file.modules) {
    const int64_t rank = module.a.shape[0];
    if (rank != peft->rank && !peft->has_rank_pattern) {
      return invalid_input("tensor \"{}\" has rank {}, but adapter_config.json says {}",
                           module.a_name, rank, peft->rank);
    }
    std::string_view name = module.weight;
    name.remove_suffix(std::string_view(".weight").size());
    module.scale = peft->scale_of(name, rank);
  }
  return file;
}

absl::StatusOr<LoraFile> read_gguf_lora(std::span<const std::byte> bytes) {
  BRISK_ASSIGN_OR_RETURN(const GgufFile gguf, parse_gguf(bytes));
  BRISK_RETURN_IF_ERROR(check_is_lora(gguf));
  LoraFile file;
  file.layout = Layout::kGguf;
  BRISK_ASSIGN_OR_RETURN(const auto architecture, gguf.string("general.architecture"));
  file.architecture = architecture.value_or("");
  BRISK_ASSIGN_OR_RETURN(const auto alpha, gguf.number("adapter.lora.alpha"));
  if (alpha.has_value() && !std::isfinite(*alpha)) {
    return invalid_input("adapter.lora.alpha is not a number");
  }
  Pairing pairing;
  for (const GgufTensor& found : gguf.tensors) {
    const auto half = gguf_half(found.name);
    if (!half.has_value() || found.packing.has_value()) return not_low_rank(found.name);
    BRISK_RETURN_IF_ERROR(
        pairing.add(*half, {.dtype = found.dtype, .shape = found.shape, .data = found.data}));
  }
  BRISK_ASSIGN_OR_RETURN(file.modules, pairing.take());
  for (LoraModule& module : file.modules) {
    // No alpha, or 0: the product is added as it is.
    if (alpha.value_or(0) != 0) module.scale = *alpha / static_cast<double>(module.a.shape[0]);
  }
  return file;
}

absl::StatusOr<LoraFile> open_lora_file(const std::string& path) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) return open_peft(path);
  const std::filesystem::path file(path);
  if (file.filename() == "adapter_model.safetensors" || file.filename() == "adapter_config.json") {
    return open_peft(file.parent_path());
  }
  return open_gguf(path);
}

}  // namespace brisk
