#include "model/checkpoint/scaled_tensors.h"

#include <absl/container/flat_hash_set.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "base/units.h"
#include "compute/quant/format.h"
#include "model/checkpoint/tensor_table.h"

namespace brisk {
namespace {

using Method = QuantizationConfig::Method;
using Shape = std::vector<int64_t>;

int64_t load_integer(const Tensor& tensor, int64_t index) {
  if (tensor.dtype == DType::kI64) {
    int64_t value;
    std::memcpy(&value, tensor.data.data() + 8 * index, sizeof value);
    return value;
  }
  int32_t value;
  std::memcpy(&value, tensor.data.data() + 4 * index, sizeof value);
  return value;
}

// Assembles the matrices of one checkpoint.
class Combiner {
 public:
  Combiner(const QuantizationConfig& config, Checkpoint& checkpoint)
      : config_(config), checkpoint_(checkpoint) {}

  absl::Status run() {
    for (const NamedTensor& named : checkpoint_.tensors) {
      const auto module = module_of(named);
      if (!module.has_value()) continue;
      absl::StatusOr<Tensor> matrix = combine(*module, named.tensor);
      if (!matrix.ok()) return annotate(matrix.status(), *module);
      for (const char* unused : {"input_scale", "input_zero_point"}) take(*module, unused);
      combined_.push_back({*module + ".weight", *std::move(matrix)});
    }
    return replace();
  }

 private:
  // The module whose codes this tensor holds.
  std::optional<std::string> module_of(const NamedTensor& named) const {
    const auto before = [&](std::string_view ending) -> std::optional<std::string> {
      if (!named.name.ends_with(ending)) return std::nullopt;
      return named.name.substr(0, named.name.size() - ending.size());
    };
    if (config_.method == Method::kGptq || config_.method == Method::kAwq) {
      return before(".qweight");
    }
    if (auto module = before(".weight_packed")) return module;
    const DType dtype = named.tensor.dtype;
    return dtype == DType::kF8E4M3 || dtype == DType::kI8 ? before(".weight") : std::nullopt;
  }

  absl::StatusOr<Tensor> combine(const std::string& module, const Tensor& codes) {
    if (codes.shape.size() != 2) {
      return invalid_input("codes of shape {} are no matrix", shape_text(codes.shape));
    }
    if (config_.method == Method::kGptq) return gptq(module, codes);
    if (config_.method == Method::kAwq) return awq(module, codes);
    return codes.dtype == DType::kI32 ? packed(module, codes) : whole_bytes(module, codes);
  }

  // --- The layouts. ---

  absl::StatusOr<Tensor> gptq(const std::string& module, const Tensor& codes) {
    const WeightScheme& scheme = config_.schemes.front();
    const int bits = scheme.bits;
    const int64_t outputs = codes.shape[1], inputs = codes.shape[0] * 32 / bits;
    BRISK_RETURN_IF_ERROR(expect(codes, "qweight", {DType::kI32}, codes.shape));
    ScaledMatrix matrix = {.inputs = inputs, .group_inputs = group_of(scheme, inputs)};
    const int64_t groups = ceil_div(inputs, matrix.group_inputs);
    const int64_t zero_words = ceil_div<int64_t>(outputs * bits, 32);
    BRISK_ASSIGN_OR_RETURN(const Tensor* const zeros, part(module, "qzeros"));
    BRISK_RETURN_IF_ERROR(expect(*zeros, "qzeros", {DType::kI32}, {groups, zero_words}));
    BRISK_RETURN_IF_ERROR(scales_by_input(module, outputs, groups, matrix));
    BRISK_RETURN_IF_ERROR(read_groups(module, "g_idx", groups, matrix));
    take(module, "qweight");
    matrix.codes = {
        .data = codes.data.data(), .bits = bits, .line_bytes = 4, .word_bytes = 4 * outputs};
    matrix.zeros = IntGrid{.data = zeros->data.data(),
                           .bits = bits,
                           .line_bytes = 4 * zero_words,
                           .lines_are_outputs = false};
    matrix.zero = config_.zero_offset;
    matrix.side_bytes += std::ssize(zeros->data);
    return finish(std::move(matrix), codes, outputs);
  }

