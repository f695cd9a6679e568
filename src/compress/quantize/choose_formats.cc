#include "compress/quantize/choose_formats.h"

#include <optional>
#include <vector>

#include "base/status.h"
#include "compute/quant/format.h"
#include "compute/quant/scaled_scheme.h"
#include "model/checkpoint/format_choice.h"
#include "model/convert/scaled_rounding.h"
#include "model/convert/target.h"
#include "model/convert/tensors.h"

namespace brisk {
namespace {

// What a matrix is stored as that no scheme fits.
MatrixFormat float_format(DType dtype) { return {.dtype = is_float(dtype) ? dtype : DType::kF16}; }

absl::Status add_scaled_formats(const ScaledScheme& scheme, const Conversion& conversion,
                                const std::vector<ConvertedTensor>& tensors,
                                TensorFormats& formats) {
  BRISK_ASSIGN_OR_RETURN(const ScaledRounding rounding,
                         plan_scaled_rounding(conversion, scheme, tensors));
  for (size_t i = 0; i < tensors.size(); ++i) {
    for (const Tensor* from : tensors[i].sources) {
      formats[from] = rounding.rounds[i]
                          ? MatrixFormat{.dtype = DType::kScaled, .scheme = rounding.scheme}
                          : float_format(from->dtype);
    }
  }
  return absl::OkStatus();
}

absl::Status add_formats(const FormatChoice& choice, const ModelConfig& config,
                         const std::vector<ConvertedTensor>& tensors, TensorFormats& formats) {
  bool any = false;
  for (const ConvertedTensor& tensor : tensors) {
    const DType dtype = choice.of(tensor.plan, config.layers, config.tied_embeddings == true);
    for (const Tensor* from : tensor.sources) formats[from] = {.dtype = dtype};
    any |= dtype == choice.matrices();
  }
  if (!choice.is_below_four_bits() || any) return absl::OkStatus();
  return invalid_input("no matrix has rows of whole blocks of {}, as {} needs; choose q4_0",
                       format_of(choice.matrices()).block_values,
                       format_of(choice.matrices()).name);
}

}  // namespace

absl::Status check_container(const std::string& scheme, const std::string& out) {
  const bool gguf = out.ends_with(".gguf");
  if (scaled_scheme(scheme).has_value()) {
    if (!gguf) return absl::OkStatus();
    return invalid_input(
        "{} is a format of Hugging Face directories: name a directory instead of {}, or choose "
        "what a .gguf holds ({} is nearest)",
        scheme, out, scaled_scheme(scheme)->bits == 8 ? "q8_0" : "q4_0");
  }
  const std::optional<DType> dtype = dtype_from_name(scheme);
  if (gguf || (dtype.has_value() && is_float(*dtype))) return absl::OkStatus();
  return invalid_input(
      "{} is a format of .gguf files: name the output {}.gguf, or choose what a directory holds: "
      "{}, f16, bf16",
      scheme, out, scaled_scheme_names());
}

absl::StatusOr<TensorFormats> choose_formats(const Checkpoint& source, const std::string& scheme,
                                             const std::string& out) {
  const Layout layout = out.ends_with(".gguf") ? Layout::kGguf : Layout::kHuggingFace;
  BRISK_ASSIGN_OR_RETURN(const Conversion conversion, plan_conversion(source, layout));
  int64_t unplaced = 0;
  BRISK_ASSIGN_OR_RETURN(const std::vector<ConvertedTensor> tensors,
                         plan_tensors(conversion, &unplaced));
  for (const ConvertedTensor& tensor : tensors) {
    if (!tensor.transposed) continue;
    return unsupported(
        "this checkpoint stores its matrices transposed; `brisk convert` it to a .gguf first");
  }
  TensorFormats formats;
  if (const auto scaled = scaled_scheme(scheme)) {
    BRISK_RETURN_IF_ERROR(add_scaled_formats(*scaled, conversion, tensors, formats));
  } else {
    BRISK_ASSIGN_OR_RETURN(const FormatChoice choice, FormatChoice::parse(scheme));
    BRISK_RETURN_IF_ERROR(add_formats(choice, conversion.config, tensors, formats));
  }
  return formats;
}

}  // namespace brisk
