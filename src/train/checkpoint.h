// A training run on disk, in steps that can be gone on from: each is a directory that appears whole
// or not at all, with checksums, beside the ones before it.
//
//   RUN/checkpoints/step-00000100/weights.safetensors     masters, f32, by Hugging Face's names
//                                /optimizer.safetensors   first.*, second.*, average.*
//                                /state.json              step, position in the data, settings,
//                                                         checksums (XXH3) of the other two
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/json.h"
#include "train/optimizer.h"
#include "train/packing.h"

namespace brisk::train {

struct RunState {
  int64_t step = 0;  // done
  StreamPosition position;
  Json settings = Json::object();  // what a resumed run must share with it
  Json model = Json::object();     // its DecoderShape
  Json progress = Json::object();  // best validation and the like
};

// Saves everything a run needs to go on bit for bit. Of older steps `keep` stay. Errors name the
// last good step.
absl::Status save_step(const std::string& run, const RunState& state,
                       const std::vector<Weight*>& weights, AdamW& optimizer, int keep);

// Step directories of a run, oldest first; none where there is no run.
std::vector<std::string> steps_of(const std::string& run);

// The newest step of `run` whose checksums are right. Errors: NotFound when there is none.
struct FoundStep {
  std::string path;
  RunState state;
  std::vector<std::string> damaged;  // newer ones
};
absl::StatusOr<FoundStep> find_step(const std::string& run);

// Fills what save_step wrote. Errors: InvalidArgument when tensors are missing or of another shape.
absl::Status load_weights(const std::string& step, const std::vector<Weight*>& weights,
                          bool averages);
absl::Status load_optimizer(const std::string& step, AdamW& optimizer);

}  // namespace brisk::train
