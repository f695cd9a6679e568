#include "compress/factorize/factorize.h"

#include <algorithm>
#include <atomic>
#include <memory>
#include <utility>

#include "base/status.h"
#include "compress/calibrate/edit_layers.h"
#include "compress/edit/resumed_edit.h"
#include "compress/edit/working_matrix.h"
#include "compress/factorize/choose_ranks.h"
#include "compress/factorize/truncated_svd.h"
#include "compute/quant/format.h"
#include "model/convert/convert.h"
#include "model/low_rank.h"

namespace brisk {
namespace {

// A tensor that becomes two: a projection, or several that are fused and read the same input.
struct Target {
  std::vector<LayerMatrix> parts;  // its rows in order
  std::vector<float> values;
  const InputStatistics* statistics = nullptr;  // null: nothing is known of its inputs

  const NamedTensor& tensor() const { return *parts.front().tensor; }
  int64_t rows() const { return tensor().tensor.shape[0]; }
  int64_t depth() const { return tensor().tensor.shape[1]; }
};

bool is_expert(const LayerWeights& layer, const Linear* linear) {
  return std::any_of(layer.experts.begin(), layer.experts.end(), [&](const ExpertWeights& expert) {
    return linear == &expert.gate || linear == &expert.up || linear == &expert.down;
  });
}

// Calls body(i) for every i below `count`, each on one member, whoever is free.
void for_each_item(ThreadTeam& team, size_t count, const std::function<void(size_t)>& body) {
  std::atomic<size_t> next{0};
  team.run([&](Worker) {
    for (size_t i = next.fetch_add(1); i < count; i = next.fetch_add(1)) body(i);
  });
}

Tensor rows_of(DType dtype, const std::byte* matrix, Range rows, int64_t depth) {
  const auto bytes = static_cast<size_t>(bytes_of(dtype, (rows.end - rows.begin) * depth));
  return {.dtype = dtype,
          .shape = {rows.end - rows.begin, depth},
          .data = {matrix + bytes_of(dtype, rows.begin * depth), bytes}};
}

// b a, (rows, depth).
std::vector<float> product_of(const LowRankFactors& factors, int64_t rows, int64_t depth) {
  const int64_t rank = std::ssize(factors.a) / depth;
  std::vector<float> product(static_cast<size_t>(rows * depth), 0.0f);
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t k = 0; k < rank; ++k) {
      const float weight = factors.b[static_cast<size_t>(r * rank + k)];
      for (int64_t c = 0; c < depth; ++c) {
        product[static_cast<size_t>(r * depth + c)] +=
            weight * factors.a[static_cast<size_t>(k * depth + c)];
      }
    }
  }
  return product;
}

class Factorizer {
 public:
  // `journal`: or null.
  Factorizer(const FactorizeOptions& options, Model& model, EditJournal* journal)
      : options_(options),
        model_(model),
        edit_(model.checkpoint, journal),
        collector_(*model.kernels, {.gram = true}) {}

  // Takes what a step of an earlier run says of itself.
  absl::Status resume(const Json& details) {
    try {
      for (const Json& spectrum : details.value("spectra", Json::array())) {
        spectra_.push_back({.rows = spectrum.at("rows").get<int64_t>(),
                            .depth = spectrum.at("depth").get<int64_t>(),
                            .energies = spectrum.at("energies").get<std::vector<double>>()});
        bytes_ += spectrum.at("bytes").get<double>();
        const Spectrum& last = spectra_.back();
        if (last.rows < 1 || std::ssize(last.energies) != std::min(last.rows, last.depth)) {
          return invalid_input("not the spectrum of a matrix");
        }
      }
      measured_layers_ += details.contains("spectra") ? 1 : 0;
      for (const Json& matrix : details.value("matrices", Json::array())) {
        matrices_.push_back({.name = matrix.at("name").get<std::string>(),
                             .rows = matrix.at("rows").get<int64_t>(),
                             .depth = matrix.at("depth").get<int64_t>(),
                             .rank = matrix.at("rank").get<int64_t>(),
                             .kept_energy = matrix.at("kept_energy").get<double>()});
      }
      first_layer_ += details.contains("matrices") ? 1 : 0;
    } catch (const Json::exception& error) {
      return invalid_input("not a step of factorising: {}", error.what());
    }
    return absl::OkStatus();
  }

  // Where spectra are still to be measured.
  bool measures() const {
    return !options_.energy.has_value() && measured_layers_ < model_.weights.layers.size();
  }