  absl::StatusOr<Tensor> awq(const std::string& module, const Tensor& codes) {
    const WeightScheme& scheme = config_.schemes.front();
    const int64_t inputs = codes.shape[0], words = codes.shape[1], outputs = 8 * words;
    BRISK_RETURN_IF_ERROR(expect(codes, "qweight", {DType::kI32}, codes.shape));
    ScaledMatrix matrix = {.inputs = inputs, .group_inputs = group_of(scheme, inputs)};
    const int64_t groups = ceil_div(inputs, matrix.group_inputs);
    BRISK_ASSIGN_OR_RETURN(const Tensor* const zeros, part(module, "qzeros"));
    BRISK_RETURN_IF_ERROR(expect(*zeros, "qzeros", {DType::kI32}, {groups, words}));
    BRISK_RETURN_IF_ERROR(scales_by_input(module, outputs, groups, matrix));
    take(module, "qweight");
    matrix.codes = {.data = codes.data.data(),
                    .bits = 4,
                    .line_bytes = 4 * words,
                    .lines_are_outputs = false,
                    .interleaved = true};
    matrix.zeros = matrix.codes;
    matrix.zeros->data = zeros->data.data();
    matrix.side_bytes += std::ssize(zeros->data);
    return finish(std::move(matrix), codes, outputs);
  }

  absl::StatusOr<Tensor> packed(const std::string& module, const Tensor& codes) {
    BRISK_ASSIGN_OR_RETURN(const Tensor* const shape, part(module, "weight_shape"));
    const bool whole = shape->dtype == DType::kI64 || shape->dtype == DType::kI32;
    if (!whole || shape->values() != 2) return invalid_input("weight_shape should be two integers");
    const int64_t outputs = load_integer(*shape, 0), inputs = load_integer(*shape, 1);
    const int64_t words = codes.shape[1];
    if (outputs != codes.shape[0] || inputs <= 0 || inputs > 32 * words) {
      return invalid_input("weight_shape is ({}, {}), but weight_packed has shape {}", outputs,
                           inputs, shape_text(codes.shape));
    }
    BRISK_ASSIGN_OR_RETURN(const Tensor* const scales, part(module, "weight_scale"));
    ScaledMatrix matrix = {.inputs = inputs};
    BRISK_ASSIGN_OR_RETURN(const int bits, fit(*scales, outputs, matrix, [&](const auto& scheme) {
                             return !scheme.is_float &&
                                    ceil_div<int64_t>(inputs, 32 / scheme.bits) == words;
                           }));
    take(module, "weight_packed");
    matrix.codes = {.data = codes.data.data(), .bits = bits, .line_bytes = 4 * words};
    const int64_t groups = ceil_div(inputs, matrix.group_inputs);
    BRISK_RETURN_IF_ERROR(read_zeros(module, outputs, groups, matrix));
    BRISK_RETURN_IF_ERROR(read_groups(module, "weight_g_idx", groups, matrix));
    return finish(std::move(matrix), codes, outputs);
  }

  // int8 and fp8: a byte a weight.
  absl::StatusOr<Tensor> whole_bytes(const std::string& module, const Tensor& codes) {
    const bool fp8 = codes.dtype == DType::kF8E4M3;
    const int64_t outputs = codes.shape[0], inputs = codes.shape[1];
    const bool inverse = find(module, "weight_scale_inv") != nullptr;
    BRISK_ASSIGN_OR_RETURN(const Tensor* const scales,
                           part(module, inverse ? "weight_scale_inv" : "weight_scale"));
    ScaledMatrix matrix = {.inputs = inputs};
    matrix.codes = {.data = codes.data.data(), .bits = 8, .line_bytes = inputs};
    BRISK_RETURN_IF_ERROR(fit(*scales, outputs, matrix, [&](const auto& scheme) {
                            return scheme.is_float == fp8 && scheme.bits == 8;
                          }).status());
    if (fp8) {
      matrix.code = ScaledMatrix::Code::kF8E4M3;
    } else {
      matrix.codes.flip = 0x80;
      const int64_t groups = ceil_div(inputs, matrix.group_inputs);
      BRISK_RETURN_IF_ERROR(read_zeros(module, outputs, groups, matrix));
    }
    return finish(std::move(matrix), codes, outputs);
  }

  // --- Their parts. ---

  static int64_t group_of(const WeightScheme& scheme, int64_t inputs) {
    return scheme.group_inputs == 0 ? inputs : std::min(scheme.group_inputs, inputs);
  }

  // GPTQ's and AWQ's: (groups, outputs).
  absl::Status scales_by_input(const std::string& module, int64_t outputs, int64_t groups,
                               ScaledMatrix& matrix) {
    BRISK_ASSIGN_OR_RETURN(const Tensor* const scales, part(module, "scales"));
    BRISK_RETURN_IF_ERROR(
        expect(*scales, "scales", {DType::kF16, DType::kBF16, DType::kF32}, {groups, outputs}));
    set_scales(*scales, 1, outputs, matrix);
    return absl::OkStatus();
  }

