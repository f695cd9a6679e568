#include "train/trainer.h"

#include <ATen/ATen.h>

#include <chrono>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <utility>

#include "base/status.h"
#include "base/svg_chart.h"
#include "compute/sys/mapped_file.h"

namespace brisk::train {
namespace {

using std::chrono::steady_clock;

constexpr size_t kLogBytesMax = size_t{1} << 30;

double seconds_since(steady_clock::time_point start) {
  return std::chrono::duration<double>(steady_clock::now() - start).count();
}

std::vector<Weight*> all_weights(const Trainer::Parts& parts) {
  std::vector<Weight*> all = parts.model->weights();
  for (Weight* weight : parts.objective->weights()) all.push_back(weight);
  return all;
}

// Sequences [begin, begin + count) of a batch.
Batch part_of(const Batch& batch, int64_t begin, int64_t count) {
  const auto cut = [&](const auto& values) {
    return std::decay_t<decltype(values)>(values.begin() + begin * batch.length,
                                          values.begin() + (begin + count) * batch.length);
  };
  return {count,
          batch.length,
          cut(batch.tokens),
          cut(batch.positions),
          cut(batch.starts),
          cut(batch.targets),
          cut(batch.origins)};
}

absl::Status check_same_settings(const Json& saved, const Json& given) {
  for (const auto& [key, value] : given.items()) {
    if (saved.contains(key) && saved[key] == value) continue;
    return invalid_input(
        "--resume: this run was begun with {} = {}, not {}; give the same flags, or another --out",
        key, saved.contains(key) ? saved[key].dump() : "nothing", value.dump());
  }
  return absl::OkStatus();
}

// The log without what came after `step`, which a resumed run writes again.
absl::Status cut_log(const std::string& path, int64_t step) {
  if (!std::filesystem::exists(path)) return absl::OkStatus();
  BRISK_ASSIGN_OR_RETURN(const std::string text, read_file(path, kLogBytesMax));
  std::string kept;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size() - 1) + 1;
    const std::string line = text.substr(at, end - at);
    const auto json = parse_json(line);
    if (json.ok() && json->value("step", step + 1) <= step) kept += line;
    at = end;
  }
  return write_file_atomically(path, kept);
}

}  // namespace

Trainer::Trainer(const Parts& parts, const TrainSettings& settings)
    : parts_(parts),
      settings_(settings),
      optimizer_(all_weights(parts), settings.optimizer),
      saved_(all_weights(parts)) {}

absl::Status Trainer::resume() {
  BRISK_ASSIGN_OR_RETURN(const FoundStep found, find_step(parts_.run));
  BRISK_RETURN_IF_ERROR(check_same_settings(found.state.settings, parts_.settings));
  BRISK_RETURN_IF_ERROR(load_weights(found.path, saved_, /*averages=*/false));
  BRISK_RETURN_IF_ERROR(load_optimizer(found.path, optimizer_));
  parts_.model->refresh();
  parts_.objective->refresh();
  parts_.stream->seek(found.state.position);
  step_ = saved_step_ = found.state.step;
  validation_loss_ = found.state.progress.value("validation_loss", 0.0);
  return cut_log(parts_.run + "/log.jsonl", step_);
}

absl::StatusOr<Trainer::StepResult> Trainer::take_step() {
  const Batch batch = parts_.stream->next(settings_.batch);
  StepResult result;
  result.learned = batch.learned();
  for (int64_t begin = 0; begin < batch.sequences; begin += settings_.micro_batch) {
    const int64_t count = std::min(settings_.micro_batch, batch.sequences - begin);
    parts_.objective->learn(*parts_.model, part_of(batch, begin, count), result.learned,
                            result.sums);
  }
  result.loss = result.sums.cross_entropy;
  const auto stop = [&](const char* what) {
    return invalid_input(
        "step {}: the {} is not a number any more; {}. Lower --lr or --clip, or look for broken "
        "data",
        step_ + 1, what,
        saved_step_ < 0 ? std::string("there is no checkpoint yet")
                        : fmt::format("the checkpoint of step {} is kept", saved_step_));
  };
  if (!std::isfinite(result.loss) || !std::isfinite(result.sums.divergence)) return stop("loss");
  result.gradient_norm = optimizer_.step(step_ + 1);
  if (!std::isfinite(result.gradient_norm)) return stop("gradient");
  parts_.model->refresh();
  parts_.objective->refresh();
  ++step_;
  return result;
}

double Trainer::validate() {
  const at::NoGradGuard no_grad;
  NextToken objective;
  parts_.validation->seek({});
  LossSums sums;
  int64_t learned = 0;
  while (true) {
    const Batch batch = parts_.validation->next(settings_.micro_batch);
    if (batch.sequences == 0) break;
    learned += batch.learned();
    objective.learn(*parts_.model, batch, 1, sums);
  }
  return learned == 0 ? 0 : sums.cross_entropy / static_cast<double>(learned);
}

