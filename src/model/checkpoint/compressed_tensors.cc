#include "model/checkpoint/compressed_tensors.h"

#include <algorithm>
#include <cstring>
#include <span>
#include <utility>

#include "base/check.h"
#include "base/status.h"
#include "base/units.h"
#include "compute/tensor/half.h"

namespace brisk {
namespace {

// Codes in 32-bit words, from the lowest bits on; `stride` apart in memory.
void pack_words(const uint8_t* codes, int64_t count, int64_t stride, int bits, int32_t* words,
                int64_t word_stride) {
  const int each = 32 / bits;
  for (int64_t first = 0; first < count; first += each, words += word_stride) {
    uint32_t word = 0;
    for (int64_t i = first; i < std::min(count, first + each); ++i) {
      word |= uint32_t{codes[i * stride]} << ((i - first) * bits);
    }
    std::memcpy(words, &word, sizeof word);
  }
}

absl::Status append_words(const std::vector<int32_t>& words, TensorFileWriter& writer) {
  return writer.append(std::as_bytes(std::span(words)));
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

absl::Status append_packed(const IntScheme& scheme, const IntCodes& matrix,
                           TensorFileWriter& writer) {
  const int64_t words = ceil_div<int64_t>(matrix.inputs, 32 / scheme.bits);
  std::vector<int32_t> packed(static_cast<size_t>(matrix.outputs * words));
  for (int64_t o = 0; o < matrix.outputs; ++o) {
    pack_words(matrix.codes.data() + o * matrix.inputs, matrix.inputs, 1, scheme.bits,
               packed.data() + o * words, 1);
  }
  BRISK_RETURN_IF_ERROR(append_words(packed, writer));
  BRISK_RETURN_IF_ERROR(append_scales(scheme.scale_dtype, matrix.scales, writer));
  if (!scheme.symmetric) {
    const int64_t groups = int_groups(scheme, matrix.inputs);
    packed.assign(static_cast<size_t>(ceil_div<int64_t>(matrix.outputs, 32 / scheme.bits) * groups),
                  0);
    for (int64_t g = 0; g < groups; ++g) {
      pack_words(matrix.zeros.data() + g, matrix.outputs, groups, scheme.bits, packed.data() + g,
                 groups);
    }
    BRISK_RETURN_IF_ERROR(append_words(packed, writer));
  }
  const int64_t shape[2] = {matrix.outputs, matrix.inputs};
  return writer.append(std::as_bytes(std::span(shape)));
}

// Bytes are signed in the file.
absl::Status append_signed(const IntScheme& scheme, const IntCodes& matrix,
                           TensorFileWriter& writer) {
  const auto append = [&](const std::vector<uint8_t>& codes) {
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
Json arguments(int bits, std::string_view strategy, bool symmetric, bool dynamic) {
  return {{"num_bits", bits},
          {"type", "int"},
          {"symmetric", symmetric},
          {"strategy", strategy},
          {"group_size", nullptr},
          {"block_structure", nullptr},
          {"dynamic", dynamic},
          {"actorder", nullptr},
          {"observer", dynamic ? Json(nullptr) : Json("minmax")},
          {"observer_kwargs", Json::object()}};
}

}  // namespace

std::vector<TensorPlan> int_matrix_plans(const IntScheme& scheme, const std::string& name,
                                         int64_t outputs, int64_t inputs) {
  BRISK_CHECK(name.ends_with("weight"));
  const int64_t groups = int_groups(scheme, inputs), each = 32 / scheme.bits;
  const auto plan = [&](std::string_view ending, DType dtype, std::vector<int64_t> shape) {
    return TensorPlan{
        .name = name + std::string(ending), .dtype = dtype, .shape = std::move(shape)};
  };
  std::vector<TensorPlan> plans;
  const TensorPlan scales = plan("_scale", scheme.scale_dtype, {outputs, groups});
  if (scheme.bits == 8) {
    plans = {plan("", DType::kI8, {outputs, inputs}), scales};
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

absl::Status append_int_matrix(const IntScheme& scheme, const IntCodes& matrix,
                               TensorFileWriter& writer) {
  const auto groups = static_cast<size_t>(matrix.outputs * int_groups(scheme, matrix.inputs));
  BRISK_CHECK(matrix.codes.size() == static_cast<size_t>(matrix.outputs * matrix.inputs));
  BRISK_CHECK(matrix.scales.size() == groups);
  BRISK_CHECK(matrix.zeros.size() == (scheme.symmetric ? 0 : groups));
  return scheme.bits == 8 ? append_signed(scheme, matrix, writer)
                          : append_packed(scheme, matrix, writer);
}

Json quantization_config_of(const IntScheme& scheme, const std::vector<std::string>& ignored) {
  Json weights = arguments(scheme.bits, scheme.group == 0 ? "channel" : "group", scheme.symmetric,
                           /*dynamic=*/false);
  if (scheme.group > 0) weights["group_size"] = scheme.group;
  const Json inputs =
      scheme.rounds_activations ? arguments(8, "token", true, /*dynamic=*/true) : Json(nullptr);
  return {{"quant_method", "compressed-tensors"},
          {"format", scheme.bits == 8 ? "int-quantized" : "pack-quantized"},
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
