#include "compress/prune/prune.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <memory>
#include <optional>
#include <utility>

#include "base/status.h"
#include "compress/calibrate/edit_layers.h"
#include "compress/edit/resumed_edit.h"
#include "compress/edit/working_matrix.h"
#include "compress/prune/sparsegpt.h"
#include "compute/quant/format.h"
#include "model/convert/convert.h"

namespace brisk {
namespace {

constexpr std::pair<std::string_view, PruneMethod> kMethods[] = {
    {"magnitude", PruneMethod::kMagnitude},
    {"global-magnitude", PruneMethod::kGlobalMagnitude},
    {"wanda", PruneMethod::kWanda},
    {"sparsegpt", PruneMethod::kSparseGpt},
};

bool needs_calibration(PruneMethod method) {
  return method == PruneMethod::kWanda || method == PruneMethod::kSparseGpt;
}

class LayerPruner {
 public:
  // `journal`: or null.
  LayerPruner(const PruneOptions& options, Model& model, EditJournal* journal)
      : options_(options),
        model_(model),
        edit_(model.checkpoint, journal),
        collector_(*model.kernels, {.gram = options.method == PruneMethod::kSparseGpt}) {}

  // Takes what a step of an earlier run says of itself.
  absl::Status resume(const Json& details) {
    try {
      ++first_layer_;
      equal_left_ = details.at("equal_left").get<int64_t>();
      threshold_ = details.at("threshold").get<float>();
      for (const Json& matrix : details.at("matrices")) {
        matrices_.push_back({.name = matrix.at("name").get<std::string>(),
                             .values = matrix.at("values").get<int64_t>(),
                             .zeros = matrix.at("zeros").get<int64_t>()});
      }
    } catch (const Json::exception& error) {
      return invalid_input("not a step of pruning: {}", error.what());
    }
    return absl::OkStatus();
  }

  absl::Status run(LayerStream* stream, ThreadTeam& team) {
    const size_t layers = model_.weights.layers.size();
    if (options_.method == PruneMethod::kGlobalMagnitude && first_layer_ == 0) {
      BRISK_RETURN_IF_ERROR(find_global_threshold());
    }
    BRISK_RETURN_IF_ERROR(
        edit_layers({.layers = layers,
                     .first = first_layer_,
                     .stream = stream,
                     .collector = &collector_,
                     .edit = [&](size_t layer) { return prune_layer(layer, team); },
                     .on_progress = options_.on_progress}));
    if (!options_.head || first_layer_ > layers) return absl::OkStatus();
    collector_.clear();
    if (stream != nullptr) stream->look_at_head(collector_);
    return prune_head(team);
  }

  const CheckpointEdit& edit() const { return edit_; }
  std::vector<PrunedMatrix> take_matrices() { return std::move(matrices_); }

 private:
  absl::Status find_global_threshold() {
    ExactQuantile quantile;
    for (const bool refining : {false, true}) {
      if (refining) quantile.refine(options_.pattern.sparsity);
      for (size_t layer = 0; layer < model_.weights.layers.size(); ++layer) {
        BRISK_ASSIGN_OR_RETURN(const std::vector<WorkingMatrix> matrices,
                               decode_layer(model_, layer));
        for (const WorkingMatrix& matrix : matrices) quantile.add(matrix.values);
      }
      if (!options_.head) continue;
      BRISK_ASSIGN_OR_RETURN(const WorkingMatrix head, decode_head());
      quantile.add(head.values);
    }
    threshold_ = quantile.threshold();
    equal_left_ = quantile.equal_that_go();
    return absl::OkStatus();
  }

  absl::StatusOr<WorkingMatrix> decode_head() {
    Linear& head = model_.weights.head;
    const auto& tensors = model_.checkpoint->tensors;
    const auto named = std::ranges::find_if(tensors, [&](const NamedTensor& each) {
      return each.tensor.data.data() == head.weight.data.data();
    });
    if (named == tensors.end()) {
      return unsupported("the head is not stored as it is computed with; leave it dense");
    }
    return decode_matrix({.linear = &head,
                          .tensor = &*named,
                          .rows = head.weight.shape[0],
                          .depth = head.weight.shape[1],
                          .name = named->name});
  }

  absl::Status prune_head(ThreadTeam& team) {
    std::vector<WorkingMatrix> head(1);
    BRISK_ASSIGN_OR_RETURN(head[0], decode_head());
    return prune_matrices(head, team);
  }

