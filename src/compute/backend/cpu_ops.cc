#include "compute/backend/cpu_ops.h"

#include <algorithm>

#include "base/check.h"
#include "base/units.h"
#include "compute/quant/format.h"
#include "compute/quant/pack_panels.h"
#include "compute/quant/pack_tiles.h"

namespace brisk {
namespace {

// Weight rows that are decoded together before many input rows use them: 16 rows of 8,192 inputs
// are 512 KiB of f32, a quarter of a 2 MiB second-level cache.
constexpr int64_t kDecodedColumns = 16;
static_assert(kColumnUnit % kDecodedColumns == 0 && kColumnUnit % kPanelColumns == 0 &&
              kColumnUnit % kTileOutputs == 0);

// An even number: blocks of panels are read whole.
int64_t groups_of(int64_t depth) {
  return round_up<int64_t>(depth, 2 * kGroupInputs) / kGroupInputs;
}

// The kernel that decodes `dtype` in registers, or null.
LinearKernel direct_kernel(const KernelTable& table, DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return table.direct_f32;
    case DType::kF16:
      return table.direct_f16;
    case DType::kBF16:
      return table.direct_bf16;
    case DType::kQ8_0:
      return table.direct_q8_0;
    case DType::kQ4_0:
      return table.direct_q4_0;
    case DType::kF64:
    case DType::kI8:
    case DType::kI16:
    case DType::kI32:
    case DType::kI64:
    case DType::kQ4_1:
    case DType::kQ5_0:
    case DType::kQ5_1:
    case DType::kQ2_K:
    case DType::kQ3_K:
    case DType::kQ4_K:
    case DType::kQ5_K:
    case DType::kQ6_K:
    case DType::kIQ4_NL:
    case DType::kMXFP4:
    case DType::kTQ2_0:
    case DType::kInt8Grouped:
    case DType::kTernaryGrouped:
    case DType::kScaled:
    case DType::kF8E4M3:
      return nullptr;
  }
  return nullptr;
}

DecodeKernel decode_kernel(const KernelTable& table, DType dtype) {
  if (dtype == DType::kF16) return table.decode_f16;
  if (dtype == DType::kBF16) return table.decode_bf16;
  if (dtype == DType::kQ8_0) return table.decode_q8_0;
  if (dtype == DType::kQ4_0) return table.decode_q4_0;
  return nullptr;
}

// Rows [begin, end) of the weight as f32, densely.
void decode_rows(const KernelTable& table, const Tensor& weight, Range rows, float* out) {
  const int64_t depth = weight.shape.back();
  const DecodeKernel kernel = decode_kernel(table, weight.dtype);
  if (kernel == nullptr) {
    decode_values(weight, rows.begin * depth, (rows.end - rows.begin) * depth, out);
    return;
  }
  const int64_t row_bytes = bytes_of(weight.dtype, depth);
  for (int64_t r = rows.begin; r < rows.end; ++r) {
    kernel(weight.data.data() + r * row_bytes, depth, out + (r - rows.begin) * depth);
  }
}

LinearArgs linear_args(const LinearOp& op, Range columns) {
  return {.x = op.input.data,
          .x_stride = op.input.stride,
          .rows = op.input.rows,
          .w = nullptr,
          .w_row_bytes = 0,
          .cols = columns.end - columns.begin,
          .depth = op.input.cols,
          .bias = op.bias.empty() ? nullptr : op.bias.data() + columns.begin,
          .y = op.output.data + columns.begin,
          .y_stride = op.output.stride,
          .add = op.add};
}

PanelArgs panel_args(const LinearOp& op, Range columns) {
  return {.x = {},
          .panels = nullptr,
          .panel_bytes = 0,
          .cols = columns.end - columns.begin,
          .bias = op.bias.empty() ? nullptr : op.bias.data() + columns.begin,
          .y = op.output.data + columns.begin,
          .y_stride = op.output.stride,
          .add = op.add};
}

// Rows of rounded input that stay in the second-level cache beside a panel: whole blocks.
int64_t rows_of_pass(int64_t groups) {
  constexpr int64_t kBytes = 256 << 10;
  return std::max<int64_t>(1, kBytes / (kRowBlock * kGroupInputs * groups)) * kRowBlock;
}

// REQUIRES: rows.begin is a multiple of kRowBlock.
QuantizedRows rows_of(QuantizedRows all, Range rows) {
  const int64_t groups = rows.begin * all.groups;
  return {.codes = all.codes + groups * kGroupInputs,
          .scales = all.scales + groups,
          .sums = all.sums + groups,
          .start_8 = all.start_8 + groups,
          .start_128 = all.start_128 + groups,
          .start_32 = all.start_32 + 2 * groups,
          .rows = rows.end - rows.begin,
          .groups = all.groups};
}

}  // namespace