absl::Status Trainer::save() {
  RunState state = {.step = step_,
                    .position = parts_.stream->position(),
                    .settings = parts_.settings,
                    .model = to_json(parts_.model->shape()),
                    .progress = {{"validation_loss", validation_loss_}}};
  BRISK_RETURN_IF_ERROR(save_step(parts_.run, state, saved_, optimizer_, settings_.keep));
  saved_step_ = step_;
  return draw_curves();
}

absl::Status Trainer::log(const Json& line) {
  const std::string path = parts_.run + "/log.jsonl";
  std::ofstream file(path, std::ios::app);
  file << to_text(line) << '\n';
  file.flush();
  if (!file) {
    return system_error("{}: cannot write; the checkpoint of step {} is kept", path, saved_step_);
  }
  return absl::OkStatus();
}

absl::Status Trainer::draw_curves() const {
  Chart chart = {.title = "Loss", .x_label = "step", .y_label = "nats per token"};
  ChartSeries training = {.name = "training", .points = {}};
  ChartSeries validation = {.name = "validation", .points = {}};
  std::ifstream file(parts_.run + "/log.jsonl");
  for (std::string text; std::getline(file, text);) {
    const auto line = parse_json(text);
    if (!line.ok() || !line->contains("step")) continue;
    const double step = (*line)["step"];
    if (line->contains("loss")) training.points.emplace_back(step, (*line)["loss"]);
    if (line->contains("validation_loss")) {
      validation.points.emplace_back(step, (*line)["validation_loss"]);
    }
  }
  if (!training.points.empty()) chart.series.push_back(std::move(training));
  if (!validation.points.empty()) chart.series.push_back(std::move(validation));
  return write_file_atomically(parts_.run + "/loss.svg", to_svg_file(chart));
}

absl::StatusOr<TrainResult> Trainer::run(
    const std::function<void(const TrainProgress&)>& on_progress) {
  const auto start = steady_clock::now();
  const int64_t steps = settings_.optimizer.steps, first = step_;
  TrainResult result = {.steps = step_};
  double loss_sum = 0, divergence_sum = 0, work_seconds = 0;
  int64_t loss_steps = 0, learned = 0;
  const auto tokens_a_step =
      static_cast<double>(settings_.batch * parts_.stream->sequence_length());
  const auto shown = [&](double loss) {
    const double rate = static_cast<double>(step_ - first) / work_seconds;
    return TrainProgress{.step = step_,
                         .steps = steps,
                         .loss = loss,
                         .validation_loss = validation_loss_,
                         .tokens_per_second = rate * tokens_a_step,
                         .seconds_left = static_cast<double>(steps - step_) / rate};
  };
  while (step_ < steps) {
    const auto begin = steady_clock::now();
    BRISK_ASSIGN_OR_RETURN(const StepResult done, take_step());
    work_seconds += seconds_since(begin);
    if (step_ == first + 1) result.first_loss = done.loss;
    loss_sum += done.loss;
    divergence_sum += done.sums.divergence;
    learned += done.learned;
    ++loss_steps;
    const bool last = step_ == steps;
    if (on_progress) on_progress(shown(done.loss));
    if (step_ % settings_.log_every == 0 || last) {
      result.loss = loss_sum / static_cast<double>(loss_steps);
      Json line = {{"step", step_},
                   {"loss", result.loss},
                   {"learning_rate", learning_rate_at(settings_.optimizer, step_)},
                   {"gradient_norm", done.gradient_norm},
                   {"learned_tokens", learned},
                   {"tokens_per_second", shown(0).tokens_per_second},
                   {"seconds", seconds_since(start)}};
      if (divergence_sum > 0) line["divergence"] = divergence_sum / static_cast<double>(loss_steps);
      BRISK_RETURN_IF_ERROR(log(line));
      loss_sum = divergence_sum = 0;
      loss_steps = learned = 0;
    }
    if (parts_.validation != nullptr && (step_ % settings_.validate_every == 0 || last)) {
      validation_loss_ = validate();
      BRISK_RETURN_IF_ERROR(log({{"step", step_}, {"validation_loss", validation_loss_}}));
    }
    if (step_ % settings_.checkpoint_every == 0 || last) BRISK_RETURN_IF_ERROR(save());
  }
  result.steps = step_;
  result.validation_loss = validation_loss_;
  result.tokens_per_second = step_ > first ? shown(0).tokens_per_second : 0;
  result.seconds = seconds_since(start);
  return result;
}

}  // namespace brisk::train
