#include "compress/prune/structured.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <numeric>
#include <optional>
#include <tuple>
#include <utility>

#include "base/status.h"
#include "compress/calibrate/layer_stream.h"
#include "compress/edit/resumed_edit.h"
#include "compress/edit/working_matrix.h"
#include "compress/prune/structure_plan.h"
#include "compute/quant/format.h"
#include "model/arch/architecture.h"
#include "model/convert/convert.h"

namespace brisk {
namespace {

void keep_rows(WorkingMatrix& matrix, const Indices& rows) {
  const auto depth = static_cast<size_t>(matrix.place.depth);
  std::vector<float> kept;
  for (const int64_t row : rows) {
    const auto from = matrix.values.begin() + row * matrix.place.depth;
    kept.insert(kept.end(), from, from + static_cast<int64_t>(depth));
  }
  matrix.values = std::move(kept);
  matrix.place.rows = std::ssize(rows);
}

void keep_columns(WorkingMatrix& matrix, const Indices& columns) {
  std::vector<float> kept;
  for (int64_t row = 0; row < matrix.place.rows; ++row) {
    for (const int64_t column : columns) {
      kept.push_back(matrix.values[static_cast<size_t>(row * matrix.place.depth + column)]);
    }
  }
  matrix.values = std::move(kept);
  matrix.place.depth = std::ssize(columns);
}

// `fitted`: (rows, inputs that stay); empty: all inputs do.
void put_fitted(WorkingMatrix& matrix, std::span<const float> fitted) {
  if (fitted.empty()) return;
  matrix.values.assign(fitted.begin(), fitted.end());
  matrix.place.depth = std::ssize(fitted) / matrix.place.rows;
}

std::vector<float> taken(const std::vector<float>& values, const Indices& indices) {
  std::vector<float> kept;
  for (const int64_t index : indices) kept.push_back(values[static_cast<size_t>(index)]);
  return kept;
}

// Makes the smaller checkpoint of a plan.
class StructurePruner {
 public:
  // All outlive it.
  StructurePruner(const StructurePlan& plan, Model& model, const TensorNames& names,
                  CheckpointEdit& edit)
      : plan_(plan), model_(model), spec_(model.spec), names_(names), edit_(edit) {}

  absl::Status run() {
    for (size_t layer = 0; layer < spec_.layers.size(); ++layer) {
      if (std::ranges::binary_search(plan_.gone, static_cast<int>(layer))) continue;
      BRISK_RETURN_IF_ERROR(rewrite_layer(layer));
    }
    BRISK_RETURN_IF_ERROR(rewrite_tables());
    if (!plan_.gone.empty()) drop_layers();
    set_config();
    return absl::OkStatus();
  }

 private:
  bool all_channels_stay() const { return std::ssize(plan_.channels) == spec_.hidden_size; }

  absl::Status rewrite_layer(size_t index) {
    const LayerWeights& layer = model_.weights.layers[index];
    const LayerPlan& plan = plan_.layers[index];
    const Indices kv_rows = widened(plan.kv_heads, spec_.head_dim);
    const Indices q_rows =
        widened(plan.kv_heads, int64_t{spec_.heads / spec_.kv_heads} * spec_.head_dim);
    BRISK_ASSIGN_OR_RETURN(std::vector<WorkingMatrix> matrices, decode_layer(model_, index));
    for (WorkingMatrix& matrix : matrices) {
      const Linear* linear = matrix.place.linear;
      const Indices outputs = all_of(matrix.place.rows);
      const Indices* rows = &outputs;
      if (linear == &layer.q) rows = &q_rows;
      if (linear == &layer.k || linear == &layer.v) rows = &kv_rows;
      if (linear == &layer.gate || linear == &layer.up) rows = &plan.neurons;
      const bool from_stream =
          matrix.place.site == InputSite::kAttention || matrix.place.site == InputSite::kMlp;
      if (from_stream) {
        keep_rows(matrix, *rows);
        keep_columns(matrix, plan_.channels);
        BRISK_RETURN_IF_ERROR(rewrite_bias(matrix, *rows));
        continue;
      }
      if (linear == &layer.o) put_fitted(matrix, plan.o);
      if (linear == &layer.down) put_fitted(matrix, plan.down);
      keep_rows(matrix, plan_.channels);
      BRISK_RETURN_IF_ERROR(rewrite_bias(matrix, plan_.channels));
    }
    BRISK_RETURN_IF_ERROR(store_layer(matrices));
    const auto number = static_cast<int64_t>(index);
    const float ratio = energy_ratio(plan.energy);
    for (const auto& [pattern, weights, factor] :
         {std::tuple(&names_.attention_norm, &layer.attention_norm, ratio),
          std::tuple(&names_.ffn_norm, &layer.ffn_norm, ratio),
          std::tuple(&names_.post_attention_norm, &layer.post_attention_norm, 1.0f),
          std::tuple(&names_.post_ffn_norm, &layer.post_ffn_norm, 1.0f)}) {
      if (pattern->empty()) continue;
      BRISK_RETURN_IF_ERROR(rewrite_norm(with_number(*pattern, number), *weights, factor));
    }
    if (!spec_.layers[index].routed) return absl::OkStatus();
    for (const std::string* pattern : {&names_.router, &names_.shared_expert_gate}) {
      if (!pattern->empty()) {
        BRISK_RETURN_IF_ERROR(rewrite_table(with_number(*pattern, number)));
      }
    }
    return absl::OkStatus();
  }

