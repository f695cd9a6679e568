// Checkpoints some of whose projections are two factors, for tests.
#pragma once

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/rng.h"
#include "compute/quant/format.h"
#include "model/arch/architecture.h"
#include "model/checkpoint/checkpoint.h"
#include "model/low_rank.h"

namespace brisk {

class FactoredCheckpoint : public Checkpoint {
 public:
  // Two of three projections of `source` become random factors of ranks 24 and 32, in formats like
  // their own: some of q, k and v or of gate and up, and in other layers others.
  static std::shared_ptr<const Checkpoint> from(std::shared_ptr<const Checkpoint> source) {
    auto factored = std::make_shared<FactoredCheckpoint>();
    factored->config = source->config;
    factored->generation = source->generation;
    factored->tokenizer = source->tokenizer;
    factored->metadata = source->metadata;
    const std::vector<std::string> projections = projections_of(*source);
    int count = 0;
    for (const NamedTensor& named : source->tensors) {
      const bool is_projection =
          std::find(projections.begin(), projections.end(), named.name) != projections.end();
      if (is_projection && count++ % 3 != 2) {
        factored->put_factors(named, count % 2 == 0 ? 24 : 32);
      } else {
        factored->put(named.name, named.tensor);
      }
    }
    factored->source_ = std::move(source);
    return factored;
  }

  void put(const std::string& name, Tensor tensor) {
    index.emplace(name, tensors.size());
    tensors.push_back({name, std::move(tensor)});
  }

  // (rows, depth), random, in a format that block formats can be told from.
  Tensor matrix(DType like, int64_t rows, int64_t depth) {
    const Format& format = format_of(like);
    const bool is_block = format.block_values != 1 || format.encode == nullptr;
    const DType dtype = !is_block ? like : depth % 32 == 0 ? DType::kQ8_0 : DType::kF16;
    std::vector<float> values(static_cast<size_t>(rows * depth));
    const float scale = 1 / std::sqrt(static_cast<float>(depth));
    for (float& value : values) value = scale * static_cast<float>(rng_.next_gaussian());
    const auto size = static_cast<size_t>(bytes_of(dtype, rows * depth));
    bytes_.push_back(std::make_unique<std::byte[]>(size));
    format_of(dtype).encode(values.data(), rows * depth, bytes_.back().get());
    Tensor tensor;
    tensor.dtype = dtype;
    tensor.shape = {rows, depth};
    tensor.data = {bytes_.back().get(), size};
    return tensor;
  }

 private:
  static std::vector<std::string> projections_of(const Checkpoint& source) {
    const Architecture& architecture = *find_architecture(source.config).value();
    const TensorNames names = architecture.names(source.config.layout);
    std::vector<std::string> projections;
    for (int64_t layer = 0; layer < source.config.layers; ++layer) {
      for (const std::string* pattern :
           {&names.q, &names.k, &names.v, &names.qkv, &names.o, &names.gate, &names.up,
            &names.gate_up, &names.down, &names.shared_gate, &names.shared_up,
            &names.shared_down}) {
        const NamedTensor* found =
            pattern->empty() ? nullptr : source.find_weight(with_number(*pattern, layer));
        if (found != nullptr) projections.push_back(found->name);
      }
    }
    return projections;
  }

  void put_factors(const NamedTensor& named, int64_t rank) {
    const Architecture& architecture = *find_architecture(config).value();
    const bool transposed = architecture.names(config.layout).transposed;
    const int64_t rows = named.tensor.shape[transposed ? 1 : 0];
    const int64_t depth = named.tensor.shape[transposed ? 0 : 1];
    rank = std::min({rank, rows, depth});
    put(factor_name(named.name, Factor::kA), matrix(named.tensor.dtype, rank, depth));
    put(factor_name(named.name, Factor::kB), matrix(named.tensor.dtype, rows, rank));
  }

  Rng rng_{29};
  std::shared_ptr<const Checkpoint> source_;
  std::vector<std::unique_ptr<std::byte[]>> bytes_;
};

}  // namespace brisk