  // The spectra of the model as it is; null `stream`: of its weights alone.
  absl::Status measure(LayerStream* stream, ThreadTeam& team) {
    return each_layer("spectra", stream, measured_layers_, [&](size_t layer) -> absl::Status {
      BRISK_ASSIGN_OR_RETURN(const std::vector<Target> targets, targets_of(layer));
      std::vector<absl::StatusOr<std::vector<double>>> energies(targets.size());
      for_each_item(team, targets.size(), [&](size_t i) {
        energies[i] = TruncatedSvd::measure_energies(job_of(targets[i]), *model_.kernels);
      });
      Json spectra = Json::array();
      for (size_t i = 0; i < targets.size(); ++i) {
        if (!energies[i].ok()) return annotate(energies[i].status(), targets[i].tensor().name);
        spectra_.push_back({targets[i].rows(), targets[i].depth(), *std::move(energies[i])});
        const auto bytes = static_cast<double>(targets[i].tensor().tensor.data.size());
        bytes_ += bytes;
        spectra.push_back({{"rows", spectra_.back().rows},
                           {"depth", spectra_.back().depth},
                           {"energies", spectra_.back().energies},
                           {"bytes", bytes}});
      }
      return edit_.commit({{"spectra", spectra}});
    });
  }

  // Spreads the budget by the spectra. `bytes_over`: that the file is to lose where the budget is
  // one of bytes.
  void spread(double bytes_over) {
    constexpr double kTensorBytes = 256;  // name, shape and padding of one more
    bytes_over += kTensorBytes * static_cast<double>(spectra_.size());
    double values = 0;
    for (const Spectrum& spectrum : spectra_) values += static_cast<double>(spectrum.values());
    const double share = std::clamp(options_.ratio.value_or(bytes_over / bytes_), 0.0, 1.0);
    ranks_ = spread_ranks(spectra_, static_cast<int64_t>((1 - share) * values));
  }

  // REQUIRES: the budget is spread, where there is one.
  absl::Status run(LayerStream* stream, ThreadTeam& team) {
    return each_layer("layers", stream, first_layer_, [&](size_t layer) -> absl::Status {
      BRISK_ASSIGN_OR_RETURN(const std::vector<Target> targets, targets_of(layer));
      std::vector<absl::StatusOr<TruncatedSvd>> svds(targets.size());
      for_each_item(team, targets.size(), [&](size_t i) {
        svds[i] = TruncatedSvd::decompose(job_of(targets[i]), *model_.kernels);
      });
      Json matrices = Json::array();
      for (size_t i = 0; i < targets.size(); ++i) {
        if (!svds[i].ok()) return annotate(svds[i].status(), targets[i].tensor().name);
        BRISK_RETURN_IF_ERROR(replace(targets[i], *svds[i]));
        const FactorizedMatrix& matrix = matrices_.back();
        matrices.push_back({{"name", matrix.name},
                            {"rows", matrix.rows},
                            {"depth", matrix.depth},
                            {"rank", matrix.rank},
                            {"kept_energy", matrix.kept_energy}});
      }
      return edit_.commit({{"matrices", matrices}});
    });
  }

  const CheckpointEdit& edit() const { return edit_; }
  std::vector<FactorizedMatrix> take_matrices() { return std::move(matrices_); }

 private:
  absl::Status each_layer(std::string_view phase, LayerStream* stream, size_t first,
                          const std::function<absl::Status(size_t layer)>& body) {
    const auto report = [&](int64_t done, int64_t layers) {
      if (options_.on_progress) options_.on_progress(phase, done, layers);
    };
    return edit_layers({.layers = model_.weights.layers.size(),
                        .first = first,
                        .stream = stream,
                        .collector = &collector_,
                        .edit = body,
                        .on_progress = report});
  }

  // The layer's matrices that may become factors, with what calibration tells of their inputs.
  absl::StatusOr<std::vector<Target>> targets_of(size_t layer) {
    BRISK_ASSIGN_OR_RETURN(std::vector<WorkingMatrix> matrices, decode_layer(model_, layer));
    std::vector<Target> targets;
    for (WorkingMatrix& matrix : matrices) {
      LayerMatrix& place = matrix.place;
      if (is_expert(model_.weights.layers[layer], place.linear)) continue;
      const Format& format = format_of(place.tensor->tensor.dtype);
      if (format.block_values != 1 || format.encode == nullptr) {
        return invalid_input("{} is stored as {}: factorise the float model, then quantise it",
                             place.name, format.name);
      }
      if (targets.empty() || &targets.back().tensor() != place.tensor) targets.emplace_back();
      Target& target = targets.back();
      target.statistics = collector_.of(*place.linear);
      target.values.insert(target.values.end(), matrix.values.begin(), matrix.values.end());
      target.parts.push_back(std::move(place));
    }
    return targets;
  }

