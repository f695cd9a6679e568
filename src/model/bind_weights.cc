#include "model/bind_weights.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <utility>

#include "base/status.h"
#include "compute/quant/format.h"
#include "compute/quant/packing.h"
#include "model/low_rank.h"

namespace brisk {
namespace {

bool is_weight(DType dtype) {
  return dtype == DType::kInt8Grouped || dtype == DType::kTernaryGrouped ||
         dtype == DType::kScaled || format_of(dtype).decode != nullptr;
}

// Whether a packed matrix can be cut after `rows` rows; one that is not packed can be anywhere.
bool can_be_cut(const Tensor& matrix, int64_t rows) {
  const auto packing = packing_of(matrix);
  return !packing.has_value() || rows % panel_outputs(*packing) == 0;
}

// Rows [begin, begin + count) of a matrix.
Tensor slice_rows(const Tensor& matrix, int64_t begin, int64_t count) {
  const int64_t depth = matrix.shape.back();
  Tensor slice = matrix;
  slice.shape = {count, depth};
  if (const auto packing = packing_of(matrix)) {
    // REQUIRES (bind_attention, bind_mlp, expert_linear): slices begin and end with a panel.
    const int64_t bytes = panel_bytes(*packing, depth);
    slice.data = matrix.data.subspan(static_cast<size_t>(begin / panel_outputs(*packing) * bytes),
                                     static_cast<size_t>(panel_count(*packing, slice) * bytes));
    return slice;
  }
  if (matrix.scaled != nullptr) {
    ScaledMatrix part = *matrix.scaled;
    part.first_output += begin;
    slice.scaled = std::make_shared<const ScaledMatrix>(std::move(part));
    // Its share of the bytes, which need not be those that it reads.
    const size_t row_bytes = matrix.data.size() / static_cast<size_t>(matrix.shape[0]);
    slice.data = matrix.data.subspan(static_cast<size_t>(begin) * row_bytes,
                                     static_cast<size_t>(count) * row_bytes);
    return slice;
  }
  const auto offset = static_cast<size_t>(bytes_of(matrix.dtype, begin * depth));
  slice.data =
      matrix.data.subspan(offset, static_cast<size_t>(bytes_of(matrix.dtype, count * depth)));
  if (!matrix.scales.empty() && matrix.scale_group < matrix.values()) {
    slice.scales = matrix.scales.subspan(static_cast<size_t>(begin * depth / matrix.scale_group),
                                         static_cast<size_t>(count * depth / matrix.scale_group));
  }
  return slice;
}

class Binder {
 public:
  Binder(const Checkpoint& checkpoint, const TensorNames& names, const ModelSpec& spec)
      : checkpoint_(checkpoint), names_(names), spec_(spec) {}

  absl::StatusOr<Weights> bind() {
    BRISK_ASSIGN_OR_RETURN(weights_.embedding,
                           matrix(names_.embedding, spec_.vocab_size, spec_.hidden_size));
    if (weights_.embedding.is_packed()) return not_in_rows(names_.embedding);
    if (spec_.learned_positions) {
      const Tensor* positions = find(names_.positions);
      if (positions == nullptr) return missing(names_.positions);
      if (positions->shape.empty() || positions->shape[0] < spec_.context_length) {
        return invalid_input("{}: fewer positions than the context of {}", names_.positions,
                             spec_.context_length);
      }
      BRISK_ASSIGN_OR_RETURN(weights_.positions,
                             matrix(names_.positions, positions->shape[0], spec_.hidden_size));
      if (weights_.positions->is_packed()) return not_in_rows(names_.positions);
    }
    BRISK_RETURN_IF_ERROR(norm(names_.final_norm, spec_.hidden_size, &weights_.final_norm));
    if (find(names_.head) != nullptr) {
      BRISK_RETURN_IF_ERROR(
          linear(names_.head, spec_.vocab_size, spec_.hidden_size, &weights_.head));
    } else {
      weights_.head.weight = weights_.embedding;
    }
    weights_.layers.resize(spec_.layers.size());
    for (size_t i = 0; i < spec_.layers.size(); ++i) {
      layer_ = static_cast<int64_t>(i);
      BRISK_RETURN_IF_ERROR(bind_attention(&weights_.layers[i]));
      BRISK_RETURN_IF_ERROR(spec_.layers[i].routed ? bind_experts(&weights_.layers[i])
                                                   : bind_mlp(&weights_.layers[i]));
    }
    return std::move(weights_);
  }

