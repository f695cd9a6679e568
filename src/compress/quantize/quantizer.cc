#include "compress/quantize/quantizer.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/status.h"
#include "compress/calibrate/edit_layers.h"
#include "compress/quantize/mixed.h"
#include "compress/quantize/round_matrix.h"
#include "compress/quantize/smooth_layer.h"
#include "compute/quant/format.h"

namespace brisk {
namespace {

constexpr int64_t kSampleRows = 128;  // of an input, that AWQ tries its factors on
constexpr int64_t kHeadSamples =
    256;  // keys and values, that factors for the KV cache are tried on

// Inputs of a row whose grids are chosen at once.
int64_t run_of(const MatrixFormat& format, int64_t depth) {
  if (!format.scheme.has_value()) return format_of(format.dtype).block_values;
  return format.scheme->group == 0 ? depth : format.scheme->group;
}

}  // namespace

Quantizer::Quantizer(const QuantizeOptions& options, Model& model, EditJournal* journal,
                     int64_t calibration_tokens)
    : options_(options),
      model_(model),
      edit_(model.checkpoint, journal),
      collector_(*model.kernels,
                 {.gram = options.method.rounding == RoundingMethod::kGptq,
                  .sample_rows = options.method.smoothing == Smoothing::kAwq ? kSampleRows : 0,
                  .head_samples = options.kv_calibration.has_value() ? kHeadSamples : 0,
                  .rows_expected = calibration_tokens}) {}

absl::Status Quantizer::resume(const Json& details) {
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

absl::Status Quantizer::mix_formats(const TokenWindows& windows, ThreadTeam& team) {
  if (is_mixed_) return absl::OkStatus();
  const auto progress = [&](int64_t done, int64_t total) {
    if (options_.on_progress) options_.on_progress("sensitivities", done, total);
  };
  BRISK_ASSIGN_OR_RETURN(std::vector<MixedMatrix> matrices,
                         measure_sensitivity(model_, windows, team, progress));
  BRISK_RETURN_IF_ERROR(spread_bits(options_.bits, matrices));
  Json mix = Json::object();
  for (const MixedMatrix& matrix : matrices) {
    const MatrixFormat format = {.dtype = matrix.formats[matrix.chosen].dtype};
    formats_[&matrix.tensor->tensor] = format;
    mix[matrix.tensor->name] = to_json(format);
  }
  return commit({{"mix", mix}});
}

absl::Status Quantizer::run(LayerStream* stream, ThreadTeam& team) {
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

// What was made since the last step is kept.
absl::Status Quantizer::commit(Json details) {
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

// Scales weights for the KV cache, then against their inputs.
absl::Status Quantizer::smooth(size_t layer, std::vector<WorkingMatrix>& matrices, Json& details,
                               ThreadTeam& team) {
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
  if (options_.method.smoothing == Smoothing::kNone) return absl::OkStatus();
  const TryRounding rounding = [this](const WorkingMatrix& matrix, const float* row,
                                      const float* importance, float* out) {
    round_row(format_of_matrix(matrix), options_.method.rounding,
              {row, static_cast<size_t>(matrix.place.depth)}, importance, out);
  };
  return smooth_layer({.method = options_.method.smoothing,
                       .model = &model_,
                       .layer = layer,
                       .matrices = &matrices,
                       .collector = &collector_,
                       .rounding = rounding,
                       .edit = &edit_},
                      team);
}

absl::Status Quantizer::quantize_layer(size_t layer, ThreadTeam& team) {
  BRISK_ASSIGN_OR_RETURN(std::vector<WorkingMatrix> matrices, decode_layer(model_, layer));
  Json details = {{"layer", layer}};
  BRISK_RETURN_IF_ERROR(smooth(layer, matrices, details, team));
  const InputStatistics* factored = nullptr;
  int64_t factored_run = 0;
  std::optional<InverseFactor> factor;
  for (WorkingMatrix& matrix : matrices) {
    const InputStatistics* statistics = collector_.of(*matrix.place.linear);
    const int64_t run = run_of(format_of_matrix(matrix), matrix.place.depth);
    const bool compensates =
        options_.method.rounding == RoundingMethod::kGptq && statistics != nullptr;
    if (compensates && (statistics != factored || run != factored_run)) {
      const std::vector<float>& gram = statistics->gram;
      const int64_t depth = statistics->depth;
      BRISK_ASSIGN_OR_RETURN(factor, InverseFactor::create(gram, depth, options_.damping,
                                                           largest_first(gram, depth, run)));
      factored = statistics;
      factored_run = run;
    }
    BRISK_RETURN_IF_ERROR(store(matrix, statistics, compensates ? &*factor : nullptr, team));
  }
  return commit(std::move(details));
}

// From here on the model computes with what is stored.
absl::Status Quantizer::store(WorkingMatrix& matrix, const InputStatistics* statistics,
                              const InverseFactor* factor, ThreadTeam& team) {
  const LayerMatrix place = matrix.place;
  const MatrixFormat& format = format_of_matrix(matrix);
  const StoredRows rows = rows_in(edit_, place, format);
  BRISK_ASSIGN_OR_RETURN(
      const RoundingLoss loss,
      round_matrix({.method = options_.method.rounding, .statistics = statistics, .factor = factor},
                   matrix, rows, team));
  compute_with(place, rows);
  report(place, format, loss.relative());
  return absl::OkStatus();
}

void Quantizer::report(const LayerMatrix& place, const MatrixFormat& format, double error) {
  matrices_.push_back({.name = place.name,
                       .format = std::string(format.name()),
                       .values = place.rows * place.depth,
                       .bits = format.bits(place.depth),
                       .relative_error = error});
}

// The embedding is looked up, not multiplied with: nothing is known of its inputs. Nor is, where
// they are one, of the head's.
absl::Status Quantizer::quantize_tables(LayerStream* stream, ThreadTeam& team) {
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
absl::Status Quantizer::quantize_table(const NamedTensor& named, const MatrixFormat& format,
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

}  // namespace brisk