  WeightsAndInputs job_of(const Target& target) const {
    WeightsAndInputs job = {.weights = target.values,
                            .rows = target.rows(),
                            .depth = target.depth(),
                            .damping = options_.damping};
    if (target.statistics != nullptr) job.gram = target.statistics->gram;
    return job;
  }

  // The rank of the next matrix. Errors: InvalidArgument where earlier steps were of other ones.
  absl::StatusOr<int64_t> rank_of(const Spectrum& spectrum) const {
    if (options_.energy.has_value()) return rank_for_energy(spectrum, *options_.energy);
    const size_t index = matrices_.size();
    const bool fits = index < ranks_.size() && spectra_[index].rows == spectrum.rows &&
                      spectra_[index].depth == spectrum.depth;
    if (!fits) return invalid_input("the unfinished work is of another model; remove it");
    return ranks_[index];
  }

  absl::Status replace(const Target& target, const TruncatedSvd& svd) {
    const Spectrum spectrum = {target.rows(), target.depth(), svd.energies()};
    BRISK_ASSIGN_OR_RETURN(const int64_t rank, rank_of(spectrum));
    matrices_.push_back({.name = target.tensor().name,
                         .rows = target.rows(),
                         .depth = target.depth(),
                         .rank = rank,
                         .kept_energy = kept_energy(spectrum, rank)});
    if (rank == kDense) return absl::OkStatus();
    LowRankFactors factors = svd.factors(rank);
    if (!options_.dense) {
      BRISK_RETURN_IF_ERROR(annotate(round_a(target, factors), target.tensor().name));
    }
    options_.dense ? store_product(target, factors) : store_factors(target, factors, rank);
    return absl::OkStatus();
  }

  // Rounds a as it will be stored, and fits b to what that made of it.
  absl::Status round_a(const Target& target, LowRankFactors& factors) const {
    const Format& format = format_of(target.tensor().tensor.dtype);
    const auto count = std::ssize(factors.a);
    std::vector<std::byte> stored(static_cast<size_t>(bytes_of(format.dtype, count)));
    format.encode(factors.a.data(), count, stored.data());
    format.decode(stored.data(), count, factors.a.data());
    BRISK_ASSIGN_OR_RETURN(factors.b, fit_b(job_of(target), factors.a, *model_.kernels));
    return absl::OkStatus();
  }

  void store_product(const Target& target, const LowRankFactors& factors) {
    const DType dtype = target.tensor().tensor.dtype;
    const std::vector<float> product = product_of(factors, target.rows(), target.depth());
    std::byte* bytes = edit_.replace(target.tensor(), dtype, target.tensor().tensor.shape);
    format_of(dtype).encode(product.data(), std::ssize(product), bytes);
    for (const LayerMatrix& part : target.parts) {
      const Range rows = {part.first_row, part.first_row + part.rows};
      part.linear->weight = rows_of(dtype, bytes, rows, target.depth());
    }
  }

  // From here on the model computes with them.
  void store_factors(const Target& target, const LowRankFactors& factors, int64_t rank) {
    const DType dtype = target.tensor().tensor.dtype;
    const std::string& name = target.tensor().name;
    edit_.remove(target.tensor());
    std::byte* a = edit_.add(factor_name(name, Factor::kA), dtype, {rank, target.depth()});
    std::byte* b = edit_.add(factor_name(name, Factor::kB), dtype, {target.rows(), rank});
    format_of(dtype).encode(factors.a.data(), std::ssize(factors.a), a);
    format_of(dtype).encode(factors.b.data(), std::ssize(factors.b), b);
    const auto reduce = std::make_shared<Linear>();
    reduce->weight = rows_of(dtype, a, {0, rank}, target.depth());
    for (const LayerMatrix& part : target.parts) {
      part.linear->weight = rows_of(dtype, b, {part.first_row, part.first_row + part.rows}, rank);
      part.linear->reduce = reduce;
    }
  }

  const FactorizeOptions& options_;
  Model& model_;
  CheckpointEdit edit_;
  InputCollector collector_;
  // Of all targets in order, where there is a budget.
  std::vector<Spectrum> spectra_;
  std::vector<int64_t> ranks_;
  double bytes_ = 0;
  std::vector<FactorizedMatrix> matrices_;
  size_t measured_layers_ = 0, first_layer_ = 0;
};

