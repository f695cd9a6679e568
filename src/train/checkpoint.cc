#include "train/checkpoint.h"

#include <ATen/ATen.h>
#include <absl/container/flat_hash_map.h>
#include <fcntl.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <optional>
#include <utility>

#include "base/status.h"
#include "compute/sys/mapped_file.h"
#include "model/checkpoint/safetensors.h"
#include "model/checkpoint/safetensors_writer.h"

namespace brisk::train {
namespace {

namespace fs = std::filesystem;

constexpr const char* kWeights = "weights.safetensors";
constexpr const char* kOptimizer = "optimizer.safetensors";
constexpr const char* kState = "state.json";
constexpr size_t kStateBytesMax = 1 << 20;

// A run of rows of a tensor under its own name.
struct Named {
  std::string name;
  at::Tensor rows;  // f32, contiguous
};

void add_parts(const Weight& weight, const std::string& prefix, const at::Tensor& tensor,
               std::vector<Named>& all) {
  int64_t row = 0;
  for (const WeightPart& part : weight.parts) {
    all.push_back({prefix + part.name, tensor.narrow(0, row, part.rows)});
    row += part.rows;
  }
}

std::vector<Named> parts_of(const std::vector<Weight*>& weights) {
  std::vector<Named> all;
  for (const Weight* weight : weights) add_parts(*weight, "", weight->master, all);
  return all;
}

std::vector<Named> parts_of(AdamW& optimizer) {
  std::vector<Named> all;
  for (size_t i = 0; i < optimizer.weights().size(); ++i) {
    const Weight& weight = *optimizer.weights()[i];
    const AdamW::Moments& moments = optimizer.moments()[i];
    add_parts(weight, "first.", moments.first, all);
    add_parts(weight, "second.", moments.second, all);
    if (moments.average.defined()) add_parts(weight, "average.", moments.average, all);
  }
  return all;
}

absl::Status write_tensors(const std::string& path, const std::vector<Named>& tensors) {
  std::vector<TensorPlan> plans;
  for (const Named& named : tensors) {
    plans.push_back({named.name, DType::kF32, named.rows.sizes().vec()});
  }
  BRISK_ASSIGN_OR_RETURN(TensorFileWriter writer, create_safetensors(path, plans));
  for (const Named& named : tensors) {
    BRISK_RETURN_IF_ERROR(writer.append(std::as_bytes(
        std::span(named.rows.data_ptr<float>(), static_cast<size_t>(named.rows.numel())))));
  }
  return writer.finish();
}

// Fills tensors from the file's under the same names; `rename` gives the file's.
absl::Status read_tensors(const std::string& path, const std::vector<Named>& wanted) {
  BRISK_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::open(path));
  auto parsed = parse_safetensors(file.bytes());
  if (!parsed.ok()) return annotate(parsed.status(), path);
  absl::flat_hash_map<std::string, const Tensor*> by_name;
  for (const SafetensorsTensor& tensor : parsed->tensors) by_name[tensor.name] = &tensor.tensor;
  for (const Named& named : wanted) {
    const auto found = by_name.find(named.name);
    if (found == by_name.end()) return invalid_input("{}: {} is missing", path, named.name);
    const Tensor& tensor = *found->second;
    if (tensor.dtype != DType::kF32 || tensor.shape != named.rows.sizes().vec()) {
      return invalid_input("{}: {} belongs to a model of another shape", path, named.name);
    }
    std::memcpy(named.rows.data_ptr<float>(), tensor.data.data(), tensor.data.size());
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> checksum_of(const std::string& path) {
  BRISK_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::open(path));
  return fmt::format("{:016x}", XXH3_64bits(file.bytes().data(), file.bytes().size()));
}

// A directory's entries are on the disk once this returns.
void sync_directory(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  ::fsync(fd);
  ::close(fd);
}

absl::Status write_step(const std::string& path, const RunState& state,
                        const std::vector<Weight*>& weights, AdamW& optimizer) {
  std::error_code error;
  fs::remove_all(path, error);
  fs::create_directories(path, error);
  if (error) return system_error("{}: cannot create: {}", path, error.message());
  BRISK_RETURN_IF_ERROR(write_tensors(path + "/" + kWeights, parts_of(weights)));
  BRISK_RETURN_IF_ERROR(write_tensors(path + "/" + kOptimizer, parts_of(optimizer)));
  Json json = {{"step", state.step},
               {"epoch", state.position.epoch},
               {"sequence", state.position.sequence},
               {"model", state.model},
               {"settings", state.settings},
               {"progress", state.progress}};
  for (const char* name : {kWeights, kOptimizer}) {
    BRISK_ASSIGN_OR_RETURN(json["xxh3"][name], checksum_of(path + "/" + name));
  }
  return write_file_atomically(path + "/" + kState, json.dump(2) + "\n");
}

absl::StatusOr<RunState> read_state(const std::string& path) {
  const std::string file = path + "/" + kState;
  BRISK_ASSIGN_OR_RETURN(const std::string text, read_file(file, kStateBytesMax));
  BRISK_ASSIGN_OR_RETURN(const Json json, parse_json(text));
  RunState state;
  try {
    for (const char* name : {kWeights, kOptimizer}) {
      BRISK_ASSIGN_OR_RETURN(const std::string found, checksum_of(path + "/" + name));
      if (json.at("xxh3").at(name) != found) return invalid_input("{}/{}: damaged", path, name);
    }
    state.step = json.at("step");
    state.position = {json.at("epoch"), json.at("sequence")};
    state.model = json.at("model");
    state.settings = json.at("settings");
    state.progress = json.at("progress");
  } catch (const Json::exception& error) {
    return invalid_input("{}: {}", file, error.what());
  }
  return state;
}

}  // namespace

std::vector<std::string> steps_of(const std::string& run) {
  std::vector<std::string> steps;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(run + "/checkpoints", error)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("step-") && !name.ends_with(".part")) steps.push_back(entry.path());
  }
  std::sort(steps.begin(), steps.end());  // numbers are padded with zeros
  return steps;
}

