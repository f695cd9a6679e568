#include "model/convert/scaled_rounding.h"

#include <algorithm>

#include "base/status.h"

namespace brisk {
namespace {

// "model.layers.{}.mlp.gate.weight" and "model.layers.7.mlp.gate.weight".
bool matches(const std::string& pattern, const std::string& name) {
  const size_t at = pattern.find("{}");
  if (at == std::string::npos) return pattern == name;
  const size_t tail = pattern.size() - at - 2;
  return name.size() > at + tail && name.compare(0, at, pattern, 0, at) == 0 &&
         name.compare(name.size() - tail, tail, pattern, at + 2, tail) == 0 &&
         std::all_of(name.begin() + static_cast<ptrdiff_t>(at),
                     name.end() - static_cast<ptrdiff_t>(tail),
                     [](char c) { return c >= '0' && c <= '9'; });
}

// What other engines do not count among the linear modules that a scheme is for.
bool stays(const TensorNames& names, const std::string& name) {
  for (const std::string* pattern : {&names.embedding, &names.positions, &names.head, &names.router,
                                     &names.shared_expert_gate}) {
    if (!pattern->empty() && matches(*pattern, name)) return true;
  }
  return false;
}

// What scales are stored in: where a matrix is in the scheme already, as there, so that it can
// stay; else f16 where all matrices are.
DType scale_dtype_for(const ScaledScheme& scheme, const std::vector<ConvertedTensor>& tensors) {
  bool all_f16 = true;
  for (const ConvertedTensor& tensor : tensors) {
    for (const Tensor* source : tensor.sources) {
      if (source->scaled == nullptr || !is_in_scheme(scheme, *source->scaled)) continue;
      if (source->scaled->scale_dtype != DType::kF32) return source->scaled->scale_dtype;
    }
    const bool matrix = tensor.plan.shape.size() == 2 && tensor.plan.name.ends_with(".weight");
    if (matrix) all_f16 &= tensor.plan.dtype == DType::kF16;
  }
  return all_f16 ? DType::kF16 : DType::kBF16;
}

}  // namespace

absl::StatusOr<ScaledRounding> plan_scaled_rounding(const Conversion& conversion,
                                                    const ScaledScheme& scheme,
                                                    const std::vector<ConvertedTensor>& tensors) {
  const std::string& family = conversion.config.architecture;
  if (conversion.names.transposed || family == "bitnet") {
    return unsupported("{} models cannot be written with scales of their own; choose f16 or bf16",
                       family);
  }
  ScaledRounding rounding = {.scheme = scheme, .rounds = {}, .ignored = {}};
  bool any = false;
  for (const ConvertedTensor& tensor : tensors) {
    const std::string& name = tensor.plan.name;
    const bool matrix = tensor.plan.shape.size() == 2 && name.ends_with(".weight");
    const bool whole = matrix && (scheme.group == 0 || tensor.plan.shape[1] % scheme.group == 0);
    const bool stay = stays(conversion.names, name);
    rounding.rounds.push_back(whole && !stay);
    any |= rounding.rounds.back();
    const bool table = name == conversion.names.embedding || name == conversion.names.positions;
    if (matrix && !rounding.rounds.back() && !table) {
      rounding.ignored.push_back(name.substr(0, name.size() - 7));
    }
  }
  if (!any) {
    return invalid_input("no matrix has rows of whole groups of {}; choose a smaller group",
                         scheme.group);
  }
  rounding.scheme.scale_dtype = scale_dtype_for(scheme, tensors);
  return rounding;
}

absl::StatusOr<ScaledCodes> round_tensor(const ScaledScheme& scheme, const ConvertedTensor& tensor,
                                         ThreadTeam& team) {
  constexpr int64_t kChunkValues = int64_t{1} << 20;  // that a member decodes at a time
  const int64_t outputs = tensor.plan.shape[0], inputs = tensor.plan.shape[1];
  const int64_t chunk = std::max<int64_t>(1, kChunkValues / inputs);
  if (tensor.sources.size() == 1 && tensor.shift == 0 && !tensor.transposed &&
      tensor.sources.front()->shape.back() == inputs) {
    const auto row_of = [&](int64_t output) { return tensor.place_of(output).row; };
    auto kept = codes_of(scheme, *tensor.sources.front(), outputs, row_of);
    if (kept.has_value()) return *std::move(kept);
  }
  ScaledCodes codes = sized_codes(scheme, outputs, inputs);
  std::vector<absl::Status> statuses(static_cast<size_t>(team.size()));
  team.run([&](Worker worker) {
    const Range mine = worker.share(outputs);
    std::vector<float> weights;
    absl::Status& status = statuses[static_cast<size_t>(worker.index)];
    for (int64_t begin = mine.begin; begin < mine.end && status.ok(); begin += chunk) {
      const int64_t count = std::min(chunk, mine.end - begin);
      weights.resize(static_cast<size_t>(count * inputs));
      tensor.rows(begin, count, weights.data());
      status = round_to_nearest(scheme, weights, begin, &codes);
    }
  });
  for (const absl::Status& status : statuses) {
    if (!status.ok()) return annotate(status, tensor.plan.name);
  }
  return codes;
}

}  // namespace brisk
