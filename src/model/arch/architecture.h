// What brisk must know to run a family of models: how its configuration becomes a ModelSpec and
// what its tensors are called. An architecture is one file here and one row in registry.cc.
#pragma once

#include <absl/status/statusor.h>

#include <span>
#include <string>
#include <string_view>

#include "model/checkpoint/checkpoint.h"
#include "model/spec.h"

namespace brisk {

// Tensor names of one layout. "{}" stands for the layer, a second "{}" for the expert. An empty
// name means that the family has no such tensor; a Linear's bias is found by exchanging "weight"
// for "bias", and taken when it is there.
struct TensorNames {
  std::string embedding;
  std::string positions;
  std::string final_norm;
  std::string head;  // absent in the file: tied to the embedding
  std::string attention_norm;
  std::string q, k, v;
  std::string qkv;  // q, k and v stacked by rows; used when set
  std::string o;
  std::string q_norm, k_norm;
  std::string post_attention_norm;
  std::string attention_sub_norm;  // in front of o; only converted, see bitnet.cc
  std::string ffn_norm;
  std::string gate, up, down;
  std::string gate_up;       // gate and up stacked by rows; used when set
  std::string ffn_sub_norm;  // in front of down; only converted, see bitnet.cc
  std::string post_ffn_norm;
  std::string router;
  // With a second "{}" one tensor per expert, without it one stacked (experts, out, in) tensor.
  std::string expert_gate, expert_up, expert_down;
  std::string shared_gate, shared_up, shared_down, shared_expert_gate;
  std::string scale;        // for "weight" in the name of what multiplies a projection: bitnet
  bool transposed = false;  // projections are stored (in, out): gpt2's Conv1D
};

// `pattern` with its first "{}" replaced.
std::string with_number(std::string pattern, int64_t number);

struct Architecture {
  std::string_view name;
  std::span<const std::string_view> gguf_names;          // general.architecture
  std::span<const std::string_view> hugging_face_names;  // model_type
  absl::StatusOr<ModelSpec> (*spec)(const Checkpoint& checkpoint, int64_t context_max);
  TensorNames (*names)(Layout layout);
};

// What GGUF calls it; empty where GGUF has no name for it.
std::string_view gguf_name(const Architecture& architecture);

// Whether the rows of q and k lie so that rotated pairs are neighbours.
bool interleaves(const Architecture& architecture, Layout layout);

// Errors: Unimplemented naming the architecture and those that are known.
absl::StatusOr<const Architecture*> find_architecture(const ModelConfig& config);

}  // namespace brisk