  // The matrices of each tensor, one below the other.
  absl::Status store_layer(const std::vector<WorkingMatrix>& matrices) {
    std::map<const NamedTensor*, std::vector<const WorkingMatrix*>> parts;
    for (const WorkingMatrix& matrix : matrices) parts[matrix.place.tensor].push_back(&matrix);
    for (auto& [tensor, members] : parts) {
      std::sort(members.begin(), members.end(), [](const auto* a, const auto* b) {
        return a->place.first_row < b->place.first_row;
      });
      std::vector<float> values;
      for (const WorkingMatrix* member : members) {
        values.insert(values.end(), member->values.begin(), member->values.end());
      }
      std::vector<int64_t> shape = tensor->tensor.shape;
      shape.back() = members.front()->place.depth;
      int64_t outer = 1;  // experts
      for (size_t d = 0; d + 2 < shape.size(); ++d) outer *= shape[d];
      shape[shape.size() - 2] = std::ssize(values) / shape.back() / outer;
      BRISK_RETURN_IF_ERROR(store(*tensor, std::move(shape), values));
    }
    return absl::OkStatus();
  }

  absl::Status store(const NamedTensor& old, std::vector<int64_t> shape,
                     const std::vector<float>& values) {
    const DType dtype = old.tensor.dtype;
    if (format_of(dtype).block_values != 1 || format_of(dtype).encode == nullptr) {
      return invalid_input("{} is stored as {}: prune the float model, then quantise it", old.name,
                           format_of(dtype).name);
    }
    format_of(dtype).encode(values.data(), std::ssize(values),
                            edit_.replace(old, dtype, std::move(shape)));
    return absl::OkStatus();
  }

  // A matrix's bias loses the rows that the matrix loses; in a fused tensor each part its own.
  absl::Status rewrite_bias(const WorkingMatrix& matrix, const Indices& rows) {
    const std::vector<float>& bias = matrix.place.linear->bias;
    if (bias.empty() || std::ssize(rows) == std::ssize(bias)) return absl::OkStatus();
    if (!matrix.place.tensor->name.ends_with("weight")) return absl::OkStatus();
    std::string name = matrix.place.tensor->name;
    name.replace(name.size() - 6, 6, "bias");
    const NamedTensor* stored = model_.checkpoint->find_weight(name);
    if (stored == nullptr) return invalid_input("the checkpoint has no tensor {}", name);
    if (stored->tensor.values() != std::ssize(bias)) {
      return unsupported("{}: biases of fused projections cannot be pruned", name);
    }
    return store(*stored, {std::ssize(rows)}, taken(bias, rows));
  }

  // RMS norms divide by the root mean square of fewer channels than before: their weights make up
  // for how much larger or smaller that is, on average.
  float energy_ratio(const std::vector<double>& squares) const {
    if (spec_.norm == NormKind::kLayer || all_channels_stay()) return 1;
    double kept = 0;
    for (const int64_t channel : plan_.channels) kept += squares[static_cast<size_t>(channel)];
    const double all = std::accumulate(squares.begin(), squares.end(), 0.0);
    if (!(all > 0) || !(kept > 0)) return 1;
    const double mean_kept = kept / static_cast<double>(plan_.channels.size());
    return static_cast<float>(std::sqrt(mean_kept / (all / static_cast<double>(squares.size()))));
  }