  static void set_scales(const Tensor& scales, int64_t output_stride, int64_t group_stride,
                         ScaledMatrix& matrix) {
    matrix.scales = scales.data.data();
    matrix.scale_dtype = scales.dtype;
    matrix.scale_output_stride = output_stride;
    matrix.scale_group_stride = group_stride;
    matrix.side_bytes += std::ssize(scales.data);
  }

  // Which weights share one of `scales`, by what the configuration allows and the shapes say; gives
  // the bits of the scheme. One scale for all and one an output need not be announced.
  template <class Fits>
  absl::StatusOr<int> fit(const Tensor& scales, int64_t outputs, ScaledMatrix& matrix,
                          const Fits& fits) {
    if (!is_float(scales.dtype) || scales.shape.size() > 2) {
      return invalid_input("its scales, {} of shape {}, should be f32, f16 or bf16",
                           format_of(scales.dtype).name, shape_text(scales.shape));
    }
    const int64_t rows = scales.shape.empty() ? 1 : scales.shape[0];
    const int64_t columns = scales.shape.size() == 2 ? scales.shape[1] : 1;
    const int64_t inputs = matrix.inputs;
    for (const WeightScheme& scheme : config_.schemes) {
      if (!fits(scheme)) continue;
      const std::pair<int64_t, int64_t> sharings[] = {
          {scheme.group_outputs, scheme.group_inputs}, {1, 0}, {0, 0}};
      for (const auto& [group_outputs, group_inputs] : sharings) {
        const int64_t height = group_outputs == 0 ? outputs : group_outputs;
        const int64_t width = group_inputs == 0 ? inputs : std::min(group_inputs, inputs);
        if (rows != ceil_div(outputs, height) || columns != ceil_div(inputs, width)) continue;
        matrix.group_outputs = height;
        matrix.group_inputs = width;
        set_scales(scales, columns, 1, matrix);
        return scheme.bits;
      }
    }
    return invalid_input(
        "codes for {} outputs and {} inputs with scales of shape {} fit none of the "
        "schemes in config.json",
        outputs, inputs, shape_text(scales.shape));
  }

  // compressed-tensors' zero points; without them, the middle code.
  absl::Status read_zeros(const std::string& module, int64_t outputs, int64_t groups,
                          ScaledMatrix& matrix) {
    const int bits = matrix.codes.bits;
    matrix.zero = 1 << (bits - 1);
    const Tensor* const zeros = take(module, "weight_zero_point");
    if (zeros == nullptr) return absl::OkStatus();
    const int64_t rows = ceil_div(outputs, matrix.group_outputs);
    const int64_t packed_rows = ceil_div<int64_t>(rows, 32 / bits);
    if (zeros->dtype == DType::kI32 && zeros->shape == Shape{packed_rows, groups}) {
      matrix.zeros = IntGrid{.data = zeros->data.data(),
                             .bits = bits,
                             .line_bytes = 4,
                             .word_bytes = 4 * groups,
                             .lines_are_outputs = false};
      matrix.zero = 0;
    } else if (zeros->dtype == DType::kI8 && zeros->values() == rows * groups) {
      // Of the codes' range, and in the file less the middle of it.
      matrix.zeros =
          IntGrid{.data = zeros->data.data(), .bits = 8, .line_bytes = groups, .flip = 0x80};
      matrix.zero -= 128;
    } else {
      return invalid_input(
          "weight_zero_point, {} of shape {}, does not fit {} outputs and {} groups",
          format_of(zeros->dtype).name, shape_text(zeros->shape), rows, groups);
    }
    matrix.side_bytes += std::ssize(zeros->data);
    return absl::OkStatus();
  }

  // The group of each input, kept only where that is not input / group_inputs anyway.
  absl::Status read_groups(const std::string& module, std::string_view name, int64_t groups,
                           ScaledMatrix& matrix) {
    const Tensor* const stored = take(module, name);
    if (stored == nullptr) return absl::OkStatus();
    BRISK_RETURN_IF_ERROR(expect(*stored, name, {DType::kI32, DType::kI64}, {matrix.inputs}));
    std::vector<int32_t> group_of(static_cast<size_t>(matrix.inputs));
    bool in_order = true;
    for (int64_t i = 0; i < matrix.inputs; ++i) {
      const int64_t group = load_integer(*stored, i);
      if (group < 0 || group >= groups) {
        return invalid_input("{} puts input {} into group {}, but there are {}", name, i, group,
                             groups);
      }
      group_of[static_cast<size_t>(i)] = static_cast<int32_t>(group);
      in_order &= group == i / matrix.group_inputs;
    }
    if (!in_order) {
      matrix.input_order = order_by_group(group_of, groups, matrix.group_inputs);
      matrix.group_of = std::move(group_of);
    }
    matrix.side_bytes += std::ssize(stored->data);
    return absl::OkStatus();
  }