 private:
  absl::Status bind_attention(LayerWeights* layer) {
    const int64_t hidden = spec_.hidden_size;
    const int64_t q_rows = int64_t{spec_.heads} * spec_.head_dim;
    const int64_t kv_rows = int64_t{spec_.kv_heads} * spec_.head_dim;
    BRISK_RETURN_IF_ERROR(norm(names_.attention_norm, hidden, &layer->attention_norm));
    if (!names_.qkv.empty()) {
      Linear qkv;
      BRISK_RETURN_IF_ERROR(linear(names_.qkv, q_rows + 2 * kv_rows, hidden, &qkv));
      const bool aligned = can_be_cut(qkv.weight, q_rows) && can_be_cut(qkv.weight, kv_rows);
      if (!aligned) return not_in_rows(names_.qkv);
      layer->q = part(qkv, 0, q_rows);
      layer->k = part(qkv, q_rows, kv_rows);
      layer->v = part(qkv, q_rows + kv_rows, kv_rows);
    } else {
      BRISK_RETURN_IF_ERROR(linear(names_.q, q_rows, hidden, &layer->q));
      BRISK_RETURN_IF_ERROR(linear(names_.k, kv_rows, hidden, &layer->k));
      BRISK_RETURN_IF_ERROR(linear(names_.v, kv_rows, hidden, &layer->v));
      layer->k.slot = 1;
      layer->v.slot = 2;
    }
    BRISK_RETURN_IF_ERROR(linear(names_.o, hidden, q_rows, &layer->o));
    BRISK_RETURN_IF_ERROR(norm(names_.q_norm, spec_.head_dim, &layer->q_norm));
    BRISK_RETURN_IF_ERROR(norm(names_.k_norm, spec_.head_dim, &layer->k_norm));
    BRISK_RETURN_IF_ERROR(norm(names_.post_attention_norm, hidden, &layer->post_attention_norm));
    BRISK_RETURN_IF_ERROR(norm(names_.ffn_norm, hidden, &layer->ffn_norm));
    return norm(names_.post_ffn_norm, hidden, &layer->post_ffn_norm);
  }

  absl::Status bind_mlp(LayerWeights* layer) {
    const int64_t hidden = spec_.hidden_size;
    const int64_t ffn = spec_.ffn_size;
    if (!names_.gate_up.empty()) {
      Linear both;
      BRISK_RETURN_IF_ERROR(linear(names_.gate_up, 2 * ffn, hidden, &both));
      if (!can_be_cut(both.weight, ffn)) return not_in_rows(names_.gate_up);
      layer->gate = part(both, 0, ffn);
      layer->up = part(both, ffn, ffn);
    } else {
      if (spec_.gated_mlp) BRISK_RETURN_IF_ERROR(linear(names_.gate, ffn, hidden, &layer->gate));
      BRISK_RETURN_IF_ERROR(linear(names_.up, ffn, hidden, &layer->up));
      layer->up.slot = 1;
    }
    return linear(names_.down, hidden, ffn, &layer->down);
  }

  absl::Status bind_experts(LayerWeights* layer) {
    const MoeSpec& moe = spec_.moe;
    const int64_t hidden = spec_.hidden_size;
    BRISK_RETURN_IF_ERROR(linear(names_.router, moe.experts, hidden, &layer->router));
    layer->experts.resize(static_cast<size_t>(moe.experts));
    for (int e = 0; e < moe.experts; ++e) {
      ExpertWeights& expert = layer->experts[static_cast<size_t>(e)];
      BRISK_RETURN_IF_ERROR(
          expert_linear(names_.expert_gate, e, moe.ffn_size, hidden, &expert.gate));
      BRISK_RETURN_IF_ERROR(expert_linear(names_.expert_up, e, moe.ffn_size, hidden, &expert.up));
      BRISK_RETURN_IF_ERROR(
          expert_linear(names_.expert_down, e, hidden, moe.ffn_size, &expert.down));
    }
    if (moe.shared_ffn_size == 0) return absl::OkStatus();
    const int64_t shared = moe.shared_ffn_size;
    BRISK_RETURN_IF_ERROR(linear(names_.shared_gate, shared, hidden, &layer->shared_expert.gate));
    BRISK_RETURN_IF_ERROR(linear(names_.shared_up, shared, hidden, &layer->shared_expert.up));
    layer->shared_expert.up.slot = 1;
    BRISK_RETURN_IF_ERROR(linear(names_.shared_down, hidden, shared, &layer->shared_expert.down));
    return linear(names_.shared_expert_gate, 1, hidden, &layer->shared_expert_gate);
  }

