#include "compress/prune/structured.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <numeric>
#include <tuple>
#include <utility>

#include "base/status.h"
#include "compress/calibrate/input_statistics.h"
#include "compress/calibrate/layer_stream.h"
#include "compress/edit/working_matrix.h"
#include "compress/prune/refit.h"
#include "compute/quant/format.h"
#include "model/arch/architecture.h"
#include "model/convert/convert.h"

namespace brisk {
namespace {

constexpr int64_t kUnit = 16;  // neurons and channels stay in multiples of it

using Indices = std::vector<int64_t>;

Indices all_of(int64_t count) {
  Indices indices(static_cast<size_t>(count));
  std::iota(indices.begin(), indices.end(), 0);
  return indices;
}

// The `count` indices with the highest scores, ascending.
Indices highest(const std::vector<double>& scores, int64_t count) {
  Indices order = all_of(std::ssize(scores));
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    return scores[static_cast<size_t>(a)] > scores[static_cast<size_t>(b)];
  });
  order.resize(static_cast<size_t>(count));
  std::sort(order.begin(), order.end());
  return order;
}

int64_t kept_count(int64_t count, double share_gone, int64_t unit) {
  const auto kept =
      std::llround((1 - share_gone) * static_cast<double>(count) / static_cast<double>(unit));
  return std::clamp<int64_t>(kept * unit, std::min(unit, count), count);
}

// Each index stands for `size` consecutive ones.
Indices widened(const Indices& indices, int64_t size) {
  Indices wide;
  for (const int64_t index : indices) {
    for (int64_t i = 0; i < size; ++i) wide.push_back(index * size + i);
  }
  return wide;
}

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

std::vector<float> chosen(const std::vector<float>& values, const Indices& indices) {
  std::vector<float> kept;
  for (const int64_t index : indices) kept.push_back(values[static_cast<size_t>(index)]);
  return kept;
}

// What one layer is left with.
struct LayerPlan {
  Indices neurons, kv_heads;
  std::vector<float> mlp_gram, attention_gram;  // of the inputs of down and o; empty: none goes
};

// How much of the residual stream's energy the channels that stay carry, before a layer.
struct StreamEnergy {
  std::vector<double> squares;  // (hidden)
};

class StructurePruner {
 public:
  StructurePruner(const StructuredOptions& options, Model& model, const TensorNames& names)
      : options_(options),
        model_(model),
        spec_(model.spec),
        names_(names),
        edit_(model.checkpoint) {}

  absl::Status run(LayerStream& stream) {
    BRISK_RETURN_IF_ERROR(look(stream));
    choose_layers();
    channels_ = choose_channels();
    for (size_t layer = 0; layer < spec_.layers.size(); ++layer) {
      if (std::find(gone_.begin(), gone_.end(), static_cast<int>(layer)) != gone_.end()) continue;
      BRISK_RETURN_IF_ERROR(rewrite_layer(layer));
    }
    BRISK_RETURN_IF_ERROR(rewrite_tables());
    if (!gone_.empty()) drop_layers();
    set_config();
    return absl::OkStatus();
  }

  CheckpointEdit& edit() { return edit_; }
  const std::vector<int>& gone() const { return gone_; }

 private:
  // One pass over the texts: scores of everything, by the model as it is.
  absl::Status look(LayerStream& stream) {
    InputCollector collector(*model_.kernels, {.gram = true});
    const size_t layers = spec_.layers.size();
    for (size_t layer = 0; layer < layers; ++layer) {
      collector.clear();
      stream.look(collector);
      plans_.push_back(plan_layer(layer, collector));
      energies_.push_back(energy_of(stream));
      std::vector<float> before;
      for (size_t w = 0; w < stream.windows(); ++w) {
        const ConstMatView states = stream.states(w);
        before.insert(before.end(), states.data, states.data + states.rows * states.cols);
      }
      stream.advance();
      influence_.push_back(influence_of(before, stream));
      if (options_.on_progress) {
        options_.on_progress(static_cast<int64_t>(layer) + 1, static_cast<int64_t>(layers));
      }
    }
    energies_.push_back(energy_of(stream));
    return absl::OkStatus();
  }

