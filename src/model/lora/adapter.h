// A LoRA adapter (Hu et al. 2021, arXiv 2106.09685) bound to a model: low-rank additions to the
// products of its layers, y += scale * (x A^T) B^T.
#pragma once

#include <absl/status/statusor.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "compute/sys/memory.h"
#include "compute/tensor/dtype.h"
#include "model/lora/adapter_file.h"
#include "model/model.h"

namespace brisk {

// The products that an adapter can add to: those of attention and of dense MLPs.
enum class LoraTarget : uint8_t { kQ, kK, kV, kO, kGate, kUp, kDown };
inline constexpr size_t kLoraTargetCount = 7;

inline constexpr int kLoraRankMax = 512;

// Matrices keep the file's format: f32, f16 or bf16.
struct LoraPair {
  int rank = 0;  // 0: nothing is added
  float scale = 0;
  DType a_dtype = DType::kF32, b_dtype = DType::kF32;
  const std::byte* a = nullptr;  // (rank, in)
  const std::byte* b = nullptr;  // (rank, out) in panels of kLowRankColumns columns
};

struct LoraLayer {
  std::array<LoraPair, kLoraTargetCount> pairs;

  const LoraPair& of(LoraTarget target) const { return pairs[static_cast<size_t>(target)]; }
  LoraPair& of(LoraTarget target) { return pairs[static_cast<size_t>(target)]; }
};

// Immutable once loaded; any thread may read it. It needs neither its file nor its model any more.
struct LoraAdapter {
  std::vector<LoraLayer> layers;  // (the model's layers)
  int rank_max = 0;               // of its pairs
  int64_t bytes = 0;              // of its matrices
  std::optional<Pages> memory;
};

// Reads an adapter for `model`: a directory that PEFT wrote, or a GGUF file. Errors name the
// tensor: InvalidArgument for files that are damaged or belong to another model, Unimplemented for
// what brisk cannot add (DoRA, biases, experts, embeddings), NotFound, ResourceExhausted.
absl::StatusOr<std::shared_ptr<const LoraAdapter>> load_lora(const std::string& path,
                                                             const Model& model);

// The same for a file that is open already.
absl::StatusOr<std::shared_ptr<const LoraAdapter>> bind_lora(const LoraFile& file,
                                                             const Model& model);

}  // namespace brisk
