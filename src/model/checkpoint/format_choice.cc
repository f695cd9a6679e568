#include "model/checkpoint/format_choice.h"

#include <optional>
#include <utility>

#include "base/status.h"
#include "compute/quant/format.h"
#include "compute/quant/scaled_scheme.h"

namespace brisk {
namespace {

constexpr std::string_view kQ4KM = "q4_k_m", kTernary = "ternary";

double bits_of(DType dtype) {
  const Format& format = format_of(dtype);
  return 8.0 * format.block_bytes / format.block_values;
}

DType fitting(DType wanted, int64_t row) {
  if (row % format_of(wanted).block_values == 0) return wanted;
  const double bits = bits_of(wanted);
  const DType smaller = bits < 4 ? DType::kQ4_0 : bits < 5 ? DType::kQ5_0 : DType::kQ8_0;
  return row % format_of(smaller).block_values == 0 ? smaller : DType::kF16;
}

// llama.cpp's Q4_K_M: q6_k for the head and for the first, the last and every third of the other
// value and down projections; q4_k for the rest.
DType q4_k_m(std::string_view name, int64_t layers, bool tied) {
  if (name == "output.weight" || (tied && name == "token_embd.weight")) return DType::kQ6_K;
  const bool sensitive = name.find("attn_v.") != std::string_view::npos ||
                         name.find("ffn_down") != std::string_view::npos;
  if (!sensitive || !name.starts_with("blk.")) return DType::kQ4_K;
  int64_t layer = 0;
  for (const char digit : name.substr(4)) {  // "blk.17.attn_v.weight"
    if (digit < '0' || digit > '9') break;
    layer = layer * 10 + (digit - '0');
  }
  const int64_t eighth = layers / 8;
  const bool better = layer < eighth || layer >= 7 * layers / 8 || (layer - eighth) % 3 == 2;
  return better ? DType::kQ6_K : DType::kQ4_K;
}

// Embeddings and head, which so few levels would ruin, have more, as in llama.cpp's TQ2_0.
template <DType kMatrices>
DType with_finer_tables(std::string_view name, int64_t /*layers*/, bool tied) {
  if (name == "output.weight" || (tied && name == "token_embd.weight")) return DType::kQ6_K;
  return name == "token_embd.weight" ? DType::kQ4_K : kMatrices;
}

}  // namespace

std::string format_choices() {
  std::string names;
  for (const Format& format : formats()) {
    if (format.encode != nullptr) names += fmt::format("{}, ", format.name);
  }
  return names + fmt::format("{}, {}", kQ4KM, kTernary);
}

absl::StatusOr<FormatChoice> FormatChoice::parse(std::string_view name) {
  if (name == kQ4KM) return FormatChoice(name, q4_k_m, DType::kQ4_K);
  if (name == kTernary) return FormatChoice(name, with_finer_tables<DType::kTQ2_0>, DType::kTQ2_0);
  const std::optional<DType> dtype = dtype_from_name(name);
  if (!dtype.has_value() || format_of(*dtype).encode == nullptr) {
    return invalid_input(
        "the format \"{}\" cannot be written; these can: {}; in a directory also {}", name,
        format_choices(), scaled_scheme_names());
  }
  const Mix mix = dtype == DType::kQ2_K ? with_finer_tables<DType::kQ2_K> : nullptr;
  return FormatChoice(format_of(*dtype).name, mix, *dtype);
}

bool FormatChoice::is_below_four_bits() const { return bits_of(dtype_) < 4; }

DType FormatChoice::of(const TensorPlan& tensor, int64_t layers, bool tied) const {
  const bool router = tensor.name.find("ffn_gate_inp") != std::string::npos;
  if (tensor.shape.size() < 2 || router) return DType::kF32;
  const DType wanted = mix_ != nullptr ? mix_(tensor.name, layers, tied) : dtype_;
  return fitting(wanted, tensor.shape.back());
}

uint32_t FormatChoice::file_type() const {
  constexpr std::pair<std::string_view, uint32_t> kTypes[] = {
      {"f32", 0},   {"f16", 1},   {"q4_0", 2},    {"q4_1", 3},   {"q8_0", 7},
      {"q5_0", 8},  {"q5_1", 9},  {"q2_k", 10},   {"q4_k", 14},  {kQ4KM, 15},
      {"q6_k", 18}, {"bf16", 32}, {kTernary, 37}, {"tq2_0", 37},
  };
  for (const auto& [known, number] : kTypes) {
    if (known == name_) return number;
  }
  return 0;
}

}  // namespace brisk
