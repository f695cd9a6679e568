// A matrix or vector that is trained, in the forms that training needs.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

namespace brisk::train {

// Fused projections are one weight; a part of it is a run of rows with a name of its own.
struct WeightPart {
  std::string name;  // as Hugging Face has it
  int64_t rows = 0;
};

struct Weight {
  std::vector<WeightPart> parts;  // top to bottom
  at::Tensor master;              // f32, what the optimizer moves
  at::Tensor seen;                // f32, what the model computes with: the master, or it rounded
  at::Tensor compute;             // the same in the compute type, for products
  at::Tensor grad;                // f32; undefined while frozen
  at::Tensor mask;                // f32 of 0 and 1: what stays zero; undefined: nothing does
  bool decays = false;            // weight decay: matrices of layers only
  bool is_linear = false;         // (out, in) of a product; the formats of weights are for these

  bool trains() const { return grad.defined(); }
};

}  // namespace brisk::train