  // One tensor per expert, or a row of a stacked one.
  absl::Status expert_linear(const std::string& pattern, int expert, int64_t out, int64_t in,
                             Linear* linear_out) {
    const std::string name = with_number(pattern, layer_);
    if (name.find("{}") != std::string::npos) {
      BRISK_RETURN_IF_ERROR(linear(with_number(name, expert), out, in, linear_out));
      if (linear_out->reduce == nullptr) return absl::OkStatus();
      return unsupported("{}: experts as two factors", with_number(name, expert));
    }
    const Tensor* stacked = find(name);
    if (stacked == nullptr) return missing(name);
    if (stacked->shape != std::vector<int64_t>{spec_.moe.experts, out, in}) {
      return wrong_shape(name, *stacked, {spec_.moe.experts, out, in});
    }
    if (!is_weight(stacked->dtype)) return not_a_weight(name);
    if (!can_be_cut(*stacked, out)) return not_in_rows(name);
    Tensor flat = *stacked;
    flat.shape = {spec_.moe.experts * out, in};
    linear_out->weight = slice_rows(flat, expert * out, out);
    return absl::OkStatus();
  }

  absl::Status linear(const std::string& pattern, int64_t out, int64_t in, Linear* linear_out) {
    const std::string name = with_number(pattern, layer_);
    const bool factored = find(factor_name(name, Factor::kA)) != nullptr ||
                          find(factor_name(name, Factor::kB)) != nullptr;
    if (factored) {
      BRISK_RETURN_IF_ERROR(factors(name, out, in, linear_out));
    } else if (names_.transposed && pattern != names_.head) {
      BRISK_ASSIGN_OR_RETURN(const Tensor stored, matrix(name, in, out));
      if (stored.is_packed()) return not_in_rows(name);
      BRISK_ASSIGN_OR_RETURN(linear_out->weight, transpose(name, stored));
    } else {
      BRISK_ASSIGN_OR_RETURN(linear_out->weight, matrix(name, out, in));
    }
    std::string bias = name;
    if (const size_t at = bias.rfind("weight"); at != std::string::npos)
      bias.replace(at, 6, "bias");
    return vector_if_present(bias, out, &linear_out->bias);
  }

  absl::Status factors(const std::string& name, int64_t out, int64_t in, Linear* linear_out) {
    const std::string a_name = factor_name(name, Factor::kA);
    const std::string b_name = factor_name(name, Factor::kB);
    const Tensor* a = find(a_name);
    if (a == nullptr || find(b_name) == nullptr) {
      return invalid_input("the checkpoint has {} without its other factor, {}",
                           a == nullptr ? b_name : a_name, a == nullptr ? a_name : b_name);
    }
    if (find(name) != nullptr) {
      return invalid_input("the checkpoint has {} beside the factors {} and {}; which is meant?",
                           name, a_name, b_name);
    }
    const int64_t rank = a->shape.size() == 2 ? a->shape[0] : 0;
    if (rank < 1 || rank > std::min(out, in)) {
      return invalid_input("{} has shape ({}), expected (rank, {}) with a rank of 1 to {}", a_name,
                           fmt::join(a->shape, ", "), in, std::min(out, in));
    }
    linear_out->reduce = std::make_shared<Linear>();
    BRISK_ASSIGN_OR_RETURN(linear_out->reduce->weight, matrix(a_name, rank, in));
    BRISK_ASSIGN_OR_RETURN(linear_out->weight, matrix(b_name, out, rank));
    return absl::OkStatus();
  }

