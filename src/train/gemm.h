// Products of matrices in the compute type. f32 goes to oneDNN, which libtorch carries with it but
// uses for bf16 only: Debian's libtorch multiplies f32 with the reference BLAS, 30 times slower.
#pragma once

#include <ATen/core/Tensor.h>

namespace brisk::train {

// a (m, k) times b^T, where b is (n, k): what a linear layer does.
at::Tensor product_transposed(const at::Tensor& a, const at::Tensor& b);

// a (m, k) times b (k, n).
at::Tensor product(const at::Tensor& a, const at::Tensor& b);

// sum += a^T b for a (k, m), b (k, n): the gradient of a layer's weights. `sum` is f32 (m, n).
void add_transposed_product(const at::Tensor& a, const at::Tensor& b, at::Tensor& sum);

// The same for stacks of matrices, (stack, rows, columns); a transposed one is given as a flag.
at::Tensor stacked_product(const at::Tensor& a, bool transpose_a, const at::Tensor& b,
                           bool transpose_b);

}  // namespace brisk::train
