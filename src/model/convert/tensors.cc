#include "model/convert/tensors.h"

#include <algorithm>
#include <set>
#include <string>
#include <utility>

#include "base/status.h"
#include "compute/quant/format.h"
#include "model/checkpoint/tensor_encoder.h"
#include "model/convert/rope_factors.h"
#include "model/low_rank.h"
#include "model/rotated_rows.h"

namespace brisk {
namespace {

using Name = std::string TensorNames::*;

// kRow: a matrix of one row, which GGUF has as a vector.
enum class Kind : uint8_t { kMatrix, kTable, kNorm, kRotated, kExpert, kRow };

struct Role {
  Name name;
  Kind kind;
};

constexpr Role kTopRoles[] = {
    {&TensorNames::embedding, Kind::kTable},
    {&TensorNames::positions, Kind::kTable},
};

constexpr Role kLayerRoles[] = {
    {&TensorNames::attention_norm, Kind::kNorm},
    {&TensorNames::q, Kind::kRotated},
    {&TensorNames::k, Kind::kRotated},
    {&TensorNames::v, Kind::kMatrix},
    {&TensorNames::qkv, Kind::kMatrix},
    {&TensorNames::attention_sub_norm, Kind::kNorm},
    {&TensorNames::o, Kind::kMatrix},
    {&TensorNames::q_norm, Kind::kNorm},
    {&TensorNames::k_norm, Kind::kNorm},
    {&TensorNames::post_attention_norm, Kind::kNorm},
    {&TensorNames::ffn_norm, Kind::kNorm},
    {&TensorNames::gate, Kind::kMatrix},
    {&TensorNames::up, Kind::kMatrix},
    {&TensorNames::gate_up, Kind::kMatrix},
    {&TensorNames::ffn_sub_norm, Kind::kNorm},
    {&TensorNames::down, Kind::kMatrix},
    {&TensorNames::post_ffn_norm, Kind::kNorm},
    {&TensorNames::router, Kind::kMatrix},
    {&TensorNames::expert_gate, Kind::kExpert},
    {&TensorNames::expert_up, Kind::kExpert},
    {&TensorNames::expert_down, Kind::kExpert},
    {&TensorNames::shared_gate, Kind::kMatrix},
    {&TensorNames::shared_up, Kind::kMatrix},
    {&TensorNames::shared_down, Kind::kMatrix},
    {&TensorNames::shared_expert_gate, Kind::kRow},
};

constexpr Role kLastRoles[] = {
    {&TensorNames::final_norm, Kind::kNorm},
    {&TensorNames::head, Kind::kTable},
};

bool is_pattern(const std::string& name) { return name.find("{}") != std::string::npos; }

std::string bias_of(std::string name) {
  const size_t at = name.rfind("weight");
  return at == std::string::npos ? "" : name.replace(at, 6, "bias");
}

// The scale of a projection; empty where there is none.
std::string scale_of(const TensorNames& names, Name projection, int64_t layer) {
  std::string name = with_number(names.*projection, layer);
  const size_t at = name.rfind("weight");
  if (names.scale.empty() || at == std::string::npos) return "";
  return name.replace(at, 6, names.scale);
}

class Planner {
 public:
  explicit Planner(const Conversion& conversion) : conversion_(conversion) {}

  std::vector<ConvertedTensor> plan() {
    for (const Role& role : kTopRoles) place(role, 0);
    place_rope_factors();
    for (size_t i = 0; i < conversion_.spec.layers.size(); ++i) {
      for (const Role& role : kLayerRoles) place(role, static_cast<int64_t>(i));
      place_bitnet(static_cast<int64_t>(i));
    }
    for (const Role& role : kLastRoles) place(role, 0);
    return std::move(tensors_);
  }

  int64_t unplaced() const {
    return static_cast<int64_t>(conversion_.source->tensors.size() - used_.size());
  }

 private:
  void place(const Role& role, int64_t layer) {
    const std::string from = with_number(conversion_.source_names.*role.name, layer);
    const std::string to = with_number(conversion_.names.*role.name, layer);
    if (from.empty() || to.empty()) return;
    if (role.kind == Kind::kExpert) return place_experts(from, to);
    place_one(role.kind, from, to);
    place_one(role.kind, bias_of(from), bias_of(to));
    if (role.kind != Kind::kMatrix && role.kind != Kind::kRotated) return;
    // Rows of the second factor are the projection's; neither is ever transposed.
    const bool rotated = role.kind == Kind::kRotated;
    place_one(Kind::kTable, factor_name(from, Factor::kA), factor_name(to, Factor::kA));
    place_one(rotated ? Kind::kRotated : Kind::kTable, factor_name(from, Factor::kB),
              factor_name(to, Factor::kB));
  }

