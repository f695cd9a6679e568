// Products of tiles, written once over tile_ops_amx.h or tile_ops_emulated.h. Include after one of
// them, tile_unpack_body.h and tile_walk.h.
//
// Tiles 0..3 are sums: outputs 0..15 and 16..31 of a panel, for one block of rows (0, 1) and for
// the next (2, 3). 4 and 5 are the panel's weights, 6 and 7 the two blocks' activations.
#pragma once

namespace brisk {
namespace {

constexpr int kSumFloats = 256;  // of a stored tile of sums

// `width` rows in the first block.
inline void configure_tiles(int64_t width) {
  TileConfig config = {};
  config.palette = 1;
  for (int t = 0; t < 8; ++t) {
    const bool follows_rows = t == 0 || t == 1 || t == 6;
    config.row_bytes[t] = static_cast<uint16_t>(follows_rows ? 4 * width : 64);
    config.rows[t] = 16;
  }
  tile_configure(config);
}

// 16 x 16 elements of 32 bits.
inline void transpose_16(__m512i (&r)[16]) {
  __m512i t[16];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    t[2 * i] = _mm512_unpacklo_epi32(r[2 * i], r[2 * i + 1]);
    t[2 * i + 1] = _mm512_unpackhi_epi32(r[2 * i], r[2 * i + 1]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    r[4 * i] = _mm512_unpacklo_epi64(t[4 * i], t[4 * i + 2]);
    r[4 * i + 1] = _mm512_unpackhi_epi64(t[4 * i], t[4 * i + 2]);
    r[4 * i + 2] = _mm512_unpacklo_epi64(t[4 * i + 1], t[4 * i + 3]);
    r[4 * i + 3] = _mm512_unpackhi_epi64(t[4 * i + 1], t[4 * i + 3]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    t[i] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0x88);
    t[i + 4] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0xDD);
    t[i + 8] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0x88);
    t[i + 12] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0xDD);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    r[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
    r[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xDD);
    r[i + 4] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0x88);
    r[i + 12] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0xDD);
  }
}

inline __mmask16 first_of_16(int64_t n) {
  return static_cast<__mmask16>(n >= 16 ? 0xFFFF : (1u << n) - 1u);
}

// A stored tile of sums into y: up to 16 rows from `row` on, up to 16 columns from `col` on.
void finish_tile(const TileArgs& a, const float* sums, int64_t row, int64_t col) {
  if (col >= a.cols) return;
  __m512i r[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) r[i] = load_512(sums + 16 * i);
  transpose_16(r);
  const __mmask16 mask = first_of_16(a.cols - col);
  const __m512 bias =
      a.bias != nullptr ? _mm512_maskz_loadu_ps(mask, a.bias + col) : _mm512_setzero_ps();
  for (int64_t i = 0; i < 16 && row + i < a.x.rows; ++i) {
    float* y = a.y + (row + i) * a.y_stride + col;
    __m512 value = _mm512_castsi512_ps(r[i]);
    if (a.bias != nullptr) value = _mm512_add_ps(value, bias);
    if (a.add) value = _mm512_add_ps(_mm512_maskz_loadu_ps(mask, y), value);
    _mm512_mask_storeu_ps(y, mask, value);
  }
}

// The sums of `Blocks` row blocks and a panel.
template <int Blocks>
inline void store_sums(float* sums) {
  tile_store<0>(sums, 64);
  tile_store<1>(sums + kSumFloats, 64);
  if constexpr (Blocks == 2) {
    tile_store<2>(sums + 2 * kSumFloats, 64);
    tile_store<3>(sums + 3 * kSumFloats, 64);
  }
}
template <int Blocks>
inline void finish_panel(const TileArgs& a, const float* sums, int64_t row, int64_t panel) {
  for (int64_t t = 0; t < 2 * Blocks; ++t) {
    finish_tile(a, sums + t * kSumFloats, row + t / 2 * kTileRowBlock,
                panel * kTileOutputs + t % 2 * 16);
  }
}

// --- Few rows: weights stream past once, sums stay in their tiles over the whole depth. ---