  // The inputs group by group; null where groups are not all of one size.
  static std::shared_ptr<const std::vector<int32_t>> order_by_group(
      const std::vector<int32_t>& group_of, int64_t groups, int64_t group_inputs) {
    std::vector<int64_t> next(static_cast<size_t>(groups));
    for (int64_t g = 0; g < groups; ++g) next[static_cast<size_t>(g)] = g * group_inputs;
    auto order = std::make_shared<std::vector<int32_t>>(group_of.size());
    for (size_t i = 0; i < group_of.size(); ++i) {
      int64_t& at = next[static_cast<size_t>(group_of[i])];
      if (at >= std::min((group_of[i] + int64_t{1}) * group_inputs, std::ssize(group_of))) {
        return nullptr;
      }
      (*order)[static_cast<size_t>(at++)] = static_cast<int32_t>(i);
    }
    return order;
  }

  static Tensor finish(ScaledMatrix matrix, const Tensor& codes, int64_t outputs) {
    Tensor tensor = {.dtype = DType::kScaled,
                     .shape = {outputs, matrix.inputs},
                     .data = codes.data,
                     .scales = {}};
    tensor.scaled = std::make_shared<const ScaledMatrix>(std::move(matrix));
    return tensor;
  }

  // --- The table of tensors. ---

  const Tensor* find(const std::string& module, std::string_view name) const {
    return checkpoint_.find(fmt::format("{}.{}", module, name));
  }

  // The same; the tensor is part of a matrix from now on.
  const Tensor* take(const std::string& module, std::string_view name) {
    const Tensor* tensor = find(module, name);
    if (tensor != nullptr) taken_.insert(fmt::format("{}.{}", module, name));
    return tensor;
  }

  absl::StatusOr<const Tensor*> part(const std::string& module, std::string_view name) {
    const Tensor* tensor = take(module, name);
    if (tensor == nullptr) {
      return invalid_input("there is no tensor {} beside its codes; is a file missing?", name);
    }
    return tensor;
  }

  static absl::Status expect(const Tensor& tensor, std::string_view name,
                             std::initializer_list<DType> dtypes, const Shape& shape) {
    if (tensor.shape != shape) {
      return invalid_input("{} has shape {}, expected {} by bits and group size in config.json",
                           name, shape_text(tensor.shape), shape_text(shape));
    }
    if (std::find(dtypes.begin(), dtypes.end(), tensor.dtype) == dtypes.end()) {
      return invalid_input("{} is {}, expected {}", name, format_of(tensor.dtype).name,
                           format_of(*dtypes.begin()).name);
    }
    return absl::OkStatus();
  }

  // Parts go; each matrix takes the place of its codes.
  absl::Status replace() {
    std::vector<NamedTensor> old = std::exchange(checkpoint_.tensors, {});
    checkpoint_.index.clear();
    for (NamedTensor& matrix : combined_) taken_.insert(matrix.name);
    for (NamedTensor& named : old) {
      if (taken_.contains(named.name)) continue;
      BRISK_RETURN_IF_ERROR(
          add_tensor(checkpoint_, std::move(named.name), std::move(named.tensor)));
    }
    for (NamedTensor& matrix : combined_) {
      BRISK_RETURN_IF_ERROR(
          add_tensor(checkpoint_, std::move(matrix.name), std::move(matrix.tensor)));
    }
    return absl::OkStatus();
  }

  const QuantizationConfig& config_;
  Checkpoint& checkpoint_;
  absl::flat_hash_set<std::string> taken_;
  std::vector<NamedTensor> combined_;
};

}  // namespace

absl::Status combine_scaled_tensors(const QuantizationConfig& config, Checkpoint& checkpoint) {
  if (config.method == Method::kNone) {
    for (const NamedTensor& named : checkpoint.tensors) {
      if (!named.name.ends_with(".qweight")) continue;
      return invalid_input(
          "{} is a GPTQ or AWQ matrix, but neither config.json has a \"quantization_config\" nor "
          "is "
          "there a quantize_config.json",
          named.name);
    }
    return absl::OkStatus();
  }
  if (checkpoint.config.architecture == "gpt2") {
    return unsupported("gpt2 with quantised weights; convert the original model instead");
  }
  return Combiner(config, checkpoint).run();
}

}  // namespace brisk