  void place_one(Kind kind, const std::string& from, const std::string& to) {
    const Tensor* tensor = find(from);
    if (tensor == nullptr) return;
    ConvertedTensor converted = of(to, *tensor);
    const bool weight = from.ends_with("weight");
    if (kind == Kind::kNorm && weight) converted.shift = conversion_.norm_shift;
    if (kind == Kind::kRotated && conversion_.rows_move) {
      converted.head_dim = conversion_.spec.head_dim;
      converted.to_interleaved = conversion_.interleaved;
    }
    const bool projection = kind == Kind::kMatrix || kind == Kind::kRotated;
    if (projection && tensor->shape.size() == 2 &&
        conversion_.source_names.transposed != conversion_.names.transposed) {
      converted.transposed = true;
      converted.plan.shape = {tensor->shape[1], tensor->shape[0]};
    }
    if (kind == Kind::kRow && conversion_.config.layout == Layout::kHuggingFace) {
      converted.plan.shape = {1, tensor->values()};
    } else if (kind == Kind::kRow) {
      converted.plan.shape = {tensor->values()};
    }
    tensors_.push_back(std::move(converted));
  }

  // One tensor an expert becomes one for all, and the other way round.
  void place_experts(const std::string& from, const std::string& to) {
    const int64_t experts = conversion_.spec.moe.experts;
    if (!is_pattern(from) && !is_pattern(to)) return place_one(Kind::kExpert, from, to);
    if (!is_pattern(from)) return unstack(from, to, experts);
    std::vector<const Tensor*> sources;
    for (int64_t e = 0; e < experts; ++e) {
      const Tensor* tensor = find(with_number(from, e));
      if (tensor == nullptr) return;
      sources.push_back(tensor);
      if (is_pattern(to)) tensors_.push_back(of(with_number(to, e), *tensor));
    }
    if (is_pattern(to) || sources.empty()) return;
    ConvertedTensor stacked = of(to, *sources.front());
    stacked.plan.shape.insert(stacked.plan.shape.begin(), experts);
    stacked.sources = std::move(sources);
    tensors_.push_back(std::move(stacked));
  }

  void unstack(const std::string& from, const std::string& to, int64_t experts) {
    const Tensor* tensor = find(from);
    if (tensor == nullptr) return;
    for (int64_t e = 0; e < experts; ++e) {
      ConvertedTensor one = of(with_number(to, e), *tensor);
      one.plan.shape.erase(one.plan.shape.begin());
      one.first_row = e * one.plan.shape.front();
      tensors_.push_back(std::move(one));
    }
  }

  // bitllama2.c has neither norms in front of its projections nor scales apart from them; the
  // others have norms that stand for none (see model/arch/bitnet.cc), Hugging Face also scales.
  void place_bitnet(int64_t layer) {
    const TensorNames& names = conversion_.names;
    if (names.scale.empty()) return;
    const auto place_all = [&](const std::string& pattern, int64_t size, float value) {
      const std::vector<float> values(static_cast<size_t>(size), value);
      constant(with_number(pattern, layer), values);
    };
    const ModelSpec& spec = conversion_.spec;
    if (conversion_.source_names.scale.empty()) {
      const int64_t mixed = int64_t{spec.heads} * spec.head_dim;
      for (const auto& [pattern, width] :
           {std::pair(&names.attention_norm, int64_t{spec.hidden_size}),
            std::pair(&names.attention_sub_norm, mixed),
            std::pair(&names.ffn_norm, int64_t{spec.hidden_size}),
            std::pair(&names.ffn_sub_norm, int64_t{spec.ffn_size})}) {
        place_all(*pattern, width, 1 / static_cast<float>(width));
      }
    }
    for (const Role& role : kLayerRoles) {
      if (role.kind != Kind::kMatrix && role.kind != Kind::kRotated) continue;
      find(scale_of(conversion_.source_names, role.name, layer));
      const bool is_projection =
          find(with_number(conversion_.source_names.*role.name, layer)) != nullptr;
      if (is_projection && conversion_.config.layout == Layout::kHuggingFace) {
        place_all(scale_of(names, role.name, layer), 1, 1);
      }
    }
  }