  absl::Status rewrite_norm(const std::string& name, const NormWeights& weights, float factor) {
    const NamedTensor* stored = model_.checkpoint->find_weight(name);
    if (stored == nullptr || weights.weight.empty() || all_channels_stay()) {
      return absl::OkStatus();
    }
    const float shift = spec_.norm == NormKind::kRmsPlusOne ? 1.0f : 0.0f;
    std::vector<float> values = taken(weights.weight, plan_.channels);
    for (float& value : values) value = (value + shift) * factor - shift;
    BRISK_RETURN_IF_ERROR(store(*stored, {std::ssize(values)}, values));
    if (weights.bias.empty()) return absl::OkStatus();
    std::string bias = name;
    bias.replace(bias.rfind("weight"), 6, "bias");
    const NamedTensor* stored_bias = model_.checkpoint->find_weight(bias);
    if (stored_bias == nullptr) return invalid_input("the checkpoint has no tensor {}", bias);
    return store(*stored_bias, {std::ssize(values)}, taken(weights.bias, plan_.channels));
  }

  // A table of rows of channels.
  absl::Status rewrite_table(const std::string& name) {
    const NamedTensor* stored = name.empty() ? nullptr : model_.checkpoint->find_weight(name);
    if (stored == nullptr) return absl::OkStatus();
    const int64_t width = spec_.hidden_size, rows = stored->tensor.values() / width;
    std::vector<float> row(static_cast<size_t>(width)), values;
    for (int64_t r = 0; r < rows; ++r) {
      decode_values(stored->tensor, r * width, width, row.data());
      for (const int64_t channel : plan_.channels)
        values.push_back(row[static_cast<size_t>(channel)]);
    }
    std::vector<int64_t> shape = stored->tensor.shape;
    shape.back() = std::ssize(plan_.channels);
    return store(*stored, std::move(shape), values);
  }

  absl::Status rewrite_tables() {
    if (all_channels_stay()) return absl::OkStatus();
    for (const std::string* name : {&names_.embedding, &names_.positions, &names_.head}) {
      BRISK_RETURN_IF_ERROR(rewrite_table(*name));
    }
    return rewrite_norm(names_.final_norm, model_.weights.final_norm,
                        energy_ratio(plan_.energy_after));
  }

  // "blk.7." becomes "blk.6." where one layer before it goes.
  void drop_layers() {
    const std::string prefix =
        names_.attention_norm.substr(0, names_.attention_norm.find("{}") + 3);
    int next = 0;
    for (int layer = 0; layer < static_cast<int>(spec_.layers.size()); ++layer) {
      const bool goes = std::find(plan_.gone.begin(), plan_.gone.end(), layer) != plan_.gone.end();
      edit_.rename_prefix(with_number(prefix, layer), goes ? "" : with_number(prefix, next++));
    }
  }

  void set_config() {
    ModelConfig& config = edit_.config();
    config.hidden_size = std::ssize(plan_.channels);
    config.layers = static_cast<int64_t>(spec_.layers.size() - plan_.gone.size());
    config.kv_heads = std::ssize(plan_.layers.front().kv_heads);
    config.heads = config.kv_heads * (spec_.heads / spec_.kv_heads);
    config.head_dim = spec_.head_dim;
    config.ffn_size = std::ssize(plan_.layers.front().neurons);
    if (config.layer_is_sliding.empty()) return;
    for (auto it = plan_.gone.rbegin(); it != plan_.gone.rend(); ++it) {
      config.layer_is_sliding.erase(config.layer_is_sliding.begin() + *it);
    }
  }