absl::Status check(const Model& model, const FactorizeOptions& options) {
  const int measures = (options.energy.has_value() ? 1 : 0) + (options.ratio.has_value() ? 1 : 0) +
                       (options.bytes_max.has_value() ? 1 : 0);
  if (measures != 1) {
    return invalid_input(
        "say how far to go: --energy 0.95, the share that each matrix keeps, or --ratio 0.3, the "
        "share of their parameters that goes, or --max-size 100MB");
  }
  const auto is_share = [](double share) { return share > 0 && share < 1; };
  if (!is_share(options.energy.value_or(0.5)) || !is_share(options.ratio.value_or(0.5))) {
    return invalid_input(
        "the energy that stays and the parameters that go are shares, from above 0 "
        "to below 1");
  }
  if (!(options.damping > 0 && options.damping <= 1)) {
    return invalid_input("the damping is a share of the inputs' mean energy, from above 0 to 1");
  }
  if (model.spec.quantize_activations) return unsupported("BitNet models cannot be factorised");
  if (model.spec.rank_max > 0) {
    return unsupported("this model is factorised already; start from the one that it came from");
  }
  return absl::OkStatus();
}

// All of the options that the bytes depend on.
Json key_options(const Model& model, const FactorizeOptions& options, const std::string& out) {
  return {{"edit", "factorize 2"},
          {"energy", options.energy.value_or(0)},
          {"ratio", options.ratio.value_or(0)},
          {"bytes_max", options.bytes_max.value_or(0)},
          {"dense", options.dense},
          {"damping", options.damping},
          {"gguf", out.ends_with(".gguf")},
          {"kernels", model.kernels->name}};
}

// That the file is to lose, where what it may take is said.
absl::StatusOr<double> excess_bytes(const Checkpoint& source, const std::string& in,
                                    const std::string& out, const FactorizeOptions& options,
                                    const ConvertOptions& writing) {
  if (!options.bytes_max.has_value()) return 0.0;
  // How large it is where it is going shows when it is there.
  BRISK_ASSIGN_OR_RETURN(const ConvertResult whole, write_checkpoint(source, in, out, writing));
  return static_cast<double>(whole.bytes) - static_cast<double>(*options.bytes_max);
}

}  // namespace

int64_t FactorizeResult::parameters_before() const {
  int64_t total = 0;
  for (const FactorizedMatrix& matrix : matrices) total += matrix.rows * matrix.depth;
  return total;
}

int64_t FactorizeResult::parameters() const {
  int64_t total = 0;
  for (const FactorizedMatrix& matrix : matrices) {
    total += brisk::parameters(Spectrum{matrix.rows, matrix.depth, {}}, matrix.rank);
  }
  return total;
}

absl::StatusOr<FactorizeResult> factorize_checkpoint(const std::string& in, const std::string& out,
                                                     const FactorizeOptions& options) {
  BRISK_ASSIGN_OR_RETURN(const auto source,
                         open_checkpoint(in, {.tokenizer_path = options.tokenizer_path}));
  auto model = make_editable_model(source, model_name_of(in));
  if (!model.ok()) return annotate(model.status(), in);
  BRISK_RETURN_IF_ERROR(check(**model, options));

  const int threads = options.threads > 0 ? options.threads : usable_threads();
  FactorizeResult result;
  TokenWindows windows;
  const bool calibrated = !options.documents.empty();
  if (calibrated) {
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
  }
  // One side of every projection: room in decoders for whatever rank it gets.
  (*model)->spec.rank_max = (*model)->spec.hidden_size;
  const auto new_stream = [&]() -> absl::StatusOr<std::unique_ptr<LayerStream>> {
    if (!calibrated) return nullptr;
    return LayerStream::create(**model, windows, threads);
  };
  ThreadTeam team(threads);
  Factorizer factorizer(options, **model, resumed.journal.get());
  for (const Json& step : resumed.steps) BRISK_RETURN_IF_ERROR(factorizer.resume(step));
  if (factorizer.measures()) {
    BRISK_ASSIGN_OR_RETURN(const auto stream, new_stream());
    BRISK_RETURN_IF_ERROR(factorizer.measure(stream.get(), team));
  }
  ConvertOptions writing;
  writing.threads = threads;
  if (!options.energy.has_value()) {
    BRISK_ASSIGN_OR_RETURN(const double over, excess_bytes(*source, in, out, options, writing));
    factorizer.spread(over);
  }
  BRISK_ASSIGN_OR_RETURN(const auto stream, new_stream());
  BRISK_RETURN_IF_ERROR(factorizer.run(stream.get(), team));
  BRISK_ASSIGN_OR_RETURN(const ConvertResult written,
                         write_checkpoint(factorizer.edit().edited(), in, out, writing));
  result.bytes = written.bytes;
  result.matrices = factorizer.take_matrices();
  return result;
}

}  // namespace brisk
