// Attention of a step's slices: the same bits whoever does which part of it.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <numeric>
#include <vector>

#include "base/rng.h"
#include "base/units.h"
#include "compute/backend/cpu_ops.h"
#include "compute/kernels/cpu/dispatch.h"
#include "compute/sys/thread_team.h"

namespace brisk {
namespace {

struct Slice {
  int64_t first_position, rows;
};

// A KV cache of one layer with a few sequences, and a step that each of them takes part in.
class Step {
 public:
  Step(const KernelTable& kernels, KvElement element, int kv_heads,
       const std::vector<Slice>& slices)
      : kernels_(kernels) {
    const KvHeadBytes bytes = kv_head_bytes(element, kHeadDim);
    kv_ = {.element = element,
           .block_bytes = kv_heads * (bytes.keys + bytes.values),
           .head_bytes_keys = bytes.keys,
           .head_bytes_values = bytes.values,
           .kv_heads = kv_heads,
           .head_dim = kHeadDim};
    int64_t rows = 0, blocks = 0;
    for (const Slice& slice : slices) {
      rows += slice.rows;
      blocks += ceil_div<int64_t>(slice.first_position + slice.rows, kKvBlockTokens);
    }
    table_.resize(static_cast<size_t>(blocks));
    std::iota(table_.rbegin(), table_.rend(), 0);
    // What was never written is NaN.
    memory_.assign(static_cast<size_t>(blocks * kv_.block_bytes), std::byte{0xFF});
    kv_.keys = memory_.data();
    kv_.values = memory_.data() + kv_heads * bytes.keys;
    CpuOps ops(kernels, 1, sizes());
    Rng rng(7);
    int64_t row = 0, block = 0;
    for (const Slice& slice : slices) {
      const int64_t tokens = slice.first_position + slice.rows;
      const auto used = static_cast<size_t>(ceil_div<int64_t>(tokens, kKvBlockTokens));
      const auto of_sequence =
          std::span<const int32_t>(table_).subspan(static_cast<size_t>(block), used);
      auto k = gaussians(rng, tokens * kv_heads * kHeadDim);
      auto v = gaussians(rng, tokens * kv_heads * kHeadDim);
      const SliceView all = {
          .row_begin = 0, .row_end = tokens, .first_position = 0, .blocks = of_sequence};
      ops.append_kv({}, kv_, {&all, 1}, view(k, tokens, kv_heads), view(v, tokens, kv_heads));
      slices_.push_back({.row_begin = row,
                         .row_end = row + slice.rows,
                         .first_position = slice.first_position,
                         .blocks = of_sequence});
      row += slice.rows;
      block += static_cast<int64_t>(used);
    }
    q_ = gaussians(rng, rows * kHeads * kHeadDim);
  }

  std::vector<float> attend(int members, int sliding_window) {
    std::vector<float> out(q_.size(), NAN);
    const int64_t rows = slices_.back().row_end;
    CpuOps ops(kernels_, members, sizes());
    ThreadTeam team(members);
    for (int layer = 0; layer < 2; ++layer) {  // what one leaves behind does not reach the next
      ops.begin_attention();
      team.run([&](Worker worker) {
        ops.attention(worker, {.q = view(q_, rows, kHeads),
                               .out = view(out, rows, kHeads),
                               .kv = kv_,
                               .slices = slices_,
                               .heads = kHeads,
                               .sliding_window = sliding_window,
                               .scale = 0.2f,
                               .softcap = 0});
      });
    }
    return out;
  }

 private:
  static constexpr int kHeadDim = 24, kHeads = 6;

  static std::vector<float> gaussians(Rng& rng, int64_t count) {
    std::vector<float> values(static_cast<size_t>(count));
    for (float& value : values) value = static_cast<float>(rng.next_gaussian());
    return values;
  }
  static MatView view(std::vector<float>& values, int64_t rows, int heads) {
    const int64_t cols = int64_t{heads} * kHeadDim;
    return {.data = values.data(), .rows = rows, .cols = cols, .stride = cols};
  }
  static CpuOps::Sizes sizes() {
    return {.rows = 16, .depth = 32, .head_dim = kHeadDim, .heads = kHeads, .context = 4096};
  }

  const KernelTable& kernels_;
  KvLayer kv_;
  std::vector<int32_t> table_;
  std::vector<std::byte> memory_;
  std::vector<SliceView> slices_;
  std::vector<float> q_;
};

class CpuAttention : public testing::TestWithParam<const KernelTable*> {};

TEST_P(CpuAttention, DoesNotDependOnWhoDoesWhichPart) {
  const std::vector<std::vector<Slice>> steps = {
      {{1999, 1}},                      // one long sequence: its segments are shared out
      {{1300, 1}, {40, 1}, {700, 1}},   // some are long
      {{600, 21}, {5, 1}, {255, 2}},    // part of a prompt beside sequences that generate
      {{255, 1}, {256, 1}, {257, 1}}};  // whole segments, and one token more
  for (const KvElement element : {KvElement::kF32, KvElement::kBF16, KvElement::kInt4}) {
    for (const int kv_heads : {1, 3}) {
      for (const std::vector<Slice>& slices : steps) {
        Step step(*GetParam(), element, kv_heads, slices);
        for (const int window : {0, 300}) {
          const std::vector<float> alone = step.attend(1, window);
          for (const float value : alone) ASSERT_TRUE(std::isfinite(value));
          for (const int members : {2, 3, 4, 8}) {
            const std::vector<float> shared = step.attend(members, window);
            EXPECT_EQ(std::memcmp(alone.data(), shared.data(), alone.size() * sizeof(float)), 0)
                << members << " members, " << kv_heads << " heads, window " << window;
          }
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Isa, CpuAttention, testing::ValuesIn(usable_kernels()),
                         [](const auto& kernels) { return std::string(kernels.param->name); });

}  // namespace
}  // namespace brisk
