// The operations of a decoder on a CPU, each executed by a whole ThreadTeam: every member calls the
// function with its Worker and does its share. None of them synchronises: what a member may read
// before the next Worker::sync() is only what it wrote itself, unless the comment says otherwise.
// None allocates. Results do not depend on the number of members (kernel_table.h, numerics).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "compute/kernels/cpu/kernel_table.h"
#include "compute/sys/thread_team.h"
#include "compute/tensor/tensor.h"

namespace brisk {

// y = x * weight^T (+ bias), or y += ... when `add`. Columns are shared out in units of
// kColumnUnit, the same way for every product of equal width.
struct LinearOp {
  ConstMatView input;              // (rows, depth)
  const Tensor* weight = nullptr;  // (columns, depth): packed, or any format that can be decoded
  std::span<const float> bias;     // (columns) or empty
  MatView output;                  // (rows, columns)
  bool add = false;
  int slot = 0;  // where load_input() has put `input`
};
inline constexpr int64_t kColumnUnit = 32;

// One sequence's part of a step.
struct SliceView {
  int64_t row_begin = 0;  // rows of the step's matrices, in order of position
  int64_t row_end = 0;
  int64_t first_position = 0;       // of row_begin
  std::span<const int32_t> blocks;  // block table, long enough for the last position
};

// The KV pool's memory of one layer.
struct KvLayer {
  KvElement element = KvElement::kF32;
  std::byte* keys = nullptr;  // head h of block b at b * block_bytes + h * head_bytes
  std::byte* values = nullptr;
  int64_t block_bytes = 0;
  int64_t head_bytes_keys = 0;
  int64_t head_bytes_values = 0;
  int kv_heads = 0;
  int head_dim = 0;
};

struct AttentionOp {
  ConstMatView q;  // (rows, heads * head_dim)
  MatView out;     // (rows, heads * head_dim)
  KvLayer kv;
  std::span<const SliceView> slices;
  int heads = 0;
  int sliding_window = 0;  // 0: all
  float scale = 1;
  float softcap = 0;
  bool may_round = false;  // to bf16 on a tile unit, as products do there
};

// The attention that may round, where the kernels have tiles for it; else null.
using AttentionKernel = void (*)(const AttentionArgs&);
AttentionKernel attention_in_tiles(const KernelTable& kernels, KvElement element, int64_t head_dim);

// Rotates the first `rotary_dim` dimensions of each head of row r by the angles of its position.
struct RopeOp {
  MatView x;                   // (rows, heads * head_dim), in place
  const float* cos = nullptr;  // (rows, rotary_dim / 2)
  const float* sin = nullptr;
  int heads = 0;
  int head_dim = 0;
  int rotary_dim = 0;
  bool interleaved = false;
};

class CpuOps {
 public:
  struct Sizes {
    int64_t rows = 0;   // of a product at most
    int64_t depth = 0;  // of a product at most
    int64_t slots = 1;  // inputs that are loaded at a time; those after the first...
    int64_t rank = 0;   // ...are no deeper than this
    int64_t head_dim = 0;
    int64_t heads = 0;
    int64_t context = 0;    // tokens of a sequence at most
    bool reorders = false;  // some weights have their inputs in another order
  };
  CpuOps(const KernelTable& kernels, int members, const Sizes& sizes);

  const KernelTable& kernels() const { return kernels_; }

  // Rounds `input` for the products with packed weights that follow, to int8 or, where the kernels
  // have tiles, to bf16. REQUIRES: synced before and after; those products have the same input and
  // slot, and are done before the slot's next load.
  void load_input(Worker worker, ConstMatView input, int slot = 0);

  void linear(Worker worker, const LinearOp& op);

  // REQUIRES: keys and values of all slices' rows are in the cache and synced, and
  // begin_attention() was called since the last attention(), by one member, and synced.
  void attention(Worker worker, const AttentionOp& op);
  void begin_attention();

  // Appends rows of k and v (rows, kv_heads * head_dim) to the cache. Shares rows.
  void append_kv(Worker worker, const KvLayer& kv, std::span<const SliceView> slices,
                 ConstMatView k, ConstMatView v) const;

  static void rope_row(const RopeOp& op, int64_t row);

 private:
  // Fewer attention tasks than these are cut into parts, if they are long.
  static constexpr int64_t kAttentionTasksOfMember = 2;

  // Memory for rows that are rounded to int8 (QuantizedRows).
  struct RoundedRows {
    void resize(size_t groups);
    QuantizedRows view(int64_t rows, int64_t groups);

    std::vector<int8_t> codes;
    std::vector<float> scales, sums;
    std::vector<int32_t> starts;  // start_8, start_128, start_32
  };

  QuantizedRows loaded_input(int slot, int64_t rows, int64_t depth);
  TileRows loaded_tiles(int slot, int64_t rows, int64_t depth);
  void load_tiles(Worker worker, ConstMatView input, int slot);
  void linear_panels(const LinearOp& op, Range columns);
  void linear_reordered(Worker worker, const LinearOp& op, Range columns);
  void linear_tiles(Worker worker, const LinearOp& op, Range columns);
  void linear_sparse(Worker worker, const LinearOp& op, Range columns);
  void linear_unpacked(Worker worker, const LinearOp& op, Range columns);
  void linear_f32(const LinearOp& op, const float* weights, Range columns) const;
  void linear_direct(const LinearOp& op, LinearKernel kernel, Range columns) const;
  void linear_decoded(Worker worker, const LinearOp& op, Range columns);
  // Floats that a sequence's partial results take: more is not kept for any number of sequences.
  static int64_t attention_partials(const Sizes& sizes);
  struct AttentionWay {
    AttentionKernel attend;
    int64_t rows;    // of a call at most
    float* scratch;  // of the member
  };
  AttentionWay attention_way(Worker worker, const AttentionOp& op);
  // False where nothing can be cut; nothing is done then.
  bool attend_in_parts(Worker worker, const AttentionOp& op, const AttentionWay& way);
  int64_t next_task() { return next_attention_task_.fetch_add(1, std::memory_order_relaxed); }

  const KernelTable& kernels_;
  const int64_t panel_floats_;
  const int64_t attention_floats_;
  std::vector<std::vector<float>> scratch_;  // one per member
  std::atomic<int64_t> next_attention_task_{0};
  // Results of segments that several members work on (AttentionArgs::partials).
  const int64_t partials_floats_;
  const std::unique_ptr<float[]> partials_;  // touched only where it is needed
  std::vector<std::atomic<int64_t>> parts_done_;

  std::vector<RoundedRows> inputs_;     // (slots): as int8
  std::vector<RoundedRows> reordered_;  // a few of its rows in a weight's order, for each member

  // Instead, where the kernels have tiles: the inputs as bf16 (TileRows), and memory for each
  // member.
  struct alignas(64) CacheLine {
    std::byte bytes[64];
  };
  std::vector<std::vector<CacheLine>> input_tiles_;
  std::vector<std::vector<CacheLine>> tile_scratch_;
};

}  // namespace brisk
