// In which order the product of many rows visits its operands; plain integers. Include after
// tiles.h.
//
// Tile products are fed at full speed when one operand comes from the first-level cache and the
// other from the second. So the weights of a run, one panel's next few units, are unpacked where
// they fit the first level and multiplied with all rows of a pass; the rows' tiles of a segment of
// the inputs fit the second level. Between its runs a panel's sums wait in memory as f32, exactly.
// Where the inputs take several segments, a chunk of panels goes through one before the next, which
// bounds the sums that wait.
#pragma once

namespace brisk {
namespace {

constexpr int64_t kRunUnits = 12;        // 24 KiB of weights
constexpr int64_t kPassBlocks = 16;      // 256 rows
constexpr int64_t kSegmentTiles = 1024;  // 1 MiB of activations
constexpr int64_t kChunkPanels = 32;
static_assert(2 * kRunUnits * 2 * kTileBytes + kChunkPanels * kPassBlocks * 2 * kTileBytes <=
              kTileScratchBytes);

constexpr int64_t at_most(int64_t a, int64_t b) { return a < b ? a : b; }
constexpr int64_t divided_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

// The largest piece that is not above `most` of a length cut into equal pieces.
constexpr int64_t even_piece(int64_t length, int64_t most) {
  return divided_up(length, divided_up(length, most));
}

// A run, and the way to the next.
struct Walk {
  // The operands.
  int64_t blocks;  // of 16 rows
  int64_t panels;
  int64_t units;  // of a panel

  // The pass: row blocks [block, block_end). All zero when nothing is left.
  int64_t block = 0, block_end = 0;
  int64_t chunk = 0, chunk_end = 0;      // panels
  int64_t segment = 0, segment_end = 0;  // units
  int64_t panel = 0;
  int64_t unit = 0, unit_end = 0;

  Walk(int64_t blocks_in, int64_t panels_in, int64_t units_in)
      : blocks(blocks_in), panels(panels_in), units(units_in) {
    start_pass(0);
  }

  bool done() const { return block == blocks; }

  void advance() {
    if (unit_end < segment_end) {
      start_run(unit_end);
    } else if (panel + 1 < chunk_end) {
      ++panel;
      start_run(segment);
    } else if (segment_end < units) {
      start_segment(segment_end);
    } else if (chunk_end < panels) {
      start_chunk(chunk_end);
    } else {
      start_pass(block_end);
    }
  }

 private:
  void start_pass(int64_t first) {
    block = first;
    block_end = at_most(first + kPassBlocks, blocks);
    if (!done()) start_chunk(0);
  }
  void start_chunk(int64_t first) {
    chunk = first;
    chunk_end = at_most(first + (segment_units() < units ? kChunkPanels : 1), panels);
    start_segment(0);
  }
  void start_segment(int64_t first) {
    segment = first;
    segment_end = at_most(first + segment_units(), units);
    panel = chunk;
    start_run(segment);
  }
  void start_run(int64_t first) {
    unit = first;
    unit_end = at_most(first + even_piece(segment_end - segment, kRunUnits), segment_end);
  }
  int64_t segment_units() const { return even_piece(units, kSegmentTiles / (block_end - block)); }
};

}  // namespace
}  // namespace brisk