  absl::Status prune_layer(size_t layer, ThreadTeam& team) {
    BRISK_ASSIGN_OR_RETURN(std::vector<WorkingMatrix> matrices, decode_layer(model_, layer));
    return prune_matrices(matrices, team);
  }

  absl::Status prune_matrices(std::vector<WorkingMatrix>& matrices, ThreadTeam& team) {
    const size_t before = matrices_.size();
    const InputStatistics* factored = nullptr;
    std::optional<InverseFactor> factor;
    for (WorkingMatrix& matrix : matrices) {
      const LayerMatrix& place = matrix.place;
      const DType dtype = place.tensor->tensor.dtype;
      if (format_of(dtype).block_values != 1 || format_of(dtype).encode == nullptr) {
        return invalid_input("{} is stored as {}: prune the float model, then quantise it",
                             place.name, format_of(dtype).name);
      }
      const InputStatistics* statistics = collector_.of(*place.linear);
      if (options_.method == PruneMethod::kSparseGpt && statistics != nullptr) {
        if (statistics != factored) {
          BRISK_ASSIGN_OR_RETURN(
              factor, InverseFactor::create(statistics->gram, statistics->depth, options_.damping));
          factored = statistics;
        }
        sparsegpt(team, *factor, options_.pattern, matrix.values.data(), place.rows);
      } else if (options_.method == PruneMethod::kGlobalMagnitude) {
        drop_below_threshold(matrix);
      } else {
        prune_by_score(matrix, statistics, team);
      }
      store(matrix, dtype);
    }
    Json pruned = Json::array();
    for (size_t i = before; i < matrices_.size(); ++i) {
      pruned.push_back({{"name", matrices_[i].name},
                        {"values", matrices_[i].values},
                        {"zeros", matrices_[i].zeros}});
    }
    return edit_.commit(
        {{"matrices", pruned}, {"threshold", threshold_}, {"equal_left", equal_left_}});
  }

  void drop_below_threshold(WorkingMatrix& matrix) {
    for (float& value : matrix.values) {
      const float magnitude = std::abs(value);
      if (magnitude < threshold_) value = 0;
      if (magnitude == threshold_ && equal_left_ > 0) {
        value = 0;
        --equal_left_;
      }
    }
  }

  // Wanda's score, or where nothing is known of the inputs the magnitude.
  void prune_by_score(WorkingMatrix& matrix, const InputStatistics* statistics, ThreadTeam& team) {
    const auto depth = static_cast<size_t>(matrix.place.depth);
    std::vector<float> input(depth, 1.0f);
    if (options_.method == PruneMethod::kWanda && statistics != nullptr) {
      input = statistics->mean_square();
      for (float& square : input) square = std::sqrt(square);
    }
    std::vector<float> scores(matrix.values.size());
    for (size_t i = 0; i < scores.size(); ++i) {
      scores[i] = std::abs(matrix.values[i]) * input[i % depth];
    }
    if (!options_.pattern.has_groups()) {  // all rows against each other
      return prune_row(options_.pattern, scores, matrix.values);
    }
    team.run([&](Worker worker) {
      const Range mine = worker.share(matrix.place.rows);
      for (int64_t r = mine.begin; r < mine.end; ++r) {
        const size_t at = static_cast<size_t>(r) * depth;
        prune_row(options_.pattern, std::span(scores).subspan(at, depth),
                  std::span(matrix.values).subspan(at, depth));
      }
    });
  }

  void store(const WorkingMatrix& matrix, DType dtype) {
    const LayerMatrix& place = matrix.place;
    const StoredRows rows = rows_in(edit_, place, {.dtype = dtype});
    format_of(dtype).encode(matrix.values.data(), std::ssize(matrix.values), rows.blocks());
    compute_with(place, rows);
    matrices_.push_back({.name = place.name,
                         .values = std::ssize(matrix.values),
                         .zeros = std::count(matrix.values.begin(), matrix.values.end(), 0.0f)});
  }

