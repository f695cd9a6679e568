#include "compress/prune/structure_plan.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <utility>

#include "base/status.h"
#include "compress/edit/working_matrix.h"
#include "compress/prune/refit.h"
#include "compress/prune/seen_structures.h"

namespace brisk {
namespace {

constexpr int64_t kUnit = 16;  // neurons and channels stay in multiples of it

// The `count` indices with the highest scores.
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

// A share that is asked for, but so small that rounding leaves everything.
absl::Status takes_something(std::string_view what, int64_t count, double share_gone,
                             int64_t unit) {
  if (share_gone == 0 || kept_count(count, share_gone, unit) < count) return absl::OkStatus();
  if (count <= unit) {
    return invalid_input("{} {}: the model has {}, of which none can go", share_gone, what, count);
  }
  int least = 1;  // per cent
  while (kept_count(count, least / 100.0, unit) == count) ++least;
  return invalid_input("{} of {} {} is none (they go {} at a time); ask for 0.{:02} or more",
                       share_gone, count, what, unit, least);
}

// Of `count` structures those that stay. Nothing goes that no text ever used.
Indices chosen(const std::vector<double>& scores, double share_gone, int64_t unit, int64_t count) {
  if (share_gone == 0 || scores.empty()) return all_of(count);
  return highest(scores, kept_count(count, share_gone, unit));
}

// Indices below `count`, ascending.
bool are_indices(const Indices& indices, int64_t count) {
  return !indices.empty() && indices.front() >= 0 && indices.back() < count &&
         std::ranges::adjacent_find(indices, std::greater_equal<>()) == indices.end();
}

}  // namespace

absl::Status check_shares(const StructuredOptions& options, const ModelSpec& spec) {
  BRISK_RETURN_IF_ERROR(takes_something("neurons", spec.ffn_size, options.neurons, kUnit));
  BRISK_RETURN_IF_ERROR(takes_something("key-value heads", spec.kv_heads, options.kv_heads, 1));
  return takes_something("channels", spec.hidden_size, options.channels, kUnit);
}

Indices all_of(int64_t count) {
  Indices indices(static_cast<size_t>(count));
  std::iota(indices.begin(), indices.end(), 0);
  return indices;
}

Indices widened(const Indices& indices, int64_t size) {
  Indices wide;
  for (const int64_t index : indices) {
    for (int64_t i = 0; i < size; ++i) wide.push_back(index * size + i);
  }
  return wide;
}

StructurePlanner::StructurePlanner(const StructuredOptions& options, Model& model,
                                   EditJournal* journal, const StructureImportance* importance)
    : options_(options), model_(model), journal_(journal), importance_(importance) {}

absl::Status StructurePlanner::resume(const Json& details) {
  const ModelSpec& spec = model_.spec;
  try {
    LayerPlan layer = {.neurons = details.at("neurons").get<Indices>(),
                       .kv_heads = details.at("kv_heads").get<Indices>(),
                       .o = {},
                       .down = {},
                       .energy = details.at("energy").get<std::vector<double>>()};
    if (plan_.layers.size() >= spec.layers.size() || !are_indices(layer.neurons, spec.ffn_size) ||
        !are_indices(layer.kv_heads, spec.kv_heads) ||
        std::ssize(layer.energy) != spec.hidden_size) {
      return invalid_input("a step is of another model");
    }
    for (const auto& [key, fitted] : {std::pair("o", &layer.o), std::pair("down", &layer.down)}) {
      if (!details.contains(key)) continue;
      const Json& at = details.at(key);
      const bool is_o = fitted == &layer.o;
      const int64_t inputs =
          is_o ? std::ssize(layer.kv_heads) * spec.heads / spec.kv_heads * spec.head_dim
               : std::ssize(layer.neurons);
      const auto values = static_cast<size_t>(spec.hidden_size * inputs);
      BRISK_ASSIGN_OR_RETURN(const std::span<std::byte> bytes,
                             journal_->at(at.get<int64_t>(), values * sizeof(float)));
      *fitted = {reinterpret_cast<const float*>(bytes.data()), values};
    }
    influences_.push_back(details.at("influence").get<double>());
    plan_.layers.push_back(std::move(layer));
  } catch (const Json::exception& error) {
    return invalid_input("not a step of pruning: {}", error.what());
  }
  return absl::OkStatus();
}

absl::StatusOr<StructurePlan> StructurePlanner::plan(LayerStream& stream, CheckpointEdit& edit) {
  const ModelSpec& spec = model_.spec;
  for (size_t layer = 0; layer < spec.layers.size(); ++layer) {
    if (layer < plan_.layers.size()) {
      stream.advance();
    } else {
      BRISK_RETURN_IF_ERROR(plan_layer(stream, edit));
    }
    if (options_.on_progress) {
      options_.on_progress(static_cast<int64_t>(layer) + 1, std::ssize(spec.layers));
    }
  }
  plan_.energy_after = energy_of(stream, spec.hidden_size);
  std::vector<std::vector<double>> energies;
  for (const LayerPlan& layer : plan_.layers) energies.push_back(layer.energy);
  energies.push_back(plan_.energy_after);
  const auto& channels = importance_ != nullptr ? importance_->channels : channel_scores(energies);
  plan_.channels = chosen(channels, options_.channels, kUnit, spec.hidden_size);
  const auto& influences = importance_ != nullptr ? importance_->layers : influences_;
  const Indices stay = highest(influences, std::ssize(spec.layers) - options_.layers);
  for (int layer = 0; layer < static_cast<int>(spec.layers.size()); ++layer) {
    if (!std::ranges::binary_search(stay, layer)) plan_.gone.push_back(layer);
  }
  return std::move(plan_);
}

// The next layer of the stream.
absl::Status StructurePlanner::plan_layer(LayerStream& stream, CheckpointEdit& edit) {
  const ModelSpec& spec = model_.spec;
  const size_t index = stream.layer();
  const LayerWeights& weights = model_.weights.layers[index];
  SeenLayer seen = look_at_layer(model_, stream,
                                 {.mlp = options_.neurons > 0, .attention = options_.kv_heads > 0});
  const auto& neurons = importance_ != nullptr ? importance_->neurons[index] : seen.neurons;
  const auto& kv_heads = importance_ != nullptr ? importance_->kv_heads[index] : seen.kv_heads;
  LayerPlan layer = {.neurons = chosen(neurons, options_.neurons, kUnit, spec.ffn_size),
                     .kv_heads = chosen(kv_heads, options_.kv_heads, 1, spec.kv_heads),
                     .o = {},
                     .down = {},
                     .energy = std::move(seen.energy)};
  const Indices heads =
      widened(layer.kv_heads, int64_t{spec.heads / spec.kv_heads} * spec.head_dim);
  BRISK_RETURN_IF_ERROR(fit_inputs(weights.o, seen.attention_gram, heads, &layer.o));
  BRISK_RETURN_IF_ERROR(fit_inputs(weights.down, seen.mlp_gram, layer.neurons, &layer.down));
  Json details = {{"neurons", layer.neurons},
                  {"kv_heads", layer.kv_heads},
                  {"energy", layer.energy},
                  {"influence", seen.influence}};
  for (const auto& [key, fitted] : {std::pair("o", layer.o), std::pair("down", layer.down)}) {
    if (journal_ == nullptr || fitted.empty()) continue;
    details[key] = journal_->offset_of(reinterpret_cast<const std::byte*>(fitted.data()));
  }
  influences_.push_back(seen.influence);
  plan_.layers.push_back(std::move(layer));
  return edit.commit(details);
}

// The columns of `linear` that stay, fitted to what all of them gave.
absl::Status StructurePlanner::fit_inputs(const Linear& linear, std::span<const float> gram,
                                          const Indices& kept, std::span<const float>* fitted) {
  BRISK_ASSIGN_OR_RETURN(const std::vector<LayerMatrix> places,
                         layer_matrices(model_, plan_.layers.size()));
  const auto place = std::ranges::find(places, &linear, &LayerMatrix::linear);
  if (place == places.end() || std::ssize(kept) == place->depth) return absl::OkStatus();
  BRISK_ASSIGN_OR_RETURN(WorkingMatrix matrix, decode_matrix(*place));
  BRISK_RETURN_IF_ERROR(refit_columns(gram, place->depth, kept, options_.damping, matrix.values));
  BRISK_ASSIGN_OR_RETURN(*fitted, keep(std::move(matrix.values)));
  return absl::OkStatus();
}

absl::StatusOr<std::span<const float>> StructurePlanner::keep(std::vector<float> values) {
  if (journal_ == nullptr) return owned_.emplace_back(std::move(values));
  const auto bytes = std::as_bytes(std::span(values));
  const std::span<std::byte> memory = journal_->allocate(bytes.size());
  if (memory.empty()) return system_error("the unfinished work has no room on its disk");
  std::memcpy(memory.data(), bytes.data(), bytes.size());
  return std::span(reinterpret_cast<const float*>(memory.data()), values.size());
}

}  // namespace brisk
