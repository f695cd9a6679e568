// The loop of training: batches, steps, validation, checkpoints, a log.
//
//   RUN/log.jsonl     a line a step: loss, rate, norm of the gradients, tokens a second; validation
//   RUN/loss.svg      the curves
//   RUN/checkpoints/  see checkpoint.h
#pragma once

#include <absl/status/statusor.h>

#include <functional>
#include <string>

#include "base/json.h"
#include "train/checkpoint.h"
#include "train/llama.h"
#include "train/objective.h"
#include "train/optimizer.h"
#include "train/packing.h"

namespace brisk::train {

struct TrainSettings {
  OptimizerSettings optimizer;
  int64_t batch = 32;       // sequences of a step
  int64_t micro_batch = 8;  // of them, that are computed at once
  int64_t validate_every = 200;
  int64_t checkpoint_every = 500;
  int keep = 2;  // checkpoints
  int64_t log_every = 10;
};

// How far a run is, for people.
struct TrainProgress {
  int64_t step = 0;
  int64_t steps = 0;
  double loss = 0;             // mean of the steps since the last report
  double validation_loss = 0;  // the last one; 0: none yet
  double tokens_per_second = 0;
  double seconds_left = 0;
};

struct TrainResult {
  int64_t steps = 0;
  double loss = 0;  // of the last steps
  double validation_loss = 0;
  double first_loss = 0;
  double tokens_per_second = 0;
  double seconds = 0;
};

// One thread. Everything given outlives it.
class Trainer {
 public:
  struct Parts {
    LlamaModel* model = nullptr;
    Objective* objective = nullptr;
    PackedStream* stream = nullptr;
    PackedStream* validation = nullptr;  // null: there is none
    std::string run;                     // directory
    Json settings = Json::object();      // what a resumed run must share
  };

  Trainer(const Parts& parts, const TrainSettings& settings);

  // Goes on from the newest good checkpoint. Errors: NotFound; InvalidArgument when it was made
  // with other settings, naming the first that differs.
  absl::Status resume();

  // Errors: InvalidArgument when the loss is no number any more, Unavailable when a checkpoint
  // cannot be written; the last good checkpoint stays.
  absl::StatusOr<TrainResult> run(const std::function<void(const TrainProgress&)>& on_progress);

  AdamW& optimizer() { return optimizer_; }

 private:
  struct StepResult {
    double loss = 0;
    LossSums sums;
    double gradient_norm = 0;
    int64_t learned = 0;
  };

  absl::StatusOr<StepResult> take_step();
  double validate();
  absl::Status save();
  absl::Status log(const Json& line);
  absl::Status draw_curves() const;

  const Parts parts_;
  const TrainSettings settings_;
  AdamW optimizer_;
  std::vector<Weight*> saved_;  // the model's and the objective's
  int64_t step_ = 0;            // done
  int64_t saved_step_ = -1;
  double validation_loss_ = 0;
};

}  // namespace brisk::train
