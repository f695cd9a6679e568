#include "compress/quantize/quantize.h"

#include <memory>
#include <utility>

#include "base/status.h"
#include "compress/edit/resumed_edit.h"
#include "compress/quantize/choose_formats.h"
#include "compress/quantize/quantizer.h"
#include "compute/quant/scaled_scheme.h"
#include "model/convert/convert.h"

namespace brisk {
namespace {

double bits_per_weight(const std::vector<QuantizedMatrix>& matrices) {
  double bits = 0, values = 0;
  for (const QuantizedMatrix& matrix : matrices) {
    bits += matrix.bits * static_cast<double>(matrix.values);
    values += static_cast<double>(matrix.values);
  }
  return values > 0 ? bits / values : 0;
}

absl::Status check(const Model& model, const QuantizeOptions& options, const std::string& out) {
  if (options.bits > 0 && !out.ends_with(".gguf")) {
    return invalid_input("{}: mixes of formats are for .gguf files; give a name that ends so", out);
  }
  if (model.spec.quantize_activations) {
    return unsupported("BitNet models are quantised already");
  }
  if (model.spec.rank_max > 0 && options.method.smoothing != Smoothing::kNone) {
    return unsupported(
        "AWQ and SmoothQuant cannot look through the factors of a factorised model; choose "
        "--method gptq, importance or nearest");
  }
  if (model.spec.rank_max > 0 && options.kv_calibration.has_value()) {
    return unsupported("weights of a factorised model cannot be smoothed for the KV cache");
  }
  if (options.kv_calibration.has_value() && options.documents.empty()) {
    return invalid_input(
        "what the KV cache will hold is seen on a text: give one with --calibration");
  }
  if (options.method.needs_calibration() && options.documents.empty()) {
    return invalid_input(
        "this method looks at the model's inputs: give it a text with --calibration, or choose "
        "--method nearest or search");
  }
  if (options.bits > 0 && options.documents.empty()) {
    return invalid_input(
        "which matrices need more bits is seen on a text: give one with --calibration");
  }
  return absl::OkStatus();
}

// All of the options that the bytes depend on.
Json key_options(const Model& model, const QuantizeOptions& options, const std::string& out) {
  return {{"edit", "quantize 2"},
          {"scheme", options.scheme},
          {"bits", options.bits},
          {"smoothing", static_cast<int>(options.method.smoothing)},
          {"rounding", static_cast<int>(options.method.rounding)},
          {"damping", options.damping},
          {"kv", options.kv_calibration ? static_cast<int>(*options.kv_calibration) : -1},
          {"gguf", out.ends_with(".gguf")},
          {"kernels", model.kernels->name}};
}

}  // namespace

absl::StatusOr<QuantizeResult> quantize_checkpoint(const std::string& in, const std::string& out,
                                                   const QuantizeOptions& options) {
  BRISK_ASSIGN_OR_RETURN(const auto source,
                         open_checkpoint(in, {.tokenizer_path = options.tokenizer_path}));
  BRISK_RETURN_IF_ERROR(check_container(options.scheme, out));
  auto formats = choose_formats(*source, options.scheme, out);
  if (!formats.ok()) return annotate(formats.status(), in);
  auto model = make_editable_model(source, model_name_of(in));
  if (!model.ok()) return annotate(model.status(), in);
  BRISK_RETURN_IF_ERROR(check(**model, options, out));

  const int threads = options.threads > 0 ? options.threads : usable_threads();
  QuantizeResult result;
  ThreadTeam team(threads);
  TokenWindows windows;
  if (!options.documents.empty()) {
    BRISK_ASSIGN_OR_RETURN(windows,
                           calibration_windows(**model, options.documents, options.calibration));
    result.calibration_tokens = token_count(windows);
  }
  const bool keeps = !options.work_directory.empty();
  BRISK_ASSIGN_OR_RETURN(
      const ResumedEdit resumed,
      resume_edit(source, options.work_directory,
                  keeps ? edit_key(*source, key_options(**model, options, out), windows) : ""));
  if (!resumed.steps.empty()) {
    BRISK_ASSIGN_OR_RETURN(*model, make_editable_model(resumed.checkpoint, model_name_of(in)));
    BRISK_ASSIGN_OR_RETURN(*formats, choose_formats(*resumed.checkpoint, options.scheme, out));
  }
  Quantizer quantizer(options, **model, resumed.journal.get(), result.calibration_tokens);
  quantizer.set_formats(*std::move(formats));
  for (const Json& step : resumed.steps) BRISK_RETURN_IF_ERROR(quantizer.resume(step));
  if (options.bits > 0) BRISK_RETURN_IF_ERROR(quantizer.mix_formats(windows, team));
  std::unique_ptr<LayerStream> stream;
  if (options.method.needs_calibration() || options.kv_calibration.has_value()) {
    BRISK_ASSIGN_OR_RETURN(stream, LayerStream::create(**model, windows, threads));
  }
  BRISK_RETURN_IF_ERROR(quantizer.run(stream.get(), team));
  const Checkpoint edited = quantizer.edit().edited();
  ConvertOptions writing;
  writing.threads = threads;
  if (scaled_scheme(options.scheme).has_value()) writing.dtype = options.scheme;  // keeps codes
  BRISK_ASSIGN_OR_RETURN(const ConvertResult written, write_checkpoint(edited, in, out, writing));
  result.bytes = written.bytes;
  result.matrices = quantizer.take_matrices();
  result.kv = quantizer.take_kv();
  result.bits_per_weight = bits_per_weight(result.matrices);
  return result;
}

}  // namespace brisk