CpuOps::CpuOps(const KernelTable& kernels, int members, const Sizes& sizes)
    : kernels_(kernels),
      panel_floats_(kDecodedColumns * sizes.depth),
      attention_floats_(attention_scratch_floats(sizes.head_dim)),
      scratch_(static_cast<size_t>(members)),
      partials_floats_(members > 1 ? attention_partials(sizes) : 0),
      partials_(std::make_unique_for_overwrite<float[]>(static_cast<size_t>(partials_floats_))),
      parts_done_(static_cast<size_t>(kAttentionTasksOfMember * members)) {
  const auto depth_of = [&sizes](int64_t slot) { return slot == 0 ? sizes.depth : sizes.rank; };
  if (kernels.tiles != nullptr) {
    const int64_t rows = round_up<int64_t>(sizes.rows, kTileRowBlock);
    for (int64_t slot = 0; slot < sizes.slots; ++slot) {
      const int64_t bytes = tile_rows_bytes(rows, ceil_div<int64_t>(depth_of(slot), kTileInputs));
      input_tiles_.emplace_back(static_cast<size_t>(bytes) / sizeof(CacheLine));
    }
    tile_scratch_.resize(static_cast<size_t>(members));
    for (auto& scratch : tile_scratch_) scratch.resize(kTileScratchBytes / sizeof(CacheLine));
  } else {
    for (int64_t slot = 0; slot < sizes.slots; ++slot) {
      const int64_t groups = sizes.rows * groups_of(depth_of(slot));
      inputs_.emplace_back().resize(static_cast<size_t>(groups));
    }
    if (sizes.reorders) reordered_.resize(static_cast<size_t>(members));
    for (RoundedRows& rows : reordered_) {
      rows.resize(static_cast<size_t>(kRowBlock * groups_of(sizes.depth)));
    }
  }
  for (auto& scratch : scratch_) {
    scratch.resize(static_cast<size_t>(std::max(panel_floats_, attention_floats_)));
  }
}

void CpuOps::linear(Worker worker, const LinearOp& op) {
  const Range columns = worker.share(op.output.cols, kColumnUnit);
  if (columns.begin == columns.end || op.input.rows == 0) return;
  if (op.weight->panels.has_value()) {
    if (op.weight->input_order != nullptr) {
      linear_reordered(worker, op, columns);
    } else {
      linear_panels(op, columns);
    }
    return;
  }
  if (op.weight->tiles.has_value()) {
    linear_tiles(worker, op, columns);
    return;
  }
  if (op.weight->sparse.has_value()) {
    linear_sparse(worker, op, columns);
    return;
  }
  const LinearKernel direct = direct_kernel(kernels_, op.weight->dtype);
  if (direct != nullptr && op.input.rows <= kernels_.direct_rows_max) {
    linear_direct(op, direct, columns);
  } else if (op.weight->dtype == DType::kF32) {
    linear_direct(op, kernels_.linear_f32, columns);
  } else {
    linear_decoded(worker, op, columns);
  }
}

void CpuOps::RoundedRows::resize(size_t groups) {
  codes.resize(groups * kGroupInputs);
  scales.resize(groups);
  sums.resize(groups);
  starts.resize(4 * groups);
}

QuantizedRows CpuOps::RoundedRows::view(int64_t rows, int64_t groups) {
  const auto each = scales.size();
  BRISK_CHECK(rows * groups <= static_cast<int64_t>(each));
  return {.codes = codes.data(),
          .scales = scales.data(),
          .sums = sums.data(),
          .start_8 = starts.data(),
          .start_128 = starts.data() + each,
          .start_32 = starts.data() + 2 * each,
          .rows = rows,
          .groups = groups};
}

QuantizedRows CpuOps::loaded_input(int slot, int64_t rows, int64_t depth) {
  return inputs_[static_cast<size_t>(slot)].view(rows, groups_of(depth));
}

void CpuOps::load_input(Worker worker, ConstMatView input, int slot) {
  if (kernels_.tiles != nullptr) {
    load_tiles(worker, input, slot);
    return;
  }
  const QuantizedRows rows = loaded_input(slot, input.rows, input.cols);
  // Of every row the inputs that this member has most likely made, which are in its caches.
  const Range mine = worker.share(rows.groups);
  kernels_.quantize_groups({.x = input.data,
                            .x_stride = input.stride,
                            .depth = input.cols,
                            .first_row = 0,
                            .last_row = rows.rows,
                            .first_group = mine.begin,
                            .last_group = mine.end,
                            .out = rows});
}

