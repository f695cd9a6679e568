#include "compress/quantize/quantize.h"

#include <absl/container/flat_hash_map.h>
#include <absl/container/flat_hash_set.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "base/status.h"
#include "compress/calibrate/edit_layers.h"
#include "compress/edit/resumed_edit.h"
#include "compress/edit/working_matrix.h"
#include "compress/quantize/gptq.h"
#include "compress/quantize/mixed.h"
#include "compress/quantize/round_matrix.h"
#include "compress/quantize/smooth_layer.h"
#include "compute/quant/format.h"
#include "model/convert/convert.h"
#include "model/convert/scaled_rounding.h"
#include "model/convert/target.h"
#include "model/convert/tensors.h"

namespace brisk {
namespace {

constexpr int64_t kSampleRows = 128;  // of an input, that AWQ tries its factors on
constexpr int64_t kHeadSamples =
    256;  // keys and values, that factors for the KV cache are tried on

using Formats = absl::flat_hash_map<const Tensor*, MatrixFormat>;

bool is_float(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16;
}

// What a matrix is stored as that no scheme fits.
MatrixFormat float_format(DType dtype) { return {.dtype = is_float(dtype) ? dtype : DType::kF16}; }

// Whether a checkpoint by that name can hold the scheme.
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

absl::Status add_scaled_formats(const ScaledScheme& scheme, const Conversion& conversion,
                                const std::vector<ConvertedTensor>& tensors, Formats& formats) {
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
                         const std::vector<ConvertedTensor>& tensors, Formats& formats) {
  bool any = false;
  for (const ConvertedTensor& tensor : tensors) {
    const DType dtype = choice.of(tensor.plan, config.layers, config.tied_embeddings == true);
    for (const Tensor* from : tensor.sources) formats[from] = {.dtype = dtype};
    any |= dtype == DType::kTQ2_0;
  }
  if (!choice.is_ternary() || any) return absl::OkStatus();
  return invalid_input(
      "no matrix has rows of whole blocks of {}, as ternary weights need; choose q4_0",
      format_of(DType::kTQ2_0).block_values);
}

// What each tensor of the source will be stored as.
absl::StatusOr<Formats> choose_formats(const Checkpoint& source, const std::string& scheme,
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
  Formats formats;
  if (const auto scaled = scaled_scheme(scheme)) {
    BRISK_RETURN_IF_ERROR(add_scaled_formats(*scaled, conversion, tensors, formats));
  } else {
    BRISK_ASSIGN_OR_RETURN(const FormatChoice choice, FormatChoice::parse(scheme));
    BRISK_RETURN_IF_ERROR(add_formats(choice, conversion.config, tensors, formats));
  }
  return formats;
}

class Quantizer {
 public:
  // `journal`: or null.
  Quantizer(const QuantizeOptions& options, Model& model, EditJournal* journal,
            int64_t calibration_tokens)
      : options_(options),
        model_(model),
        edit_(model.checkpoint, journal),
        collector_(*model.kernels,
                   {.gram = options.method.rounding == RoundingMethod::kGptq,
                    .sample_rows = options.method.smoothing == Smoothing::kAwq ? kSampleRows : 0,
                    .head_samples = options.kv_calibration.has_value() ? kHeadSamples : 0,
                    .rows_expected = calibration_tokens}) {}

  // Takes what a step of an earlier run says of itself.
  absl::Status resume(const Json& details) {
    try {
      const Json mix = details.value("mix", Json::object());
      for (const auto& [name, format] : mix.items()) {
        const NamedTensor* named = model_.checkpoint->find_weight(name);
        if (named == nullptr) return invalid_input("there is no tensor {}", name);
        BRISK_ASSIGN_OR_RETURN(formats_[&named->tensor], matrix_format_from_json(format));
        is_mixed_ = true;
      }
      first_layer_ += details.contains("layer") ? 1 : 0;
      if (details.contains("kv")) kv_.push_back(kv_loss_of_json(details["kv"]));
      for (const Json& matrix : details.value("matrices", Json::array())) {
        matrices_.push_back({.name = matrix.at("name").get<std::string>(),
                             .format = matrix.at("format").get<std::string>(),
                             .values = matrix.at("values").get<int64_t>(),
                             .bits = matrix.at("bits").get<double>(),
                             .relative_error = matrix.at("error").get<double>()});
        if (details.contains("table")) finished_tables_.insert(matrices_.back().name);
      }
      reported_ = matrices_.size();
    } catch (const Json::exception& error) {
      return invalid_input("not a step of quantising: {}", error.what());
    }
    return absl::OkStatus();
  }

  void set_formats(Formats formats) { formats_ = std::move(formats); }