  // Hugging Face has the scaling of the rotation in its configuration, GGUF in tensors.
  void place_rope_factors() {
    if (conversion_.config.layout == Layout::kHuggingFace) {
      for (const char* name :
           {"rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight"}) {
        find(name);
      }
      return;
    }
    const RopeScaling& scaling = conversion_.config.rope_scaling;
    for (const char* name :
         {"rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight"}) {
      if (const Tensor* tensor = find(name)) tensors_.push_back(of(name, *tensor));
    }
    if (scaling.kind == RopeScaling::Kind::kLlama3) {
      constant("rope_freqs.weight", llama3_rope_factors(conversion_.config));
    }
    if (scaling.kind == RopeScaling::Kind::kLongRope && !scaling.long_factors.empty()) {
      constant("rope_factors_long.weight", scaling.long_factors);
      constant("rope_factors_short.weight", scaling.short_factors);
    }
  }

  void constant(const std::string& name, std::vector<float> values) {
    ConvertedTensor tensor;
    tensor.plan = {
        .name = name, .dtype = DType::kF32, .shape = {static_cast<int64_t>(values.size())}};
    tensor.values = std::move(values);
    tensors_.push_back(std::move(tensor));
  }

  static ConvertedTensor of(const std::string& name, const Tensor& tensor) {
    ConvertedTensor converted;
    converted.plan = {.name = name, .dtype = tensor.dtype, .shape = tensor.shape};
    converted.sources = {&tensor};
    return converted;
  }

  const Tensor* find(const std::string& name) {
    const NamedTensor* named = name.empty() ? nullptr : conversion_.source->find_weight(name);
    if (named == nullptr) return nullptr;
    used_.insert(&named->tensor);
    return &named->tensor;
  }

  const Conversion& conversion_;
  std::vector<ConvertedTensor> tensors_;
  std::set<const Tensor*> used_;
};

// A vector whose elements move as rows do.
void move_elements(const ConvertedTensor& tensor, float* out) {
  const Tensor& source = *tensor.sources.front();
  std::vector<float> values(static_cast<size_t>(source.values()));
  decode_values(source, 0, source.values(), values.data());
  for (int64_t i = 0; i < source.values(); ++i) {
    out[i] = values[static_cast<size_t>(rotated_row(i, tensor.head_dim, tensor.to_interleaved))];
  }
}

}  // namespace

ConvertedTensor::Place ConvertedTensor::place_of(int64_t row) const {
  const int64_t source_rows = sources.front()->values() / plan.shape.back();
  if (head_dim != 0) row = rotated_row(row, head_dim, to_interleaved);
  row += first_row;
  return {sources[static_cast<size_t>(row / source_rows)], row % source_rows};
}

bool ConvertedTensor::keeps_bytes() const {
  if (sources.empty() || plan.shape.size() < 2 || transposed || shift != 0) return false;
  return std::all_of(sources.begin(), sources.end(), [this](const Tensor* source) {
    return source->dtype == plan.dtype && source->scales.empty();
  });
}

std::span<const std::byte> ConvertedTensor::row_bytes(int64_t row) const {
  const auto size = static_cast<size_t>(bytes_of(plan.dtype, plan.shape.back()));
  const Place place = place_of(row);
  return place.source->data.subspan(static_cast<size_t>(place.row) * size, size);
}

void ConvertedTensor::rows(int64_t begin, int64_t count, float* out) const {
  const int64_t width = plan.shape.back();
  if (!values.empty()) {
    std::copy_n(values.begin() + begin * width, count * width, out);
    return;
  }
  if (head_dim != 0 && plan.shape.size() == 1) return move_elements(*this, out);
  for (int64_t i = 0; i < count; ++i) {
    const Place place = place_of(begin + i);
    decode_values(*place.source, place.row * width, width, out + i * width);
  }
  for (int64_t i = 0; shift != 0 && i < count * width; ++i) out[i] += shift;
}

void ConvertedTensor::prepare() {
  if (!transposed) return;
  const Tensor& source = *sources.front();
  const int64_t height = source.shape[0], width = source.shape[1];
  std::vector<float> row(static_cast<size_t>(width));
  values.resize(static_cast<size_t>(source.values()));
  for (int64_t r = 0; r < height; ++r) {
    decode_values(source, r * width, width, row.data());
    for (int64_t c = 0; c < width; ++c) {
      values[static_cast<size_t>(c * height + r)] = row[static_cast<size_t>(c)];
    }
  }
}

absl::StatusOr<std::vector<ConvertedTensor>> plan_tensors(const Conversion& conversion,
                                                          int64_t* unplaced) {
  Planner planner(conversion);
  std::vector<ConvertedTensor> tensors = planner.plan();
  *unplaced = planner.unplaced();
  if (tensors.empty()) return invalid_input("there are no tensors to convert");
  return tensors;
}

}  // namespace brisk