  // What each input of `linear` adds to its outputs: x_i^2 |W_i|^2, summed over the texts.
  static std::vector<double> contributions(const Linear& linear,
                                           const InputStatistics& statistics) {
    const int64_t rows = linear.weight.shape[0], depth = linear.weight.shape[1];
    std::vector<double> scores(static_cast<size_t>(depth), 0.0);
    std::vector<float> row(static_cast<size_t>(depth));
    for (int64_t r = 0; r < rows; ++r) {
      decode_values(linear.weight, r * depth, depth, row.data());
      for (size_t i = 0; i < row.size(); ++i) {
        scores[i] += static_cast<double>(row[i]) * static_cast<double>(row[i]);
      }
    }
    for (size_t i = 0; i < scores.size(); ++i) scores[i] *= statistics.sums_square[i];
    return scores;
  }

  LayerPlan plan_layer(size_t index, InputCollector& collector) const {
    const LayerWeights& layer = model_.weights.layers[index];
    LayerPlan plan;
    plan.kv_heads = all_of(spec_.kv_heads);
    plan.neurons = all_of(spec_.ffn_size);
    const InputStatistics* mixed = collector.of(layer.o);
    if (options_.kv_heads > 0 && mixed != nullptr) {
      const std::vector<double> inputs = contributions(layer.o, *mixed);
      std::vector<double> heads(static_cast<size_t>(spec_.kv_heads), 0.0);
      const size_t span = inputs.size() / heads.size();
      for (size_t i = 0; i < inputs.size(); ++i) heads[i / span] += inputs[i];
      plan.kv_heads = highest(heads, kept_count(spec_.kv_heads, options_.kv_heads, 1));
      plan.attention_gram = mixed->gram;
    }
    const InputStatistics* inner = spec_.layers[index].routed ? nullptr : collector.of(layer.down);
    if (options_.neurons > 0 && inner != nullptr) {
      plan.neurons = highest(contributions(layer.down, *inner),
                             kept_count(spec_.ffn_size, options_.neurons, kUnit));
      plan.mlp_gram = inner->gram;
    }
    return plan;
  }

  StreamEnergy energy_of(const LayerStream& stream) const {
    StreamEnergy energy;
    energy.squares.assign(static_cast<size_t>(spec_.hidden_size), 0.0);
    for (size_t w = 0; w < stream.windows(); ++w) {
      const ConstMatView states = stream.states(w);
      for (int64_t r = 0; r < states.rows; ++r) {
        for (int64_t c = 0; c < states.cols; ++c) {
          const double x = static_cast<double>(states.row(r)[c]);
          energy.squares[static_cast<size_t>(c)] += x * x;
        }
      }
    }
    return energy;
  }

  // 1 - the mean cosine between what goes into the layer and what comes out.
  double influence_of(const std::vector<float>& before, const LayerStream& stream) const {
    double total = 0;
    int64_t tokens = 0;
    const float* x = before.data();
    for (size_t w = 0; w < stream.windows(); ++w) {
      const ConstMatView after = stream.states(w);
      for (int64_t r = 0; r < after.rows; ++r, ++tokens, x += after.cols) {
        double xy = 0, xx = 0, yy = 0;
        for (int64_t c = 0; c < after.cols; ++c) {
          const double a = static_cast<double>(x[c]), b = static_cast<double>(after.row(r)[c]);
          xy += a * b;
          xx += a * a;
          yy += b * b;
        }
        total += xx > 0 && yy > 0 ? xy / std::sqrt(xx * yy) : 1;
      }
    }
    return 1 - total / static_cast<double>(std::max<int64_t>(tokens, 1));
  }