  const StructurePlan& plan_;
  Model& model_;
  const ModelSpec& spec_;
  const TensorNames& names_;
  CheckpointEdit& edit_;
};

absl::Status check(const ModelSpec& spec, const ModelConfig& config,
                   const StructuredOptions& options) {
  const auto is_share = [](double share) { return share >= 0 && share < 1; };
  if (!is_share(options.neurons) || !is_share(options.kv_heads) || !is_share(options.channels)) {
    return invalid_input("shares that go are from 0 to below 1");
  }
  BRISK_RETURN_IF_ERROR(check_shares(options, spec));
  if (options.layers < 0 || options.layers >= static_cast<int>(spec.layers.size())) {
    return invalid_input("the model has {} layers: from 0 to {} of them can go", spec.layers.size(),
                         spec.layers.size() - 1);
  }
  if (options.documents.empty()) {
    return invalid_input("what matters is seen on a text: give one with --calibration");
  }
  const bool routed = std::any_of(spec.layers.begin(), spec.layers.end(),
                                  [](const LayerSpec& layer) { return layer.routed; });
  if (routed && options.neurons > 0) return unsupported("neurons of experts cannot be removed yet");
  const bool differ =
      config.sliding_window_pattern > 0 || config.sparse_step > 1 || !config.dense_layers.empty();
  if (differ && options.layers > 0) {
    return unsupported("layers of models whose layers differ in kind cannot be removed");
  }
  if (spec.quantize_activations) return unsupported("BitNet models cannot be pruned");
  if (spec.rank_max > 0) {
    return unsupported("structures of a factorised model cannot be removed; prune, then factorise");
  }
  return absl::OkStatus();
}

int64_t parameters_of(const Checkpoint& checkpoint) {
  int64_t total = 0;
  for (const NamedTensor& named : checkpoint.tensors) total += named.tensor.values();
  return total;
}

// All of the options that the bytes depend on.
Json key_options(const Model& model, const StructuredOptions& options,
                 const StructureImportance* importance) {
  Json given;
  if (importance != nullptr) {
    given = {importance->neurons, importance->kv_heads, importance->channels, importance->layers};
  }
  return {{"edit", "prune structures 1"},   {"neurons", options.neurons},
          {"kv_heads", options.kv_heads},   {"channels", options.channels},
          {"layers", options.layers},       {"damping", options.damping},
          {"kernels", model.kernels->name}, {"importance", given}};
}

}  // namespace

absl::StatusOr<StructuredResult> prune_structures(const std::string& in, const std::string& out,
                                                  const StructuredOptions& options) {
  BRISK_ASSIGN_OR_RETURN(const auto source,
                         open_checkpoint(in, {.tokenizer_path = options.tokenizer_path}));
  auto opened = make_editable_model(source, model_name_of(in));
  if (!opened.ok()) return annotate(opened.status(), in);
  Model& model = **opened;
  BRISK_RETURN_IF_ERROR(check(model.spec, source->config, options));
  BRISK_ASSIGN_OR_RETURN(const Architecture* architecture, find_architecture(source->config));
  const TensorNames names = architecture->names(source->config.layout);
  std::optional<StructureImportance> read;
  if (!options.importance_path.empty()) {
    BRISK_ASSIGN_OR_RETURN(read, read_structure_importance(options.importance_path, model.spec));
  }
  BRISK_ASSIGN_OR_RETURN(const TokenWindows windows,
                         calibration_windows(model, options.documents, options.calibration));
  const StructureImportance* const importance = read ? &*read : nullptr;
  const bool keeps = !options.work_directory.empty();
  BRISK_ASSIGN_OR_RETURN(
      const ResumedEdit resumed,
      resume_edit(
          source, options.work_directory,
          keeps ? edit_key(*source, key_options(model, options, importance), windows) : ""));
  BRISK_ASSIGN_OR_RETURN(const std::unique_ptr<LayerStream> stream,
                         LayerStream::create(model, windows, options.threads));
  CheckpointEdit edit(source, resumed.journal.get());
  StructurePlanner planner(options, model, resumed.journal.get(), importance);
  for (const Json& step : resumed.steps) BRISK_RETURN_IF_ERROR(planner.resume(step));
  BRISK_ASSIGN_OR_RETURN(const StructurePlan plan, planner.plan(*stream, edit));
  BRISK_RETURN_IF_ERROR(StructurePruner(plan, model, names, edit).run());

  const Checkpoint edited = edit.edited();
  ConvertOptions writing;
  writing.threads = stream->threads();
  BRISK_ASSIGN_OR_RETURN(const ConvertResult written, write_checkpoint(edited, in, out, writing));
  StructuredResult result;
  result.bytes = written.bytes;
  result.parameters_before = parameters_of(*source);
  result.parameters = parameters_of(edited);
  result.layers = edited.config.layers;
  result.ffn_size = edited.config.ffn_size;
  result.heads = edited.config.heads;
  result.kv_heads = edited.config.kv_heads;
  result.hidden_size = edited.config.hidden_size;
  result.removed_layers = plan.gone;
  result.calibration_tokens = token_count(windows);
  return result;
}

}  // namespace brisk