constexpr int kAheadUnits = 3;            // unpacked before they are multiplied
constexpr int kRingUnits = 4;             // a power of two: those, and the one being multiplied
constexpr int64_t kPrefetchBytes = 4096;  // further than the hardware looks: it stops at pages

constexpr int kIntoL1 = 3, kIntoL2 = 2;  // as __builtin_prefetch counts

template <int kLevel>
inline void prefetch_unit(const char* unit, int bytes) {
  for (int i = 0; i < bytes; i += 64) __builtin_prefetch(unit + i, 0, kLevel);
}

// One unit's products, and between them another's unpacking: the tile unit and the vector units
// work side by side.
template <TileFormat F, int Blocks>
inline void few_rows_step(const char* weights, const char* x, int64_t x_stride, int64_t x_block,
                          UnitUnpacking<F>& next) {
  next.template eighth<0>();
  next.template eighth<1>();
  tile_load<6>(x, x_stride);
  next.template eighth<2>();
  next.template eighth<3>();
  tile_load<4>(weights, 64);
  tile_dot<0, 4, 6>();
  if constexpr (Blocks == 2) tile_load<7>(x + x_block, 64);
  next.template eighth<4>();
  next.template eighth<5>();
  tile_load<5>(weights + kTileBytes, 64);
  tile_dot<1, 5, 6>();
  if constexpr (Blocks == 2) tile_dot<2, 4, 7>();
  next.template eighth<6>();
  next.template eighth<7>();
  if constexpr (Blocks == 2) tile_dot<3, 5, 7>();
}

template <TileFormat F, int Blocks>
void few_rows(const TileArgs& a) {
  using Unpacking = UnitUnpacking<F>;
  const auto* stream = static_cast<const char*>(a.panels);
  const auto* x = static_cast<const char*>(a.x.data);
  const int64_t panels = divided_up(a.cols, kTileOutputs), total = panels * a.x.groups;
  const int64_t width = tile_row_width(a.x.rows);
  alignas(64) char ring[kRingUnits * 2 * kTileBytes];
  alignas(64) float sums[4 * kSumFloats] = {};
  const auto slot = [&](int64_t unit) { return ring + unit % kRingUnits * 2 * kTileBytes; };
  configure_tiles(width);
  for (int64_t u = 0; u < at_most(kAheadUnits, total); ++u) {
    Unpacking(stream, u, slot(u)).all();
  }
  int64_t u = 0;
  for (int64_t panel = 0; panel < panels; ++panel) {
    tile_zero<0>();
    tile_zero<1>();
    if constexpr (Blocks == 2) {
      tile_zero<2>();
      tile_zero<3>();
    }
    for (int64_t g = 0; g < a.x.groups; ++g, ++u) {
      const char* unit = Unpacking::unit_at(stream, u);
      prefetch_unit<kIntoL1>(unit + kPrefetchBytes, Unpacking::kLayout.unit_bytes());
      // Past the end the last unit is unpacked again, where nobody looks: no branch for the end.
      Unpacking next(stream, at_most(u + kAheadUnits, total - 1), slot(u + kAheadUnits));
      few_rows_step<F, Blocks>(Unpacking::kInPlace ? unit : slot(u), x + 64 * width * g, 4 * width,
                               kTileBytes * a.x.groups, next);
    }
    store_sums<Blocks>(sums);
    finish_panel<Blocks>(a, sums, 0, panel);
  }
  tile_release();
}

// --- Many rows: see tile_walk.h. ---

// Unpacks the next run, a unit at a time, while the current one is multiplied.
template <TileFormat F>
struct NextRun {
  using Unpacking = UnitUnpacking<F>;

  NextRun(const char* stream_in, const Walk& walk, char* out_in, int64_t steps_per_unit_in)
      : stream(stream_in), out(out_in), steps_per_unit(steps_per_unit_in) {
    if (walk.done()) return;
    unit = walk.panel * walk.units + walk.unit;
    unit_end = walk.panel * walk.units + walk.unit_end;
  }

