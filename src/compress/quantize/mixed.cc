#include "compress/quantize/mixed.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <span>
#include <utility>

#include "base/status.h"
#include "compress/edit/working_matrix.h"
#include "compress/evaluate/token_scores.h"
#include "compress/evaluate/window_runner.h"
#include "compress/quantize/round_matrix.h"
#include "compute/quant/format.h"

namespace brisk {
namespace {

// All matrices that are rows of one tensor, which has one format.
struct Unit {
  const NamedTensor* tensor;
  std::vector<LayerMatrix> parts;
  int64_t depth;
  Tensor* table = nullptr;  // of the model: what is looked up as well; null: only multiplied with
};

// The formats that rows of `depth` values fill, coarsest first.
std::vector<DType> formats_for(int64_t depth) {
  const bool super = depth % format_of(DType::kQ4_K).block_values == 0;
  std::vector<DType> formats;
  if (super) formats.push_back(DType::kQ2_K);
  for (const DType dtype : {super ? DType::kQ4_K : DType::kQ4_0, DType::kQ5_0,
                            super ? DType::kQ6_K : DType::kQ8_0, DType::kQ8_0}) {
    const bool is_new = formats.empty() || formats.back() != dtype;
    if (depth % format_of(dtype).block_values == 0 && is_new) formats.push_back(dtype);
  }
  if (formats.empty()) formats.push_back(DType::kF16);
  return formats;
}

double bits_of(DType dtype) {
  const Format& format = format_of(dtype);
  return 8.0 * format.block_bytes / format.block_values;
}

absl::StatusOr<std::vector<Unit>> units_of(Model& model) {
  std::vector<Unit> units;
  for (size_t layer = 0; layer < model.weights.layers.size(); ++layer) {
    BRISK_ASSIGN_OR_RETURN(std::vector<LayerMatrix> matrices, layer_matrices(model, layer));
    for (LayerMatrix& matrix : matrices) {
      const auto same = std::find_if(units.begin(), units.end(), [&](const Unit& unit) {
        return unit.tensor == matrix.tensor;
      });
      Unit& unit = same != units.end()
                       ? *same
                       : units.emplace_back(Unit{matrix.tensor, {}, matrix.depth, nullptr});
      unit.parts.push_back(std::move(matrix));
    }
  }
  return units;
}

// Predictions of the windows by a model that changes between the measurements.
class Predictions {
 public:
  Predictions(const Model& model, const TokenWindows& windows, ThreadTeam& team)
      : model_(model), windows_(windows), team_(team) {}

  absl::Status remember() {
    return each_step([this](const WindowStep& step, size_t /*window*/) {
      const MatView& logits = step.logits;
      reference_.emplace_back(logits.data, logits.data + logits.rows * logits.cols);
    });
  }

  // Mean KL(as remembered || as the model is now).
  absl::StatusOr<double> divergence() {
    size_t index = 0;
    double kl = 0;
    int64_t tokens = 0;
    const absl::Status status = each_step([&](const WindowStep& step, size_t window) {
      const auto cols = static_cast<size_t>(step.logits.cols);
      const std::vector<float>& before = reference_[index++];
      std::vector<double> rows(static_cast<size_t>(step.logits.rows));
      team_.run([&](Worker worker) {
        const Range mine = worker.share(step.logits.rows);
        for (int64_t r = mine.begin; r < mine.end; ++r) {
          const auto row = static_cast<size_t>(r);
          const auto target = static_cast<size_t>(step.first_target) + row;
          rows[row] =
              score_token({step.logits.row(r), cols}, std::span(before).subspan(row * cols, cols),
                          windows_[window][target])
                  .kl;
        }
      });
      for (const double row : rows) kl += row;
      tokens += step.logits.rows;
    });
    BRISK_RETURN_IF_ERROR(status);
    return kl / static_cast<double>(std::max<int64_t>(tokens, 1));
  }

