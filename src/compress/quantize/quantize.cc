#include "compress/quantize/quantize.h"

#include <absl/container/flat_hash_map.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>
#include <utility>

#include "base/status.h"
#include "compress/calibrate/input_statistics.h"
#include "compress/calibrate/layer_stream.h"
#include "compress/edit/working_matrix.h"
#include "compress/quantize/gptq.h"
#include "compress/quantize/mixed.h"
#include "compress/quantize/round_matrix.h"
#include "compress/quantize/smooth_layer.h"
#include "compute/quant/format.h"
#include "model/convert/convert.h"
#include "model/convert/target.h"
#include "model/convert/tensors.h"

namespace brisk {
namespace {

constexpr int64_t kSampleRows = 128;  // of an input, that AWQ tries its factors on

using Formats = absl::flat_hash_map<const Tensor*, DType>;

// What each tensor of the source will be stored as.
absl::StatusOr<Formats> choose_formats(const Checkpoint& source, const FormatChoice& choice) {
  BRISK_ASSIGN_OR_RETURN(const Conversion conversion, plan_conversion(source, Layout::kGguf));
  int64_t unplaced = 0;
  BRISK_ASSIGN_OR_RETURN(const std::vector<ConvertedTensor> tensors,
                         plan_tensors(conversion, &unplaced));
  const ModelConfig& config = conversion.config;
  Formats formats;
  for (const ConvertedTensor& tensor : tensors) {
    if (tensor.transposed) {
      return unsupported(
          "this checkpoint stores its matrices transposed; `brisk convert` it to a .gguf first");
    }
    for (const Tensor* from : tensor.sources) {
      formats[from] = choice.of(tensor.plan, config.layers, config.tied_embeddings == true);
    }
  }
  return formats;
}

class Quantizer {
 public:
  Quantizer(const QuantizeOptions& options, Model& model, Formats formats)
      : options_(options),
        model_(model),
        formats_(std::move(formats)),
        edit_(model.checkpoint),
        collector_(*model.kernels,
                   {.gram = options.method.rounding == RoundingMethod::kGptq,
                    .sample_rows = options.method.smoothing == Smoothing::kAwq ? kSampleRows : 0}) {
  }

  // Null `stream`: nothing is calibrated.
  absl::Status run(LayerStream* stream, ThreadTeam& team) {
    const size_t layers = model_.weights.layers.size();
    for (size_t layer = 0; layer < layers; ++layer) {
      if (stream != nullptr) {
        collector_.clear();
        stream->look(collector_);
      }
      BRISK_RETURN_IF_ERROR(quantize_layer(layer, team));
      if (stream != nullptr) stream->advance();
      if (options_.on_progress) {
        options_.on_progress("layers", static_cast<int64_t>(layer) + 1,
                             static_cast<int64_t>(layers));
      }
    }
    return quantize_tables(stream, team);
  }

  const CheckpointEdit& edit() const { return edit_; }
  std::vector<QuantizedMatrix> take_matrices() { return std::move(matrices_); }