  void step() {  // once for every unit that is multiplied with a pair of row blocks
    if (++steps < steps_per_unit || unit == unit_end) return;
    steps = 0;
    unpack_one();
  }
  void rest() {
    while (unit < unit_end) unpack_one();
  }

 private:
  void unpack_one() {
    const char* packed = Unpacking::unit_at(stream, unit);
    if constexpr (Unpacking::kInPlace) {
      prefetch_unit<kIntoL2>(packed, Unpacking::kLayout.unit_bytes());
    } else {
      prefetch_unit<kIntoL2>(packed + kPrefetchBytes, Unpacking::kLayout.unit_bytes());
      Unpacking(stream, unit, out).all();
      out += 2 * kTileBytes;
    }
    ++unit;
  }

  const char* stream;
  char* out;
  int64_t steps_per_unit;
  int64_t steps = 0;
  int64_t unit = 0, unit_end = 0;
};

// The run of `walk` times one or two row blocks from `block` on.
template <TileFormat F, int Blocks>
inline void many_rows_step(const TileArgs& a, const Walk& walk, int64_t block, const char* weights,
                           float* sums, NextRun<F>& next) {
  // The first sums are loaded from one line of zeros: quicker than tilezero beside tile stores.
  alignas(64) static const float zeros[16] = {};
  const bool first = walk.unit == 0;
  const float* from = first ? zeros : sums;
  const int64_t stride = first ? 0 : 64, apart = first ? 0 : kSumFloats;
  tile_load<0>(from, stride);
  tile_load<1>(from + apart, stride);
  if constexpr (Blocks == 2) {
    tile_load<2>(from + 2 * apart, stride);
    tile_load<3>(from + 3 * apart, stride);
  }
  const char* x =
      static_cast<const char*>(a.x.data) + kTileBytes * (block * a.x.groups + walk.unit);
  const int64_t x_block = kTileBytes * a.x.groups;
  for (int64_t u = walk.unit; u < walk.unit_end; ++u) {
    tile_load<4>(weights, 64);
    tile_load<6>(x, 64);
    tile_dot<0, 4, 6>();
    tile_load<5>(weights + kTileBytes, 64);
    tile_dot<1, 5, 6>();
    if constexpr (Blocks == 2) {
      tile_load<7>(x + x_block, 64);
      tile_dot<2, 4, 7>();
      tile_dot<3, 5, 7>();
    }
    weights += 2 * kTileBytes;
    x += kTileBytes;
    next.step();
  }
  store_sums<Blocks>(sums);
  if (walk.unit_end == walk.units) {
    finish_panel<Blocks>(a, sums, block * kTileRowBlock, walk.panel);
  }
}

template <TileFormat F>
void many_rows(const TileArgs& a) {
  using Unpacking = UnitUnpacking<F>;
  constexpr int64_t kRunBytes = kRunUnits * 2 * kTileBytes;
  const auto* stream = static_cast<const char*>(a.panels);
  auto* const unpacked = static_cast<char*>(a.scratch);
  auto* const waiting = reinterpret_cast<float*>(unpacked + 2 * kRunBytes);
  configure_tiles(kTileRowBlock);
  Walk walk(tile_row_blocks(a.x.rows), divided_up(a.cols, kTileOutputs), a.x.groups);
  NextRun<F>(stream, walk, unpacked, 1).rest();
  for (int64_t side = 0; !walk.done(); side ^= 1) {
    Walk ahead = walk;
    ahead.advance();
    const int64_t pairs = divided_up(walk.block_end - walk.block, 2);
    NextRun<F> next(stream, ahead, unpacked + (side ^ 1) * kRunBytes, pairs);
    const char* weights = Unpacking::kInPlace
                              ? Unpacking::unit_at(stream, walk.panel * walk.units + walk.unit)
                              : unpacked + side * kRunBytes;
    float* sums = waiting + (walk.panel - walk.chunk) * kPassBlocks * 2 * kSumFloats;
    for (int64_t block = walk.block; block < walk.block_end; block += 2, sums += 4 * kSumFloats) {
      if (block + 1 < walk.block_end) {
        many_rows_step<F, 2>(a, walk, block, weights, sums, next);
      } else {
        many_rows_step<F, 1>(a, walk, block, weights, sums, next);
      }
    }
    next.rest();
    walk = ahead;
  }
  tile_release();
}