  void choose_layers() {
    std::vector<int> order(influence_.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int a, int b) {
      return influence_[static_cast<size_t>(a)] < influence_[static_cast<size_t>(b)];
    });
    gone_.assign(order.begin(), order.begin() + options_.layers);
    std::sort(gone_.begin(), gone_.end());
  }

  // By what a channel carries in all places of the stream, as a share of each.
  Indices choose_channels() const {
    if (options_.channels == 0) return all_of(spec_.hidden_size);
    std::vector<double> scores(static_cast<size_t>(spec_.hidden_size), 0.0);
    for (const StreamEnergy& energy : energies_) {
      const double total = std::accumulate(energy.squares.begin(), energy.squares.end(), 0.0);
      for (size_t c = 0; c < scores.size(); ++c) {
        scores[c] += energy.squares[c] / std::max(total, 1e-30);
      }
    }
    return highest(scores, kept_count(spec_.hidden_size, options_.channels, kUnit));
  }

  absl::Status rewrite_layer(size_t index) {
    const LayerWeights& layer = model_.weights.layers[index];
    const LayerPlan& plan = plans_[index];
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
        keep_columns(matrix, channels_);
        BRISK_RETURN_IF_ERROR(rewrite_bias(matrix, *rows));
        continue;
      }
      if (linear == &layer.o) {
        BRISK_RETURN_IF_ERROR(keep_inputs(matrix, plan.attention_gram, q_rows));
      } else if (linear == &layer.down) {
        BRISK_RETURN_IF_ERROR(keep_inputs(matrix, plan.mlp_gram, plan.neurons));
      }
      keep_rows(matrix, channels_);
      BRISK_RETURN_IF_ERROR(rewrite_bias(matrix, channels_));
    }
    BRISK_RETURN_IF_ERROR(store_layer(matrices));
    const auto number = static_cast<int64_t>(index);
    const float ratio = energy_ratio(index);
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

  absl::Status keep_inputs(WorkingMatrix& matrix, const std::vector<float>& gram,
                           const Indices& kept) const {
    if (std::ssize(kept) == matrix.place.depth) return absl::OkStatus();
    BRISK_RETURN_IF_ERROR(
        refit_columns(gram, matrix.place.depth, kept, options_.damping, matrix.values));
    matrix.place.depth = std::ssize(kept);
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
    return store(*stored, {std::ssize(rows)}, chosen(bias, rows));
  }

  // RMS norms divide by the root mean square of fewer channels than before: their weights make up
  // for how much larger or smaller that is, on average.
  float energy_ratio(size_t place) const {
    if (spec_.norm == NormKind::kLayer || options_.channels == 0) return 1;
    const std::vector<double>& squares = energies_[place].squares;
    double kept = 0;
    for (const int64_t channel : channels_) kept += squares[static_cast<size_t>(channel)];
    const double all = std::accumulate(squares.begin(), squares.end(), 0.0);
    if (!(all > 0) || !(kept > 0)) return 1;
    const double mean_kept = kept / static_cast<double>(channels_.size());
    return static_cast<float>(std::sqrt(mean_kept / (all / static_cast<double>(squares.size()))));
  }

  absl::Status rewrite_norm(const std::string& name, const NormWeights& weights, float factor) {
    const NamedTensor* stored = model_.checkpoint->find_weight(name);
    if (stored == nullptr || weights.weight.empty() || options_.channels == 0) {
      return absl::OkStatus();
    }
    const float shift = spec_.norm == NormKind::kRmsPlusOne ? 1.0f : 0.0f;
    std::vector<float> values = chosen(weights.weight, channels_);
    for (float& value : values) value = (value + shift) * factor - shift;
    BRISK_RETURN_IF_ERROR(store(*stored, {std::ssize(values)}, values));
    if (weights.bias.empty()) return absl::OkStatus();
    std::string bias = name;
    bias.replace(bias.rfind("weight"), 6, "bias");
    const NamedTensor* stored_bias = model_.checkpoint->find_weight(bias);
    if (stored_bias == nullptr) return invalid_input("the checkpoint has no tensor {}", bias);
    return store(*stored_bias, {std::ssize(values)}, chosen(weights.bias, channels_));
  }

  // A table of rows of channels.
  absl::Status rewrite_table(const std::string& name) {
    const NamedTensor* stored = name.empty() ? nullptr : model_.checkpoint->find_weight(name);
    if (stored == nullptr) return absl::OkStatus();
    const int64_t width = spec_.hidden_size, rows = stored->tensor.values() / width;
    std::vector<float> row(static_cast<size_t>(width)), values;
    for (int64_t r = 0; r < rows; ++r) {
      decode_values(stored->tensor, r * width, width, row.data());
      for (const int64_t channel : channels_) values.push_back(row[static_cast<size_t>(channel)]);
    }
    std::vector<int64_t> shape = stored->tensor.shape;
    shape.back() = std::ssize(channels_);
    return store(*stored, std::move(shape), values);
  }

  absl::Status rewrite_tables() {
    if (options_.channels == 0) return absl::OkStatus();
    for (const std::string* name : {&names_.embedding, &names_.positions, &names_.head}) {
      BRISK_RETURN_IF_ERROR(rewrite_table(*name));
    }
    return rewrite_norm(names_.final_norm, model_.weights.final_norm,
                        energy_ratio(spec_.layers.size()));
  }

  // "blk.7." becomes "blk.6." where one layer before it goes.
  void drop_layers() {
    const std::string prefix =
        names_.attention_norm.substr(0, names_.attention_norm.find("{}") + 3);
    int next = 0;
    for (int layer = 0; layer < static_cast<int>(spec_.layers.size()); ++layer) {
      const bool goes = std::find(gone_.begin(), gone_.end(), layer) != gone_.end();
      edit_.rename_prefix(with_number(prefix, layer), goes ? "" : with_number(prefix, next++));
    }
  }

  void set_config() {
    ModelConfig& config = edit_.config();
    config.hidden_size = std::ssize(channels_);
    config.layers = static_cast<int64_t>(spec_.layers.size() - gone_.size());
    config.kv_heads = std::ssize(plans_.front().kv_heads);
    config.heads = config.kv_heads * (spec_.heads / spec_.kv_heads);
    config.head_dim = spec_.head_dim;
    config.ffn_size = std::ssize(plans_.front().neurons);
    if (config.layer_is_sliding.empty()) return;
    for (auto it = gone_.rbegin(); it != gone_.rend(); ++it) {
      config.layer_is_sliding.erase(config.layer_is_sliding.begin() + *it);
    }
  }

  const StructuredOptions& options_;
  Model& model_;
  const ModelSpec& spec_;
  const TensorNames& names_;
  CheckpointEdit edit_;
  std::vector<LayerPlan> plans_;        // (layers)
  std::vector<StreamEnergy> energies_;  // before each layer, and after the last
  std::vector<double> influence_;       // (layers)
  std::vector<int> gone_;               // layers, ascending
  Indices channels_;
};

absl::Status check(const ModelSpec& spec, const ModelConfig& config,
                   const StructuredOptions& options) {
  const auto is_share = [](double share) { return share >= 0 && share < 1; };
  if (!is_share(options.neurons) || !is_share(options.kv_heads) || !is_share(options.channels)) {
    return invalid_input("shares that go are from 0 to below 1");
  }
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
  BRISK_ASSIGN_OR_RETURN(const TokenWindows windows,
                         calibration_windows(model, options.documents, options.calibration));
  BRISK_ASSIGN_OR_RETURN(const std::unique_ptr<LayerStream> stream,
                         LayerStream::create(model, windows, options.threads));
  StructurePruner pruner(options, model, names);
  BRISK_RETURN_IF_ERROR(pruner.run(*stream));

  const Checkpoint edited = pruner.edit().edited();
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
  result.removed_layers = pruner.gone();
  result.calibration_tokens = token_count(windows);
  return result;
}

}  // namespace brisk