  // A format for each matrix, by what each does to the predictions.
  absl::Status mix_formats(const TokenWindows& windows, ThreadTeam& team);

  // Null `stream`: nothing is calibrated.
  absl::Status run(LayerStream* stream, ThreadTeam& team) {
    const auto progress = [this](int64_t done, int64_t layers) {
      if (options_.on_progress) options_.on_progress("layers", done, layers);
    };
    BRISK_RETURN_IF_ERROR(
        edit_layers({.layers = model_.weights.layers.size(),
                     .first = first_layer_,
                     .stream = stream,
                     .collector = &collector_,
                     .edit = [&](size_t layer) { return quantize_layer(layer, team); },
                     .on_progress = progress}));
    return quantize_tables(stream, team);
  }

  const CheckpointEdit& edit() const { return edit_; }
  std::vector<QuantizedMatrix> take_matrices() { return std::move(matrices_); }
  std::vector<KvLoss> take_kv() { return std::move(kv_); }

 private:
  // What was made since the last step is kept.
  absl::Status commit(Json details) {
    Json& matrices = details["matrices"] = Json::array();
    for (; reported_ < matrices_.size(); ++reported_) {
      const QuantizedMatrix& matrix = matrices_[reported_];
      matrices.push_back({{"name", matrix.name},
                          {"format", matrix.format},
                          {"values", matrix.values},
                          {"bits", matrix.bits},
                          {"error", matrix.relative_error}});
    }
    return edit_.commit(details);
  }

  absl::Status quantize_layer(size_t layer, ThreadTeam& team) {
    BRISK_ASSIGN_OR_RETURN(std::vector<WorkingMatrix> matrices, decode_layer(model_, layer));
    Json details = {{"layer", layer}};
    if (options_.kv_calibration.has_value()) {
      BRISK_ASSIGN_OR_RETURN(const KvLoss loss, smooth_kv({.element = *options_.kv_calibration,
                                                           .model = &model_,
                                                           .layer = layer,
                                                           .matrices = &matrices,
                                                           .collector = &collector_,
                                                           .edit = &edit_},
                                                          team));
      kv_.push_back(loss);
      details["kv"] = to_json(loss);
    }
    if (options_.method.smoothing != Smoothing::kNone) {
      const TryRounding rounding = [this](const WorkingMatrix& matrix, const float* row,
                                          const float* importance, float* out) {
        round_row(format_of_matrix(matrix), options_.method.rounding,
                  {row, static_cast<size_t>(matrix.place.depth)}, importance, out);
      };
      BRISK_RETURN_IF_ERROR(smooth_layer({.method = options_.method.smoothing,
                                          .model = &model_,
                                          .layer = layer,
                                          .matrices = &matrices,
                                          .collector = &collector_,
                                          .rounding = rounding,
                                          .edit = &edit_,
                                          .keeps_values = options_.kv_calibration.has_value()},
                                         team));
    }
    const InputStatistics* factored = nullptr;
    std::optional<InverseFactor> factor;
    for (WorkingMatrix& matrix : matrices) {
      const InputStatistics* statistics = collector_.of(*matrix.place.linear);
      const bool compensates =
          options_.method.rounding == RoundingMethod::kGptq && statistics != nullptr;
      if (compensates && statistics != factored) {
        BRISK_ASSIGN_OR_RETURN(
            factor, InverseFactor::create(statistics->gram, statistics->depth, options_.damping));
        factored = statistics;
      }
      BRISK_RETURN_IF_ERROR(store(matrix, statistics, compensates ? &*factor : nullptr, team));
    }
    return commit(std::move(details));
  }

  const MatrixFormat& format_of_matrix(const WorkingMatrix& matrix) const {
    return formats_.at(&matrix.place.tensor->tensor);
  }

  // From here on the model computes with what is stored.
  absl::Status store(WorkingMatrix& matrix, const InputStatistics* statistics,
                     const InverseFactor* factor, ThreadTeam& team) {
    const LayerMatrix place = matrix.place;
    const MatrixFormat& format = format_of_matrix(matrix);
    const StoredRows rows = rows_in(edit_, place, format);
    BRISK_ASSIGN_OR_RETURN(
        const RoundingLoss loss,
        round_matrix(
            {.method = options_.method.rounding, .statistics = statistics, .factor = factor},
            matrix, rows, team));
    compute_with(place, rows);
    report(place, format, loss.relative());
    return absl::OkStatus();
  }

  void report(const LayerMatrix& place, const MatrixFormat& format, double error) {
    matrices_.push_back({.name = place.name,
                         .format = std::string(format.name()),
                         .values = place.rows * place.depth,
                         .bits = format.bits(place.depth),
                         .relative_error = error});
  }