  const PruneOptions& options_;
  Model& model_;
  CheckpointEdit edit_;
  InputCollector collector_;
  std::vector<PrunedMatrix> matrices_;
  float threshold_ = 0;
  int64_t equal_left_ = 0;
  size_t first_layer_ = 0;
};

// All of the options that the bytes depend on.
Json key_options(const Model& model, const PruneOptions& options) {
  return {{"edit", "prune 1"},
          {"method", static_cast<int>(options.method)},
          {"head", options.head},
          {"sparsity", options.pattern.sparsity},
          {"keep", options.pattern.keep},
          {"group", options.pattern.group},
          {"damping", options.damping},
          {"kernels", model.kernels->name}};
}

}  // namespace

std::string prune_method_choices() {
  std::string names;
  for (const auto& [name, method] : kMethods) {
    if (!names.empty()) names += ", ";
    names += name;
  }
  return names;
}

absl::StatusOr<PruneMethod> parse_prune_method(std::string_view name) {
  for (const auto& [known, method] : kMethods) {
    if (known == name) return method;
  }
  return invalid_input("there is no method \"{}\"; choose one of: {}", name,
                       prune_method_choices());
}

absl::StatusOr<SparsityPattern> parse_sparsity(std::string_view text) {
  constexpr int kGroupMax = 64;
  SparsityPattern pattern;
  const char* const end = text.data() + text.size();
  if (const size_t colon = text.find(':'); colon != std::string_view::npos) {
    const char* const middle = text.data() + colon;
    const auto keep = std::from_chars(text.data(), middle, pattern.keep);
    const auto group = std::from_chars(middle + 1, end, pattern.group);
    const bool read =
        keep.ec == std::errc() && keep.ptr == middle && group.ec == std::errc() && group.ptr == end;
    if (read && pattern.keep >= 1 && pattern.keep < pattern.group && pattern.group <= kGroupMax) {
      pattern.sparsity = 1 - static_cast<double>(pattern.keep) / pattern.group;
      return pattern;
    }
  } else {
    const auto share = std::from_chars(text.data(), end, pattern.sparsity);
    if (share.ec == std::errc() && share.ptr == end && pattern.sparsity >= 0 &&
        pattern.sparsity < 1) {
      return pattern;
    }
  }
  return invalid_input(
      "\"{}\" is no sparsity: give a share from 0 to below 1, or how many stay of a group of at "
      "most {} (2:4)",
      text, kGroupMax);
}

double PruneResult::sparsity() const {
  int64_t values = 0, zeros = 0;
  for (const PrunedMatrix& matrix : matrices) {
    values += matrix.values;
    zeros += matrix.zeros;
  }
  return values > 0 ? static_cast<double>(zeros) / static_cast<double>(values) : 0;
}

absl::StatusOr<PruneResult> prune_checkpoint(const std::string& in, const std::string& out,
                                             const PruneOptions& options) {
  if (options.method == PruneMethod::kGlobalMagnitude && options.pattern.has_groups()) {
    return invalid_input("groups choose among themselves: take --method magnitude for them");
  }
  if (needs_calibration(options.method) && options.documents.empty()) {
    return invalid_input(
        "this method looks at the model's inputs: give it a text with --calibration, or choose "
        "--method magnitude");
  }
  BRISK_ASSIGN_OR_RETURN(const auto source,
                         open_checkpoint(in, {.tokenizer_path = options.tokenizer_path}));
  auto model = make_editable_model(source, model_name_of(in));
  if (!model.ok()) return annotate(model.status(), in);

  const int threads = options.threads > 0 ? options.threads : usable_threads();
  PruneResult result;
  TokenWindows windows;
  if (needs_calibration(options.method)) {
    BRISK_ASSIGN_OR_RETURN(windows,
                           calibration_windows(**model, options.documents, options.calibration));
    result.calibration_tokens = token_count(windows);
  }
  const bool keeps = !options.work_directory.empty();
  BRISK_ASSIGN_OR_RETURN(
      const ResumedEdit resumed,
      resume_edit(source, options.work_directory,
                  keeps ? edit_key(*source, key_options(**model, options), windows) : ""));
  if (!resumed.steps.empty()) {
    BRISK_ASSIGN_OR_RETURN(*model, make_editable_model(resumed.checkpoint, model_name_of(in)));
  }
  std::unique_ptr<LayerStream> stream;
  if (needs_calibration(options.method)) {
    BRISK_ASSIGN_OR_RETURN(stream, LayerStream::create(**model, windows, threads));
  }
  ThreadTeam team(threads);
  LayerPruner pruner(options, **model, resumed.journal.get());
  for (const Json& step : resumed.steps) BRISK_RETURN_IF_ERROR(pruner.resume(step));
  BRISK_RETURN_IF_ERROR(pruner.run(stream.get(), team));
  ConvertOptions writing;
  writing.threads = threads;
  BRISK_ASSIGN_OR_RETURN(const ConvertResult written,
                         write_checkpoint(pruner.edit().edited(), in, out, writing));
  result.bytes = written.bytes;
  result.matrices = pruner.take_matrices();
  return result;
}

}  // namespace brisk