TileRows CpuOps::loaded_tiles(int slot, int64_t rows, int64_t depth) {
  std::vector<CacheLine>& tiles = input_tiles_[static_cast<size_t>(slot)];
  const int64_t groups = depth / kTileInputs;
  BRISK_CHECK(tile_rows_bytes(rows, groups) <=
              static_cast<int64_t>(tiles.size() * sizeof(CacheLine)));
  return {.data = tiles.data(), .rows = rows, .groups = groups};
}

void CpuOps::load_tiles(Worker worker, ConstMatView input, int slot) {
  const TileRows rows = loaded_tiles(slot, input.rows, input.cols);
  const Range mine = worker.share(tile_row_blocks(rows.rows) * rows.groups);
  kernels_.tiles->pack_rows({.x = input.data,
                             .x_stride = input.stride,
                             .first_task = mine.begin,
                             .last_task = mine.end,
                             .out = rows});
}

void CpuOps::linear_tiles(Worker worker, const LinearOp& op, Range columns) {
  const TileFormat format = *op.weight->tiles;
  const int64_t bytes = tile_panel_bytes(format, op.input.cols);
  BRISK_CHECK(kernels_.tiles != nullptr);  // weights are packed for the kernels that run them
  kernels_.tiles->linear[static_cast<size_t>(format)](
      {.x = loaded_tiles(op.slot, op.input.rows, op.input.cols),
       .panels = op.weight->data.data() + columns.begin / kTileOutputs * bytes,
       .panel_bytes = bytes,
       .cols = columns.end - columns.begin,
       .bias = op.bias.empty() ? nullptr : op.bias.data() + columns.begin,
       .y = op.output.data + columns.begin,
       .y_stride = op.output.stride,
       .add = op.add,
       .scratch = tile_scratch_[static_cast<size_t>(worker.index)].data()});
}

void CpuOps::linear_panels(const LinearOp& op, Range columns) {
  const PanelFormat format = *op.weight->panels;
  BRISK_CHECK(kernels_.tiles == nullptr);
  const int64_t bytes = panel_bytes(format, op.input.cols);
  PanelArgs args = panel_args(op, columns);
  args.x = loaded_input(op.slot, op.input.rows, op.input.cols);
  args.panels = op.weight->data.data() + columns.begin / kPanelColumns * bytes;
  args.panel_bytes = bytes;
  kernels_.panels->linear[static_cast<size_t>(format)](args);
}

// The loaded input is rounded in groups of its own order, so each member rounds the rows anew, in
// the weight's, as many at a time as lie together.
void CpuOps::linear_reordered(Worker worker, const LinearOp& op, Range columns) {
  const PanelFormat format = *op.weight->panels;
  const std::vector<int32_t>& order = *op.weight->input_order;
  const int64_t depth = op.input.cols, groups = groups_of(depth),
                bytes = panel_bytes(format, depth);
  BRISK_CHECK(kernels_.tiles == nullptr && std::ssize(order) == depth);
  float* const gathered = scratch_[static_cast<size_t>(worker.index)].data();
  RoundedRows& rounded = reordered_[static_cast<size_t>(worker.index)];
  for (int64_t first = 0; first < op.input.rows; first += kRowBlock) {
    const int64_t rows = std::min<int64_t>(kRowBlock, op.input.rows - first);
    const QuantizedRows x = rounded.view(rows, groups);
    for (int64_t r = 0; r < rows; ++r) {
      const float* const row = op.input.row(first + r);
      for (int64_t i = 0; i < depth; ++i) gathered[i] = row[order[static_cast<size_t>(i)]];
      kernels_.quantize_groups({.x = gathered,
                                .x_stride = 0,  // whichever row it is
                                .depth = depth,
                                .first_row = r,
                                .last_row = r + 1,
                                .first_group = 0,
                                .last_group = groups,
                                .out = x});
    }
    kernels_.panels->linear[static_cast<size_t>(format)](
        {.x = x,
         .panels = op.weight->data.data() + columns.begin / kPanelColumns * bytes,
         .panel_bytes = bytes,
         .cols = columns.end - columns.begin,
         .bias = op.bias.empty() ? nullptr : op.bias.data() + columns.begin,
         .y = op.output.row(first) + columns.begin,
         .y_stride = op.output.stride,
         .add = op.add});
  }
}