 private:
  template <class Body>
  absl::Status each_step(const Body& body) {
    size_t longest = 2;
    for (const auto& window : windows_) longest = std::max(longest, window.size());
    // A new runner each time: it keeps keys and values, which belong to other weights.
    BRISK_ASSIGN_OR_RETURN(
        const std::unique_ptr<WindowRunner> runner,
        WindowRunner::create(model_, team_, {.context = static_cast<int64_t>(longest)}));
    for (size_t w = 0; w < windows_.size(); ++w) {
      if (windows_[w].size() < 2) continue;
      runner->begin(windows_[w], 1);
      WindowStep step;
      while (runner->next(&step)) body(step, w);
    }
    return absl::OkStatus();
  }

  const Model& model_;
  const TokenWindows& windows_;
  ThreadTeam& team_;
  std::vector<std::vector<float>> reference_;  // logits of each step
};

// Of the formats, the one whose effect is measured: coarse enough to show, but not so coarse that
// the effect no longer follows the error.
size_t measured_among(const std::vector<DType>& formats) {
  constexpr double kBitsMin = 4;
  size_t i = 0;
  while (i + 1 < formats.size() && bits_of(formats[i]) < kBitsMin) ++i;
  return i;
}

// Rounds a matrix in each format; the model is left with formats[last], in `bytes`.
absl::StatusOr<std::vector<double>> round_part(const LayerMatrix& part,
                                               const std::vector<DType>& formats, size_t last,
                                               ThreadTeam& team, std::vector<std::byte>& bytes) {
  std::vector<double> errors(formats.size());
  const auto round = [&](size_t i) -> absl::Status {
    BRISK_ASSIGN_OR_RETURN(WorkingMatrix matrix, decode_matrix(part));
    bytes.resize(static_cast<size_t>(bytes_of(formats[i], part.rows * part.depth)));
    const StoredRows rows = {.format = {.dtype = formats[i]},
                             .memory = bytes,
                             .outputs = part.rows,
                             .first = 0,
                             .rows = part.rows,
                             .depth = part.depth};
    BRISK_ASSIGN_OR_RETURN(const RoundingLoss loss,
                           round_matrix({.method = RoundingMethod::kSearch}, matrix, rows, team));
    errors[i] = loss.relative();
    if (i == last) compute_with(part, rows);
    return absl::OkStatus();
  };
  for (size_t i = 0; i < formats.size(); ++i) {
    if (i != last) BRISK_RETURN_IF_ERROR(round(i));
  }
  BRISK_RETURN_IF_ERROR(round(last));
  return errors;
}

// What rounding this tensor alone does to the predictions.
absl::StatusOr<MixedMatrix> measure_unit(const Unit& unit, Predictions& predictions,
                                         ThreadTeam& team) {
  const std::vector<DType> formats = formats_for(unit.depth);
  const size_t measured = measured_among(formats);
  std::vector<double> errors(formats.size(), 0.0);
  std::vector<std::vector<std::byte>> bytes(unit.parts.size());
  std::vector<Tensor> before;
  for (size_t p = 0; p < unit.parts.size(); ++p) {
    before.push_back(unit.parts[p].linear->weight);
    BRISK_ASSIGN_OR_RETURN(const std::vector<double> part,
                           round_part(unit.parts[p], formats, measured, team, bytes[p]));
    for (size_t i = 0; i < part.size(); ++i) errors[i] += part[i];
  }
  if (unit.table != nullptr) *unit.table = unit.parts.front().linear->weight;
  const absl::StatusOr<double> kl = predictions.divergence();
  if (unit.table != nullptr) *unit.table = before.front();
  for (size_t p = 0; p < unit.parts.size(); ++p) unit.parts[p].linear->weight = before[p];
  BRISK_RETURN_IF_ERROR(kl.status());
  MixedMatrix matrix;
  matrix.tensor = unit.tensor;
  matrix.values = unit.tensor->tensor.values();
  for (size_t i = 0; i < formats.size(); ++i) {
    const double share = errors[measured] > 0 ? errors[i] / errors[measured] : 0;
    matrix.formats.push_back({.dtype = formats[i], .bits = bits_of(formats[i]), .kl = *kl * share});
  }
  return matrix;
}

// Embedding and head, which may be one tensor. What the embedding's rows cost cannot be told apart
// from the head's then. `embedding` stands for the model's own.
void add_tables(Model& model, Linear& embedding, std::vector<Unit>& units) {
  for (Linear* linear : {&embedding, &model.weights.head}) {
    for (const NamedTensor& named : model.checkpoint->tensors) {
      if (named.tensor.data.data() != linear->weight.data.data()) continue;
      LayerMatrix part;
      part.linear = linear;
      part.tensor = &named;
      part.rows = linear->weight.shape[0];
      part.depth = linear->weight.shape[1];
      part.name = named.name;
      if (units.back().tensor != &named) units.push_back({&named, {}, part.depth, nullptr});
      if (linear == &embedding) units.back().table = &model.weights.embedding;
      units.back().parts.push_back(std::move(part));
    }
  }
}

// What is measured on: windows from all over the text, for what rare tokens cost, and no more than
// whose logits can all be kept.
TokenWindows probe_windows(const TokenWindows& windows, int vocab_size) {
  constexpr int64_t kTokens = 4096;
  constexpr int64_t kLogits = int64_t{1} << 27;  // 512 MiB
  int64_t left = std::min(kTokens, std::max<int64_t>(kLogits / vocab_size, 64));
  const int64_t step = std::max<int64_t>(1, token_count(windows) / left);
  TokenWindows probes;
  for (size_t w = 0; w < windows.size() && left > 0; w += static_cast<size_t>(step)) {
    const int64_t taken = std::min<int64_t>(std::ssize(windows[w]), left);
    probes.emplace_back(windows[w].begin(), windows[w].begin() + taken);
    left -= taken;
  }
  return probes;
}

}  // namespace

absl::StatusOr<std::vector<MixedMatrix>> measure_sensitivity(
    Model& model, const TokenWindows& windows, ThreadTeam& team,
    const std::function<void(int64_t done, int64_t total)>& progress) {
  BRISK_ASSIGN_OR_RETURN(std::vector<Unit> units, units_of(model));
  Linear embedding;
  embedding.weight = model.weights.embedding;
  add_tables(model, embedding, units);
  const TokenWindows probes = probe_windows(windows, model.spec.vocab_size);
  Predictions predictions(model, probes, team);
  BRISK_RETURN_IF_ERROR(predictions.remember());
  std::vector<MixedMatrix> matrices;
  for (const Unit& unit : units) {
    BRISK_ASSIGN_OR_RETURN(MixedMatrix matrix, measure_unit(unit, predictions, team));
    matrices.push_back(std::move(matrix));
    progress(std::ssize(matrices), std::ssize(units));
  }
  return matrices;
}

absl::Status spread_bits(double bits, std::vector<MixedMatrix>& matrices) {
  double used = 0, values = 0;
  for (MixedMatrix& matrix : matrices) {
    matrix.chosen = 0;
    used += matrix.formats.front().bits * static_cast<double>(matrix.values);
    values += static_cast<double>(matrix.values);
  }
  const double budget = bits * values;
  constexpr double kRounding = 1e-9;
  if (used > budget * (1 + kRounding)) {
    return invalid_input("{:.2f} bits a weight are the least that these matrices take, not {}",
                         used / values, bits);
  }
  for (;;) {
    MixedMatrix* best = nullptr;
    size_t best_to = 0;
    double best_gain = 0;
    for (MixedMatrix& matrix : matrices) {
      const FormatCost& now = matrix.formats[matrix.chosen];
      for (size_t to = matrix.chosen + 1; to < matrix.formats.size(); ++to) {
        const double extra =
            (matrix.formats[to].bits - now.bits) * static_cast<double>(matrix.values);
        if (used + extra > budget * (1 + kRounding)) continue;
        const double gain = (now.kl - matrix.formats[to].kl) / extra;
        if (gain <= best_gain) continue;
        best = &matrix;
        best_to = to;
        best_gain = gain;
      }
    }
    if (best == nullptr) return absl::OkStatus();
    used += (best->formats[best_to].bits - best->formats[best->chosen].bits) *
            static_cast<double>(best->values);
    best->chosen = best_to;
  }
}

}  // namespace brisk
