#include "train/gemm.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "base/check.h"

// oneDNN's C interface (oneapi/dnnl/dnnl.h), row-major: C = alpha op(A) op(B) + beta C.
extern "C" int dnnl_sgemm(char trans_a, char trans_b, int64_t m, int64_t n, int64_t k, float alpha,
                          const float* a, int64_t lda, const float* b, int64_t ldb, float beta,
                          float* c, int64_t ldc);

namespace brisk::train {
namespace {

bool is_f32(const at::Tensor& tensor) { return tensor.scalar_type() == at::kFloat; }

struct Product {
  const float* a;
  const float* b;
  float* c;
  int64_t m, n, k;
  bool transpose_a, transpose_b;
  float beta;
};

void run(const Product& p) {
  const int status =
      dnnl_sgemm(p.transpose_a ? 'T' : 'N', p.transpose_b ? 'T' : 'N', p.m, p.n, p.k, 1, p.a,
                 p.transpose_a ? p.m : p.k, p.b, p.transpose_b ? p.k : p.n, p.beta, p.c, p.n);
  BRISK_CHECK(status == 0);
}

}  // namespace

at::Tensor product_transposed(const at::Tensor& a, const at::Tensor& b) {
  if (!is_f32(a)) return at::mm(a, b.t());
  at::Tensor c = at::empty({a.size(0), b.size(0)}, a.options());
  run({a.data_ptr<float>(), b.data_ptr<float>(), c.data_ptr<float>(), a.size(0), b.size(0),
       a.size(1), false, true, 0});
  return c;
}

at::Tensor product(const at::Tensor& a, const at::Tensor& b) {
  if (!is_f32(a)) return at::mm(a, b);
  at::Tensor c = at::empty({a.size(0), b.size(1)}, a.options());
  run({a.data_ptr<float>(), b.data_ptr<float>(), c.data_ptr<float>(), a.size(0), b.size(1),
       a.size(1), false, false, 0});
  return c;
}

void add_transposed_product(const at::Tensor& a, const at::Tensor& b, at::Tensor& sum) {
  if (!is_f32(a)) {
    sum.add_(at::mm(a.t(), b));
    return;
  }
  run({a.data_ptr<float>(), b.data_ptr<float>(), sum.data_ptr<float>(), a.size(1), b.size(1),
       a.size(0), true, false, 1});
}

at::Tensor stacked_product(const at::Tensor& a, bool transpose_a, const at::Tensor& b,
                           bool transpose_b) {
  if (!is_f32(a)) {
    return at::bmm(transpose_a ? a.transpose(1, 2) : a, transpose_b ? b.transpose(1, 2) : b);
  }
  const int64_t m = a.size(transpose_a ? 2 : 1), k = a.size(transpose_a ? 1 : 2);
  const int64_t n = b.size(transpose_b ? 1 : 2);
  at::Tensor c = at::empty({a.size(0), m, n}, a.options());
  const float* a_data = a.data_ptr<float>();
  const float* b_data = b.data_ptr<float>();
  float* c_data = c.data_ptr<float>();
  at::parallel_for(0, a.size(0), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      run({a_data + i * m * k, b_data + i * k * n, c_data + i * m * n, m, n, k, transpose_a,
           transpose_b, 0});
    }
  });
  return c;
}

}  // namespace brisk::train