 private:
  absl::Status quantize_layer(size_t layer, ThreadTeam& team) {
    BRISK_ASSIGN_OR_RETURN(std::vector<WorkingMatrix> matrices, decode_layer(model_, layer));
    if (options_.method.smoothing != Smoothing::kNone) {
      const TryRounding rounding = [this](const WorkingMatrix& matrix, const float* row,
                                          const float* importance, float* out) {
        round_row(format_of_matrix(matrix), options_.method.rounding, row, importance,
                  matrix.place.depth, out);
      };
      BRISK_RETURN_IF_ERROR(smooth_layer({.method = options_.method.smoothing,
                                          .model = &model_,
                                          .layer = layer,
                                          .matrices = &matrices,
                                          .collector = &collector_,
                                          .rounding = rounding,
                                          .edit = &edit_},
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
      store(matrix, statistics, compensates ? &*factor : nullptr, team);
    }
    return absl::OkStatus();
  }

  DType format_of_matrix(const WorkingMatrix& matrix) const {
    return formats_.at(&matrix.place.tensor->tensor);
  }

  // From here on the model computes with what is stored.
  void store(WorkingMatrix& matrix, const InputStatistics* statistics, const InverseFactor* factor,
             ThreadTeam& team) {
    const LayerMatrix& place = matrix.place;
    const DType dtype = format_of_matrix(matrix);
    std::byte* rows = rows_in(edit_, place, dtype);
    const double error = round_matrix({.dtype = dtype,
                                       .method = options_.method.rounding,
                                       .statistics = statistics,
                                       .factor = factor},
                                      matrix, rows, team);
    compute_with(place, dtype, rows);
    matrices_.push_back({place.name, dtype, place.rows * place.depth, error});
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
      Linear table;
      table.weight = named.tensor;
      LayerMatrix place = {.linear = &table,
                           .tensor = &named,
                           .rows = named.tensor.shape[0],
                           .depth = named.tensor.shape[1],
                           .name = named.name};
      BRISK_ASSIGN_OR_RETURN(WorkingMatrix matrix, decode_matrix(std::move(place)));
      store(matrix, statistics, nullptr, team);
    }
    return absl::OkStatus();
  }

  const QuantizeOptions& options_;
  Model& model_;
  const Formats formats_;
  CheckpointEdit edit_;
  InputCollector collector_;
  std::vector<QuantizedMatrix> matrices_;
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

absl::Status mix_formats(const QuantizeOptions& options, const TokenWindows& windows, Model& model,
                         ThreadTeam& team, Formats& formats) {
  const auto progress = [&](int64_t done, int64_t total) {
    if (options.on_progress) options.on_progress("sensitivities", done, total);
  };
  const TokenWindows probes = probe_windows(windows, model.spec.vocab_size);
  BRISK_ASSIGN_OR_RETURN(std::vector<MixedMatrix> matrices,
                         measure_sensitivity(model, probes, team, progress));
  BRISK_RETURN_IF_ERROR(spread_bits(options.bits, matrices));
  for (const MixedMatrix& matrix : matrices) {
    formats[&matrix.tensor->tensor] = matrix.formats[matrix.chosen].dtype;
  }
  return absl::OkStatus();
}

double bits_per_weight(const std::vector<QuantizedMatrix>& matrices) {
  double bits = 0, values = 0;
  for (const QuantizedMatrix& matrix : matrices) {
    bits += 8 * static_cast<double>(bytes_of(matrix.dtype, matrix.values));
    values += static_cast<double>(matrix.values);
  }
  return values > 0 ? bits / values : 0;
}

absl::Status check(const Model& model, const QuantizeOptions& options, const std::string& out) {
  if (!out.ends_with(".gguf")) {
    return invalid_input("{}: give a name that ends in .gguf", out);
  }
  if (model.spec.quantize_activations) {
    return unsupported("BitNet models are quantised already");
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

}  // namespace

absl::StatusOr<QuantizeResult> quantize_checkpoint(const std::string& in, const std::string& out,
                                                   const QuantizeOptions& options) {
  BRISK_ASSIGN_OR_RETURN(const auto source,
                         open_checkpoint(in, {.tokenizer_path = options.tokenizer_path}));
  BRISK_ASSIGN_OR_RETURN(const FormatChoice choice, FormatChoice::parse(options.scheme));
  auto formats = choose_formats(*source, choice);
  if (!formats.ok()) return annotate(formats.status(), in);
  auto opened = make_editable_model(source, model_name_of(in));
  if (!opened.ok()) return annotate(opened.status(), in);
  Model& model = **opened;
  BRISK_RETURN_IF_ERROR(check(model, options, out));

  const int threads = options.threads > 0 ? options.threads : usable_threads();
  QuantizeResult result;
  ThreadTeam team(threads);
  TokenWindows windows;
  if (!options.documents.empty()) {
    BRISK_ASSIGN_OR_RETURN(windows,
                           calibration_windows(model, options.documents, options.calibration));
    result.calibration_tokens = token_count(windows);
  }
  if (options.bits > 0) {
    BRISK_RETURN_IF_ERROR(mix_formats(options, windows, model, team, *formats));
  }
  std::unique_ptr<LayerStream> stream;
  if (options.method.needs_calibration()) {
    BRISK_ASSIGN_OR_RETURN(stream, LayerStream::create(model, windows, threads));
  }
  Quantizer quantizer(options, model, *std::move(formats));
  BRISK_RETURN_IF_ERROR(quantizer.run(stream.get(), team));
  const Checkpoint edited = quantizer.edit().edited();
  ConvertOptions writing;
  writing.threads = threads;
  BRISK_ASSIGN_OR_RETURN(const ConvertResult written, write_checkpoint(edited, in, out, writing));
  result.bytes = written.bytes;
  result.matrices = quantizer.take_matrices();
  result.bits_per_weight = bits_per_weight(result.matrices);
  return result;
}

}  // namespace brisk
