// Finds the place of every module of an adapter in a model, checks its shape, and copies its
// matrices into the order that the kernels read.
#include <absl/container/flat_hash_map.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "base/status.h"
#include "base/units.h"
#include "compute/kernels/cpu/kernel_table.h"
#include "compute/quant/format.h"
#include "model/arch/architecture.h"
#include "model/checkpoint/tensor_table.h"
#include "model/lora/adapter.h"
#include "model/rotated_rows.h"

namespace brisk {
namespace {

constexpr int64_t kAlignment = 64;

// Rows of a weight that make up one product: all of them, or a part of a fused weight.
struct Part {
  LoraTarget target;
  int64_t first_row;
  int64_t rows;
};

// A weight that adapters can add to.
struct Place {
  size_t layer = 0;
  int64_t in = 0;
  int64_t out = 0;
  std::vector<Part> parts;
  bool taken = false;
};

using Places = absl::flat_hash_map<std::string, Place>;

class PlaceList {
 public:
  PlaceList(const ModelSpec& spec, const TensorNames& names) : spec_(spec), names_(names) {}

  Places list() {
    for (layer_ = 0; layer_ < spec_.layers.size(); ++layer_) {
      add_attention();
      if (!spec_.layers[layer_].routed) add_mlp();
    }
    return std::move(places_);
  }

 private:
  void add_attention() {
    const int64_t hidden = spec_.hidden_size;
    const int64_t q = int64_t{spec_.heads} * spec_.head_dim;
    const int64_t kv = int64_t{spec_.kv_heads} * spec_.head_dim;
    if (!names_.qkv.empty()) {
      add(names_.qkv, hidden,
          {{LoraTarget::kQ, 0, q}, {LoraTarget::kK, q, kv}, {LoraTarget::kV, q + kv, kv}});
    } else {
      add(names_.q, hidden, {{LoraTarget::kQ, 0, q}});
      add(names_.k, hidden, {{LoraTarget::kK, 0, kv}});
      add(names_.v, hidden, {{LoraTarget::kV, 0, kv}});
    }
    add(names_.o, q, {{LoraTarget::kO, 0, hidden}});
  }

  void add_mlp() {
    const int64_t hidden = spec_.hidden_size, ffn = spec_.ffn_size;
    if (!names_.gate_up.empty()) {
      add(names_.gate_up, hidden, {{LoraTarget::kGate, 0, ffn}, {LoraTarget::kUp, ffn, ffn}});
    } else {
      if (spec_.gated_mlp) add(names_.gate, hidden, {{LoraTarget::kGate, 0, ffn}});
      add(names_.up, hidden, {{LoraTarget::kUp, 0, ffn}});
    }
    add(names_.down, ffn, {{LoraTarget::kDown, 0, hidden}});
  }

  void add(const std::string& pattern, int64_t in, std::vector<Part> parts) {
    if (pattern.empty()) return;
    Place& place = places_[with_number(pattern, static_cast<int64_t>(layer_))];
    place.layer = layer_;
    place.in = in;
    place.out = parts.back().first_row + parts.back().rows;
    place.parts = std::move(parts);
  }

  const ModelSpec& spec_;
  const TensorNames& names_;
  size_t layer_ = 0;
  Places places_;
};

// Some Hugging Face classes wrap the model whose names we know.
Place* find_place(Places& places, const LoraFile& file, std::string_view weight) {
  if (const auto it = places.find(std::string(weight)); it != places.end()) return &it->second;
  if (file.layout != Layout::kHuggingFace) return nullptr;
  for (const std::string_view prefix :
       {"transformer.", "language_model.", "model.language_model."}) {
    if (!weight.starts_with(prefix)) continue;
    const auto it = places.find(std::string(weight.substr(prefix.size())));
    if (it != places.end()) return &it->second;
  }
  return nullptr;
}

absl::Status check_matrix(const std::string& name, const Tensor& tensor, int64_t rows,
                          int64_t cols) {
  if (tensor.shape != std::vector<int64_t>{rows, cols}) {
    return invalid_input("tensor \"{}\" has shape {}, expected {}: it is for another model", name,
                         shape_text(tensor.shape), shape_text({rows, cols}));
  }
  const DType dtype = tensor.dtype;
  if (dtype != DType::kF32 && dtype != DType::kF16 && dtype != DType::kBF16) {
    return unsupported("tensor \"{}\" is {}; adapters are f32, f16 or bf16", name,
                       format_of(dtype).name);
  }
  std::vector<float> row(static_cast<size_t>(cols));
  for (int64_t r = 0; r < rows; ++r) {
    decode_values(tensor, r * cols, cols, row.data());
    for (const float value : row) {
      if (!std::isfinite(value)) {
        return invalid_input("tensor \"{}\" holds numbers that are not finite", name);
      }
    }
  }
  return absl::OkStatus();
}

absl::Status check_module(const LoraModule& module, const Place& place) {
  const int64_t rank = module.a.shape[0];
  if (rank < 1 || rank > kLoraRankMax) {
    return invalid_input("tensor \"{}\" has rank {}, expected 1 to {}", module.a_name, rank,
                         kLoraRankMax);
  }
  if (!std::isfinite(static_cast<float>(module.scale))) {
    return invalid_input("the scale of tensor \"{}\" is not finite", module.a_name);
  }
  BRISK_RETURN_IF_ERROR(check_matrix(module.a_name, module.a, rank, place.in));
  return check_matrix(module.b_name, module.b, place.out, rank);
}

int64_t panels_bytes(const LoraModule& module, int64_t columns) {
  return bytes_of(module.b.dtype, round_up(columns, kLowRankColumns) * module.a.shape[0]);
}

class Binder {
 public:
  Binder(const LoraFile& file, const ModelSpec& spec, bool rows_move, bool interleaved)
      : file_(file), spec_(spec), rows_move_(rows_move), interleaved_(interleaved) {}