template <TileFormat F>
void linear(const TileArgs& a) {
  if (a.x.rows <= kTileRowBlock) {
    few_rows<F, 1>(a);
  } else if (a.x.rows <= 2 * kTileRowBlock) {
    few_rows<F, 2>(a);
  } else {
    many_rows<F>(a);
  }
}

void pack_rows(const PackRowsArgs& a) {
  const int64_t width = tile_row_width(a.out.rows);
  const __mmask16 mask = first_of_16(width);
  for (int64_t task = a.first_task; task < a.last_task; ++task) {
    const int64_t row = task / a.out.groups * kTileRowBlock;
    const float* x = a.x + row * a.x_stride + task % a.out.groups * kTileInputs;
    char* tile = static_cast<char*>(a.out.data) + 64 * width * task;
    __m512i r[16];
    for (int64_t i = 0; i < 16; ++i) {
      const float* at = x + i * a.x_stride;
      r[i] = row + i < a.out.rows ? to_bf16(_mm512_loadu_ps(at), _mm512_loadu_ps(at + 16))
                                  : _mm512_setzero_si512();
    }
    if (width == 1) {  // a column: the row itself
      _mm512_storeu_si512(tile, r[0]);
      continue;
    }
    transpose_16(r);
    for (int64_t i = 0; i < 16; ++i) _mm512_mask_storeu_epi32(tile + 4 * width * i, mask, r[i]);
  }
}

// --- What the unit does at most. ---

inline void load_operands(const void* tile) {
  tile_load<4>(tile, 64);
  tile_load<5>(tile, 64);
  tile_load<6>(tile, 64);
  tile_load<7>(tile, 64);
  tile_zero<0>();
  tile_zero<1>();
  tile_zero<2>();
  tile_zero<3>();
}

float bf16_peak(int64_t iterations) {
  alignas(64) uint16_t operand[kTileBytes / 2];
  for (uint16_t& value : operand) value = 0x3C00;  // 2^-7
  alignas(64) float sums[kSumFloats];
  configure_tiles(kTileRowBlock);
  load_operands(operand);
  for (int64_t i = 0; i < iterations; ++i) {
    tile_dot<0, 4, 6>();
    tile_dot<1, 5, 6>();
    tile_dot<2, 4, 7>();
    tile_dot<3, 5, 7>();
  }
  tile_store<0>(sums, 64);
  tile_release();
  return sums[0];
}

int32_t int8_peak(int64_t iterations) {
  alignas(64) int8_t operand[kTileBytes];
  for (int8_t& value : operand) value = 1;
  alignas(64) int32_t sums[kSumFloats];
  configure_tiles(kTileRowBlock);
  load_operands(operand);
  for (int64_t i = 0; i < iterations; ++i) {
    tile_dot_int8<0, 4, 6>();
    tile_dot_int8<1, 5, 6>();
    tile_dot_int8<2, 4, 7>();
    tile_dot_int8<3, 5, 7>();
  }
  tile_store<0>(sums, 64);
  tile_release();
  return sums[0];
}

}  // namespace

constexpr TileKernels BRISK_TILE_KERNELS = {
    .linear = {linear<TileFormat::kQ4_0>, linear<TileFormat::kQ4_1>, linear<TileFormat::kQ4_K>,
               linear<TileFormat::kIQ4_NL>, linear<TileFormat::kMXFP4>, linear<TileFormat::kQ5_0>,
               linear<TileFormat::kQ5_1>, linear<TileFormat::kQ5_K>, linear<TileFormat::kQ6_K>,
               linear<TileFormat::kQ8_0>, linear<TileFormat::kBF16>, linear<TileFormat::kInt4>,
               linear<TileFormat::kInt4Wide>},
    .pack_rows = pack_rows,
    .bf16_peak = bf16_peak,
    .int8_peak = int8_peak,
};

}  // namespace brisk
