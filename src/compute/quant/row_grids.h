// Rows of a matrix while the codes of their weights are chosen, whatever they are stored as: blocks
// of a format, or codes with scales of their own. What rounds weights (to nearest, searching, GPTQ)
// sees grids of runs of inputs and gives codes back, which are stored as they are.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "compute/quant/grids.h"
#include "compute/quant/scaled_scheme.h"

namespace brisk {

// Threads may work on different rows.
class RowGrids {
 public:
  virtual ~RowGrids() = default;

  // Inputs whose grids are chosen at once: a block, a group, a whole row. Runs begin at multiples
  // of it; the last of a row may be shorter.
  virtual int64_t run_inputs() const = 0;
  // Inputs of a run that share a grid.
  virtual int64_t grid_inputs() const = 0;

  // Chooses and keeps the grids of the run of `count` inputs that begins at input `begin`.
  virtual void fit(int64_t row, int64_t begin, int64_t count, const GridFit& fit) = 0;
  // Writes the run's grids, at most kBlockRunsMax.
  virtual void grids(int64_t row, int64_t begin, Grid* grids) const = 0;
  // Codes of inputs [begin, begin + codes.size()), all of one run; of blocks, the whole run.
  virtual void store(int64_t row, int64_t begin, std::span<const int> codes) = 0;
};

// `bytes`: (rows, depth) in the format, depth a multiple of its block.
class BlockRowGrids final : public RowGrids {
 public:
  BlockRowGrids(const GridFormat& format, int64_t depth, std::byte* bytes);

  int64_t run_inputs() const override { return format_.block_values; }
  int64_t grid_inputs() const override { return format_.run_values; }
  void fit(int64_t row, int64_t begin, int64_t count, const GridFit& fit) override;
  void grids(int64_t row, int64_t begin, Grid* grids) const override;
  void store(int64_t row, int64_t begin, std::span<const int> codes) override;

 private:
  std::byte* block_at(int64_t row, int64_t begin) const;

  const GridFormat& format_;
  const int64_t block_bytes_, row_bytes_;
  std::byte* const bytes_;
};

// `codes`: sized_codes.
class ScaledRowGrids final : public RowGrids {
 public:
  ScaledRowGrids(const ScaledScheme& scheme, ScaledCodes& codes);

  int64_t run_inputs() const override { return width_; }
  int64_t grid_inputs() const override { return width_; }
  void fit(int64_t row, int64_t begin, int64_t count, const GridFit& fit) override;
  void grids(int64_t row, int64_t begin, Grid* grids) const override;
  void store(int64_t row, int64_t begin, std::span<const int> codes) override;

 private:
  size_t group_at(int64_t row, int64_t begin) const;
  int zero_at(size_t group) const;

  const ScaledScheme scheme_;
  const int64_t width_, groups_;
  ScaledCodes& codes_;
};

// Rounds a row of `depth` weights to the grids that suit them best. `importance`: (depth) or null.
void round_searched(RowGrids& grids, int64_t row, std::span<const float> weights,
                    const float* importance);

}  // namespace brisk