  absl::StatusOr<std::shared_ptr<const LoraAdapter>> bind(Places places) {
    auto adapter = std::make_shared<LoraAdapter>();
    adapter->layers.resize(spec_.layers.size());
    std::vector<const Place*> chosen;
    for (const LoraModule& module : file_.modules) {
      Place* place = find_place(places, file_, module.weight);
      if (place == nullptr) {
        return unsupported(
            "tensor \"{}\" adds to a weight that this model has not, or that adapters cannot "
            "add to here: they can to the projections of attention and of dense MLPs",
            module.a_name);
      }
      if (std::exchange(place->taken, true)) {
        return invalid_input("tensor \"{}\" adds to a weight that another one adds to",
                             module.a_name);
      }
      BRISK_RETURN_IF_ERROR(check_module(module, *place));
      chosen.push_back(place);
      adapter->bytes += bytes_needed(module, *place);
    }
    BRISK_ASSIGN_OR_RETURN(adapter->memory, Pages::allocate(adapter->bytes));
    next_ = adapter->memory->bytes().data();
    for (size_t i = 0; i < chosen.size(); ++i) {
      copy(file_.modules[i], *chosen[i], &adapter->layers[chosen[i]->layer]);
      adapter->rank_max =
          std::max(adapter->rank_max, static_cast<int>(file_.modules[i].a.shape[0]));
    }
    return adapter;
  }

 private:
  static int64_t bytes_needed(const LoraModule& module, const Place& place) {
    int64_t bytes = round_up(static_cast<int64_t>(module.a.data.size()), kAlignment);
    for (const Part& part : place.parts) {
      bytes += round_up(panels_bytes(module, part.rows), kAlignment);
    }
    return bytes;
  }

  // Parts of a fused weight share their A.
  void copy(const LoraModule& module, const Place& place, LoraLayer* layer) {
    std::byte* a = take(static_cast<int64_t>(module.a.data.size()));
    std::memcpy(a, module.a.data.data(), module.a.data.size());
    for (const Part& part : place.parts) {
      std::byte* b = take(panels_bytes(module, part.rows));
      pack(module, part, b);
      layer->of(part.target) = {.rank = static_cast<int>(module.a.shape[0]),
                                .scale = static_cast<float>(module.scale),
                                .a_dtype = module.a.dtype,
                                .b_dtype = module.b.dtype,
                                .a = a,
                                .b = b};
    }
  }

  // REQUIRES: `panels` is zeroed.
  void pack(const LoraModule& module, const Part& part, std::byte* panels) const {
    const int64_t rank = module.a.shape[0];
    const bool rotated = part.target == LoraTarget::kQ || part.target == LoraTarget::kK;
    const auto value_bytes = static_cast<size_t>(bytes_of(module.b.dtype, 1));
    for (int64_t column = 0; column < part.rows; ++column) {
      const int64_t row =
          part.first_row +
          (rotated && rows_move_ ? rotated_row(column, spec_.head_dim, interleaved_) : column);
      const std::byte* from = module.b.data.data() + static_cast<size_t>(row * rank) * value_bytes;
      const int64_t panel = column / kLowRankColumns * rank * kLowRankColumns;
      for (int64_t j = 0; j < rank; ++j) {
        const int64_t to = panel + j * kLowRankColumns + column % kLowRankColumns;
        std::memcpy(panels + static_cast<size_t>(to) * value_bytes,
                    from + static_cast<size_t>(j) * value_bytes, value_bytes);
      }
    }
  }

  std::byte* take(int64_t bytes) {
    return std::exchange(next_, next_ + round_up(bytes, kAlignment));
  }

  const LoraFile& file_;
  const ModelSpec& spec_;
  const bool rows_move_;
  const bool interleaved_;
  std::byte* next_ = nullptr;
};

}  // namespace

absl::StatusOr<std::shared_ptr<const LoraAdapter>> bind_lora(const LoraFile& file,
                                                             const Model& model) {
  const ModelConfig& config = model.checkpoint->config;
  BRISK_ASSIGN_OR_RETURN(const Architecture* architecture, find_architecture(config));
  if (model.spec.quantize_activations) {
    return unsupported("adapters cannot be added to models with int8 activations of their own");
  }
  if (file.layout == Layout::kGguf && file.architecture != gguf_name(*architecture)) {
    return invalid_input("the adapter is for the architecture \"{}\", but the model is {}",
                         file.architecture.substr(0, 40), architecture->name);
  }
  const bool interleaved = interleaves(*architecture, config.layout);
  const bool rows_move = interleaved != interleaves(*architecture, file.layout);
  if (rows_move && model.spec.ropes.front().rotary_dim != model.spec.head_dim) {
    return unsupported("the adapter orders heads in another way, and they rotate only in part");
  }
  const TensorNames names = architecture->names(file.layout);
  return Binder(file, model.spec, rows_move, interleaved).bind(PlaceList(model.spec, names).list());
}

absl::StatusOr<std::shared_ptr<const LoraAdapter>> load_lora(const std::string& path,
                                                             const Model& model) {
  BRISK_ASSIGN_OR_RETURN(const LoraFile file, open_lora_file(path));
  auto adapter = bind_lora(file, model);
  if (!adapter.ok()) return annotate(adapter.status(), path);
  return adapter;
}

}  // namespace brisk
