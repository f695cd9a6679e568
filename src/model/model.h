// A model ready to run: what it is, its weights in place, its tokenizer.
#pragma once

#include <absl/status/statusor.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "compute/kernels/cpu/dispatch.h"
#include "compute/kernels/cpu/kernel_table.h"
#include "model/checkpoint/checkpoint.h"
#include "model/spec.h"
#include "model/tokenizer/tokenizer.h"
#include "model/weights.h"

namespace brisk {

// How products are computed.
enum class Activations : uint8_t {
  // Fast: with quantised weights rounded to int8 in groups of 32, exact integer sums. Where the
  // kernels have tiles: rounded to bf16, with all weights, sums in f32 (kernels/cpu/tiles.h).
  kInt8,
  kF32,  // weights decoded to f32 wherever they are used: the yardstick
};

// Immutable after load; any thread may read it.
struct Model {
  std::string name;  // the file's or directory's name, for APIs and people
  std::shared_ptr<const Checkpoint> checkpoint;
  ModelSpec spec;
  Weights weights;                              // views into checkpoint
  const KernelTable* kernels = nullptr;         // that the weights are packed for, and that run it
  Activations activations = Activations::kF32;  // kInt8 once the weights are packed
  std::unique_ptr<const Tokenizer> tokenizer;   // null when there is none
};

struct LoadOptions {
  std::string tokenizer_path;  // see OpenOptions
  // Tokens of a sequence at most; 0: what the model was made for. A longrope model asked for no
  // more than its original context rotates with its short factors.
  int64_t context_max = 0;
  Activations activations = Activations::kInt8;
  int threads = 0;                                    // that pack weights; 0: all
  const KernelTable* kernels = nullptr;               // null: kernels_from_environment()
  std::optional<SparseChoice> sparse = std::nullopt;  // none: sparse_choice_from_environment()
  // Told the share that is loaded, 0 to 1, now and then, by one thread at a time; quick.
  std::function<void(double)> progress = nullptr;
};

// "models/tiny/" and "tiny.gguf" are both called "tiny".
std::string model_name_of(const std::string& path);

// Opens, recognises and checks a model. Errors name the file and what to do about it.
absl::StatusOr<std::shared_ptr<const Model>> load_model(const std::string& path,
                                                        const LoadOptions& options = {});

// The same for a checkpoint that is open already. `name`: see Model::name.
absl::StatusOr<std::shared_ptr<const Model>> make_model(
    std::shared_ptr<const Checkpoint> checkpoint, std::string name,
    const LoadOptions& options = {});

// The same without packing, for who will change it: products decode weights wherever they are used,
// as with Activations::kF32, so that a matrix may be replaced by any other of its shape.
absl::StatusOr<std::unique_ptr<Model>> make_editable_model(
    std::shared_ptr<const Checkpoint> checkpoint, std::string name,
    const LoadOptions& options = {});

// What is known of a model before its weights are read.
struct ModelOutline {
  std::shared_ptr<const Model> model;  // not to be run: nothing is packed, there is no tokenizer
  int64_t packed_bytes = 0;            // memory that its packed weights will take
  int64_t mapped_bytes = 0;            // of files that it will compute with as they lie there
};
absl::StatusOr<ModelOutline> outline_model(const std::string& path,
                                           const LoadOptions& options = {});

// Weights that one token is multiplied with, head included: a forward pass does twice as many
// operations, attention aside.
int64_t active_parameters(const Model& model);

}  // namespace brisk