  absl::Status norm(const std::string& pattern, int64_t size, NormWeights* norm_out) {
    if (pattern.empty()) return absl::OkStatus();
    const std::string name = with_number(pattern, layer_);
    BRISK_RETURN_IF_ERROR(vector_if_present(name, size, &norm_out->weight));
    if (norm_out->weight.empty()) return missing(name);
    std::string bias = name;
    bias.replace(bias.rfind("weight"), 6, "bias");
    return vector_if_present(bias, size, &norm_out->bias);
  }

  absl::Status vector_if_present(const std::string& name, int64_t size, std::vector<float>* out) {
    const Tensor* tensor = find(name);
    if (tensor == nullptr) return absl::OkStatus();
    if (tensor->shape != std::vector<int64_t>{size}) return wrong_shape(name, *tensor, {size});
    if (!is_weight(tensor->dtype)) return not_a_weight(name);
    if (tensor->is_packed()) return not_in_rows(name);
    out->resize(static_cast<size_t>(size));
    decode_values(*tensor, 0, size, out->data());
    return absl::OkStatus();
  }

  absl::StatusOr<Tensor> matrix(const std::string& name, int64_t rows, int64_t cols) const {
    const Tensor* tensor = find(name);
    if (tensor == nullptr) return missing(name);
    const bool is_row = rows == 1 && tensor->shape == std::vector<int64_t>{cols};
    if (!is_row && tensor->shape != std::vector<int64_t>{rows, cols}) {
      return wrong_shape(name, *tensor, {rows, cols});
    }
    if (!is_weight(tensor->dtype)) return not_a_weight(name);
    Tensor found = *tensor;
    found.shape = {rows, cols};
    return found;
  }

  // (in, out) to (out, in), copied: Conv1D weights lie the other way round.
  absl::StatusOr<Tensor> transpose(const std::string& name, const Tensor& stored) {
    const int64_t rows = stored.shape[0];
    const int64_t cols = stored.shape[1];
    if (format_of(stored.dtype).block_values != 1 || stored.scaled != nullptr) {
      return unsupported("{}: a quantised tensor cannot be transposed", name);
    }
    const auto size = static_cast<size_t>(format_of(stored.dtype).block_bytes);
    auto& copy = weights_.owned.emplace_back(std::make_unique<std::byte[]>(stored.data.size()));
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t c = 0; c < cols; ++c) {
        std::memcpy(copy.get() + static_cast<size_t>(c * rows + r) * size,
                    stored.data.data() + static_cast<size_t>(r * cols + c) * size, size);
      }
    }
    return Tensor{.dtype = stored.dtype,
                  .shape = {cols, rows},
                  .data = {copy.get(), stored.data.size()},
                  .scales = {},
                  .scale_group = 0};
  }

  static Linear part(const Linear& whole, int64_t begin, int64_t count) {
    Linear linear;
    linear.weight = slice_rows(whole.weight, begin, count);
    linear.reduce = whole.reduce;
    if (!whole.bias.empty()) {
      linear.bias.assign(whole.bias.begin() + begin, whole.bias.begin() + begin + count);
    }
    return linear;
  }

  const Tensor* find(const std::string& name) const {
    const NamedTensor* named = name.empty() ? nullptr : checkpoint_.find_weight(name);
    return named == nullptr ? nullptr : &named->tensor;
  }

  static absl::Status missing(const std::string& name) {
    return invalid_input("the checkpoint has no tensor {}", name);
  }
  static absl::Status not_a_weight(const std::string& name) {
    return unsupported("{}: its element type holds no weights", name);
  }
  static absl::Status not_in_rows(const std::string& name) {
    return invalid_input(
        "{} is packed, but brisk needs its rows; compile the model "
        "again",
        name);
  }
  static absl::Status wrong_shape(const std::string& name, const Tensor& tensor,
                                  const std::vector<int64_t>& expected) {
    return invalid_input("{} has shape ({}), expected ({})", name, fmt::join(tensor.shape, ", "),
                         fmt::join(expected, ", "));
  }

  const Checkpoint& checkpoint_;
  const TensorNames& names_;
  const ModelSpec& spec_;
  Weights weights_;
  int64_t layer_ = 0;
};

}  // namespace

absl::StatusOr<Weights> bind_weights(const Checkpoint& checkpoint, const TensorNames& names,
                                     const ModelSpec& spec) {
  return Binder(checkpoint, names, spec).bind();
}

}  // namespace brisk