absl::Status save_step(const std::string& run, const RunState& state,
                       const std::vector<Weight*>& weights, AdamW& optimizer, int keep) {
  const std::string path = fmt::format("{}/checkpoints/step-{:08}", run, state.step);
  std::error_code error;
  absl::Status status = write_step(path + ".part", state, weights, optimizer);
  if (status.ok()) {
    fs::remove_all(path, error);
    fs::rename(path + ".part", path, error);
    if (error) status = system_error("{}: cannot write: {}", path, error.message());
  }
  std::vector<std::string> steps = steps_of(run);
  if (!status.ok()) {
    fs::remove_all(path + ".part", error);
    return annotate(status, steps.empty() ? "the checkpoint was not saved, and there is none before"
                                          : fmt::format("the checkpoint was not saved; the last "
                                                        "good one is {}; make room and --resume",
                                                        steps.back()));
  }
  sync_directory(run + "/checkpoints");
  for (; static_cast<int>(steps.size()) > std::max(1, keep); steps.erase(steps.begin())) {
    fs::remove_all(steps.front(), error);
  }
  return absl::OkStatus();
}

absl::StatusOr<FoundStep> find_step(const std::string& run) {
  FoundStep found;
  std::vector<std::string> steps = steps_of(run);
  for (; !steps.empty(); steps.pop_back()) {
    auto state = read_state(steps.back());
    if (state.ok()) {
      found.path = steps.back();
      found.state = std::move(*state);
      return found;
    }
    found.damaged.push_back(steps.back());
  }
  if (!found.damaged.empty()) {
    return invalid_input("{}: every checkpoint is damaged; begin again without --resume", run);
  }
  return not_found("{}: there is no checkpoint in this run", run);
}

absl::Status load_weights(const std::string& step, const std::vector<Weight*>& weights,
                          bool averages) {
  std::vector<Named> wanted = parts_of(weights);
  if (!averages) return read_tensors(step + "/" + kWeights, wanted);
  for (Named& named : wanted) named.name = "average." + named.name;
  const absl::Status status = read_tensors(step + "/" + kOptimizer, wanted);
  return annotate(status, "the moving average (a run has one with --ema)");
}

absl::Status load_optimizer(const std::string& step, AdamW& optimizer) {
  return read_tensors(step + "/" + kOptimizer, parts_of(optimizer));
}

}  // namespace brisk::train
