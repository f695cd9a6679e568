// A model ready to run: what it is, its weights in place, its tokenizer.
#pragma once

#include <absl/status/statusor.h>

#include <memory>
#include <string>

#include "compute/kernels/cpu/kernel_table.h"
#include "model/checkpoint/checkpoint.h"
#include "model/spec.h"
#include "model/tokenizer/tokenizer.h"
#include "model/weights.h"

namespace brisk {

// Immutable after load; any thread may read it.
struct Model {
  std::string name;  // the file's or directory's name, for APIs and people
  std::shared_ptr<const Checkpoint> checkpoint;
  ModelSpec spec;
  Weights weights;                             // views into checkpoint
  const KernelTable* kernels = nullptr;        // that the weights are packed for, and that run it
  std::unique_ptr<const Tokenizer> tokenizer;  // null when there is none
};

// How products are computed.
enum class Activations : uint8_t {
  // Fast: with quantised weights rounded to int8 in groups of 32, exact integer sums. Where the
  // kernels have tiles: rounded to bf16, with all weights, sums in f32 (kernels/cpu/tiles.h).
  kInt8,
  kF32,  // weights decoded to f32 wherever they are used: the yardstick
};

struct LoadOptions {
  std::string tokenizer_path;  // see OpenOptions
  // Tokens of a sequence at most; 0: what the model was made for. A longrope model asked for no
  // more than its original context rotates with its short factors.
  int64_t context_max = 0;
  Activations activations = Activations::kInt8;
  int threads = 0;                       // that pack weights; 0: all
  const KernelTable* kernels = nullptr;  // null: kernels_from_environment()
};

// Opens, recognises and checks a model. Errors name the file and what to do about it.
absl::StatusOr<std::shared_ptr<const Model>> load_model(const std::string& path,
                                                        const LoadOptions& options = {});

// The same for a checkpoint that is open already. `name`: see Model::name.
absl::StatusOr<std::shared_ptr<const Model>> make_model(
    std::shared_ptr<const Checkpoint> checkpoint, std::string name,
    const LoadOptions& options = {});

// Weights that one token is multiplied with, head included: a forward pass does twice as many
// operations, attention aside.
int64_t active_parameters(const Model& model);

}  // namespace brisk