void CpuOps::linear_direct(const LinearOp& op, LinearKernel kernel, Range columns) const {
  const int64_t row_bytes = bytes_of(op.weight->dtype, op.input.cols);
  LinearArgs args = linear_args(op, columns);
  args.w = op.weight->data.data() + columns.begin * row_bytes;
  args.w_row_bytes = row_bytes;
  kernel(args);
}

void CpuOps::linear_decoded(Worker worker, const LinearOp& op, Range columns) {
  float* panel = scratch_[static_cast<size_t>(worker.index)].data();
  BRISK_CHECK(kDecodedColumns * op.input.cols <= panel_floats_);
  for (int64_t begin = columns.begin; begin < columns.end; begin += kDecodedColumns) {
    const Range part = {begin, std::min(begin + kDecodedColumns, columns.end)};
    decode_rows(kernels_, *op.weight, part, panel);
    linear_f32(op, panel, part);
  }
}

void CpuOps::linear_f32(const LinearOp& op, const float* weights, Range columns) const {
  LinearArgs args = linear_args(op, columns);
  args.w = weights;
  args.w_row_bytes = op.input.cols * static_cast<int64_t>(sizeof(float));
  kernels_.linear_f32(args);
}

void CpuOps::linear_sparse(Worker worker, const LinearOp& op, Range columns) {
  BRISK_CHECK(kernels_.sparse != nullptr);
  const auto format = static_cast<size_t>(*op.weight->sparse);
  const SparseKernel& kernel = kernels_.sparse->formats[format];
  if (op.input.rows > kernel.rows_max) {
    linear_unpacked(worker, op, columns);
    return;
  }
  SparseArgs args = {.x = op.input.data,
                     .x_stride = op.input.stride,
                     .rounded = {},
                     .rows = op.input.rows,
                     .matrix = op.weight->data.data(),
                     .first_panel = columns.begin / kPanelColumns,
                     .cols = columns.end - columns.begin,
                     .depth = op.input.cols,
                     .bias = op.bias.empty() ? nullptr : op.bias.data() + columns.begin,
                     .y = op.output.data + columns.begin,
                     .y_stride = op.output.stride,
                     .add = op.add};
  if (!kSparseLayouts[format].is_float) {
    args.rounded = loaded_input(op.slot, op.input.rows, op.input.cols);
  }
  kernel.linear(args);
}

// Each panel is put back into cache once for all rows, or for as many as stay in cache beside it.
void CpuOps::linear_unpacked(Worker worker, const LinearOp& op, Range columns) {
  const auto format = static_cast<size_t>(*op.weight->sparse);
  const SparseLayout& layout = kSparseLayouts[format];
  float* const panel = scratch_[static_cast<size_t>(worker.index)].data();
  const int64_t depth = op.input.cols;
  BRISK_CHECK(kPanelColumns * depth <= panel_floats_);
  const int64_t rows = op.input.rows;
  const int64_t pass = layout.is_float ? rows : rows_of_pass(groups_of(depth));
  for (int64_t first = 0; first < rows; first += pass) {
    const Range part_rows = {first, std::min(first + pass, rows)};
    for (int64_t begin = columns.begin; begin < columns.end; begin += kPanelColumns) {
      const Range part = {begin, std::min(begin + kPanelColumns, columns.end)};
      kernels_.sparse->formats[format].unpack({.matrix = op.weight->data.data(),
                                               .panel = begin / kPanelColumns,
                                               .depth = depth,
                                               .out = panel});
      if (layout.is_float) {
        linear_f32(op, panel, part);
      } else {
        PanelArgs args = panel_args(op, part);
        args.x = rows_of(loaded_input(op.slot, rows, depth), part_rows);
        args.y += part_rows.begin * args.y_stride;
        args.panels = panel;
        args.panel_bytes = panel_bytes(layout.dense, depth);
        kernels_.panels->linear[static_cast<size_t>(layout.dense)](args);
      }
    }
  }
}

void CpuOps::rope_row(const RopeOp& op, int64_t row) {
  const int half = op.rotary_dim / 2;
  const float* cos = op.cos + row * half;
  const float* sin = op.sin + row * half;
  const int step = op.interleaved ? 2 : 1;
  const int partner = op.interleaved ? 1 : half;
  for (int head = 0; head < op.heads; ++head) {
    float* x = op.x.row(row) + head * op.head_dim;
    for (int i = 0; i < half; ++i) {
      float& a = x[i * step];
      float& b = x[i * step + partner];
      const float rotated = a * cos[i] - b * sin[i];
      b = a * sin[i] + b * cos[i];
      a = rotated;
    }
  }
}

}  // namespace brisk