  // The embedding is looked up, not multiplied with: nothing is known of its inputs. Nor is, where
  // they are one, of the head's.
  absl::Status quantize_tables(LayerStream* stream, ThreadTeam& team) {
    collector_.clear();
    Linear& head = model_.weights.head;
    const bool tied = head.weight.data.data() == model_.weights.embedding.data.data();
    if (stream != nullptr) stream->look_at_head(collector_);
    for (const NamedTensor& named : model_.checkpoint->tensors) {
      const auto format = formats_.find(&named.tensor);
      const bool is_table = named.tensor.data.data() == model_.weights.embedding.data.data() ||
                            named.tensor.data.data() == head.weight.data.data();
      if (format == formats_.end() || !is_table) continue;
      const bool is_head = named.tensor.data.data() == head.weight.data.data();
      const InputStatistics* statistics = is_head && !tied ? collector_.of(head) : nullptr;
      if (finished_tables_.contains(named.name)) continue;
      BRISK_RETURN_IF_ERROR(quantize_table(named, format->second, statistics, team));
    }
    return absl::OkStatus();
  }

  // So many rows at a time: a vocabulary is large.
  absl::Status quantize_table(const NamedTensor& named, const MatrixFormat& format,
                              const InputStatistics* statistics, ThreadTeam& team) {
    constexpr int64_t kChunkValues = int64_t{1} << 22;
    Linear table;
    table.weight = named.tensor;
    const int64_t rows = named.tensor.shape[0], depth = named.tensor.shape[1];
    LayerMatrix place = {.linear = &table, .tensor = &named, .depth = depth, .name = named.name};
    const int64_t chunk = std::max<int64_t>(1, kChunkValues / depth);
    const bool stays = !format.scheme.has_value() && format.dtype == named.tensor.dtype;
    RoundingLoss loss;
    for (int64_t begin = 0; begin < rows && !stays; begin += chunk) {
      place.first_row = begin;
      place.rows = std::min(chunk, rows - begin);
      BRISK_ASSIGN_OR_RETURN(WorkingMatrix matrix, decode_matrix(place, begin));
      BRISK_ASSIGN_OR_RETURN(
          const RoundingLoss part,
          round_matrix({.method = options_.method.rounding, .statistics = statistics}, matrix,
                       rows_in(edit_, place, format), team));
      loss.add(part);
    }
    place.rows = rows;
    report(place, format, loss.relative());
    return commit({{"table", named.name}});
  }

  const QuantizeOptions& options_;
  Model& model_;
  Formats formats_;
  bool is_mixed_ = false;
  CheckpointEdit edit_;
  InputCollector collector_;
  std::vector<QuantizedMatrix> matrices_;
  std::vector<KvLoss> kv_;
  size_t reported_ = 0;  // of matrices_, to the journal
  size_t first_layer_ = 0;
  absl::flat_hash_set<std::string> finished_tables_;
};

// Windows for the sensitivities: their logits are all kept.
TokenWindows probe_windows(const TokenWindows& windows, int vocab_size) {
  constexpr int64_t kTokens = 2048;
  constexpr int64_t kLogits = int64_t{1} << 27;  // 512 MiB
  const int64_t tokens_max = std::min(kTokens, std::max<int64_t>(kLogits / vocab_size, 64));
  TokenWindows probes;
  int64_t tokens = 0;
  for (const auto& window : windows) {
    if (tokens >= tokens_max) break;
    const auto size = static_cast<int64_t>(window.size());
    const int64_t taken = std::min(size, tokens_max - tokens);
    probes.emplace_back(window.begin(), window.begin() + taken);
    tokens += taken;
  }
  return probes;
}

absl::Status Quantizer::mix_formats(const TokenWindows& windows, ThreadTeam& team) {
  if (is_mixed_) return absl::OkStatus();
  const auto progress = [&](int64_t done, int64_t total) {
    if (options_.on_progress) options_.on_progress("sensitivities", done, total);
  };
  const TokenWindows probes = probe_windows(windows, model_.spec.vocab_size);
  BRISK_ASSIGN_OR_RETURN(std::vector<MixedMatrix> matrices,
                         measure_sensitivity(model_, probes, team, progress));
  BRISK_RETURN_IF_ERROR(spread_bits(options_.bits, matrices));
  Json mix = Json::object();
  for (const MixedMatrix& matrix : matrices) {
    const MatrixFormat format = {.dtype = matrix.formats[matrix.chosen].dtype};
    formats_[&matrix.tensor->tensor] = format;
    mix[matrix.tensor->name] = to_json(format);
  }
  return commit({{"mix", mix}});
}

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
  return {{"edit", "quantize 1"},
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
