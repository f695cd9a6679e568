#include "model/checkpoint/compressed_tensors.h"

#include <span>
#include <utility>

#include "base/check.h"
#include "base/status.h"
#include "base/units.h"
#include "compute/tensor/half.h"

namespace brisk {
namespace {

// (rows, columns) to (columns, rows).
template <class T>
std::vector<T> transposed(const std::vector<T>& matrix, int64_t rows, int64_t columns) {
  std::vector<T> out(matrix.size());
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c) {
      out[static_cast<size_t>(c * rows + r)] = matrix[static_cast<size_t>(r * columns + c)];
    }
  }
  return out;
}

absl::Status append_scales(DType dtype, const std::vector<float>& scales,
                           TensorFileWriter& writer) {
  std::vector<uint16_t> halves;
  halves.reserve(scales.size());
  for (const float scale : scales) {
    halves.push_back(dtype == DType::kF16 ? f32_to_f16(scale) : f32_to_bf16(scale));
  }
  return writer.append(std::as_bytes(std::span(halves)));
}

absl::Status append_packed(const ScaledScheme& scheme, const ScaledCodes& matrix,
                           TensorFileWriter& writer) {
  const auto words = packed_words(scheme.bits, matrix.codes, matrix.inputs);
  BRISK_RETURN_IF_ERROR(writer.append(std::as_bytes(std::span(words))));
  BRISK_RETURN_IF_ERROR(append_scales(scheme.scale_dtype, matrix.scales, writer));
  if (!scheme.symmetric) {
    // Packed along the outputs: the words of what is transposed, transposed.
    const int64_t groups = scaled_groups(scheme, matrix.inputs);
    const auto across = transposed(matrix.zeros, matrix.outputs, groups);
    const auto packed = packed_words(scheme.bits, across, matrix.outputs);
    const auto zeros = transposed(packed, groups, std::ssize(packed) / groups);
    BRISK_RETURN_IF_ERROR(writer.append(std::as_bytes(std::span(zeros))));
  }
  const int64_t shape[2] = {matrix.outputs, matrix.inputs};
  return writer.append(std::as_bytes(std::span(shape)));
}

// A byte a weight; integers are signed in the file.
absl::Status append_bytes(const ScaledScheme& scheme, const ScaledCodes& matrix,
                          TensorFileWriter& writer) {
  const auto append = [&](const std::vector<uint8_t>& codes) {
    if (scheme.is_float) return writer.append(std::as_bytes(std::span(codes)));
    std::vector<uint8_t> bytes;
    bytes.reserve(codes.size());
    for (const uint8_t code : codes) bytes.push_back(code ^ 0x80);
    return writer.append(std::as_bytes(std::span(bytes)));
  };
  BRISK_RETURN_IF_ERROR(append(matrix.codes));
  BRISK_RETURN_IF_ERROR(append_scales(scheme.scale_dtype, matrix.scales, writer));
  if (scheme.symmetric) return absl::OkStatus();
  return append(matrix.zeros);
}

// compressed-tensors' QuantizationArgs.
Json arguments(const ScaledScheme& scheme, std::string_view strategy, bool dynamic) {
  return {{"num_bits", dynamic ? 8 : scheme.bits},
          {"type", scheme.is_float ? "float" : "int"},
          {"symmetric", dynamic || scheme.symmetric},
          {"strategy", strategy},
          {"group_size", nullptr},
          {"block_structure", nullptr},
          {"dynamic", dynamic},
          {"actorder", nullptr},
          {"observer", dynamic ? Json(nullptr) : Json("minmax")},
          {"observer_kwargs", Json::object()}};
}

}  // namespace

std::vector<TensorPlan> scaled_matrix_plans(const ScaledScheme& scheme, const std::string& name,
                                            int64_t outputs, int64_t inputs) {
  BRISK_CHECK(name.ends_with("weight"));
  const int64_t groups = scaled_groups(scheme, inputs), each = 32 / scheme.bits;
  const auto plan = [&](std::string_view ending, DType dtype, std::vector<int64_t> shape) {
    return TensorPlan{
        .name = name + std::string(ending), .dtype = dtype, .shape = std::move(shape)};
  };
  std::vector<TensorPlan> plans;
  const TensorPlan scales = plan("_scale", scheme.scale_dtype, {outputs, groups});
  if (scheme.bits == 8) {
    const DType codes = scheme.is_float ? DType::kF8E4M3 : DType::kI8;
    plans = {plan("", codes, {outputs, inputs}), scales};
    if (!scheme.symmetric) plans.push_back(plan("_zero_point", DType::kI8, {outputs, groups}));
    return plans;
  }
  plans = {plan("_packed", DType::kI32, {outputs, ceil_div(inputs, each)}), scales};
  if (!scheme.symmetric) {
    plans.push_back(plan("_zero_point", DType::kI32, {ceil_div(outputs, each), groups}));
  }
  plans.push_back(plan("_shape", DType::kI64, {2}));
  return plans;
}

absl::Status append_scaled_matrix(const ScaledScheme& scheme, const ScaledCodes& matrix,
                                  TensorFileWriter& writer) {
  const auto groups = static_cast<size_t>(matrix.outputs * scaled_groups(scheme, matrix.inputs));
  BRISK_CHECK(matrix.codes.size() == static_cast<size_t>(matrix.outputs * matrix.inputs));
  BRISK_CHECK(matrix.scales.size() == groups);
  BRISK_CHECK(matrix.zeros.size() == (scheme.symmetric ? 0 : groups));
  return scheme.bits == 8 ? append_bytes(scheme, matrix, writer)
                          : append_packed(scheme, matrix, writer);
}

Json quantization_config_of(const ScaledScheme& scheme, const std::vector<std::string>& ignored) {
  Json weights = arguments(scheme, scheme.group == 0 ? "channel" : "group", /*dynamic=*/false);
  if (scheme.group > 0) weights["group_size"] = scheme.group;
  const Json inputs =
      scheme.rounds_activations ? arguments(scheme, "token", /*dynamic=*/true) : Json(nullptr);
  const char* const format = scheme.is_float    ? "float-quantized"
                             : scheme.bits == 8 ? "int-quantized"
                                                : "pack-quantized";
  return {{"quant_method", "compressed-tensors"},
          {"format", format},
          {"quantization_status", "compressed"},
          {"kv_cache_scheme", nullptr},
          {"ignore", ignored},
          {"config_groups",
           {{"group_0",
             {{"targets", Json::array({"Linear"})},
              {"weights", std::move(weights)},
              {"input_activations", inputs},
              {"output_activations", nullptr}}}}}};
}

}  // namespace brisk
