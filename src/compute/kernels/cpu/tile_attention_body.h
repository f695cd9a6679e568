// Attention in tiles of bf16, written once over tile_ops_amx.h or tile_ops_emulated.h. Include
// after one of them and attention_partials_body.h.
//
// Up to kTileQueries queries, of the heads and positions of a call, are done together, in tiles of
// 16: rows of operand A. A segment's keys and values are unpacked once for all of them, as operands
// B: pairs of dimensions x 16 tokens for the scores, pairs of tokens x 16 dimensions for the sums.
// A query is a row of A, which no other row touches, so that its result does not depend on its
// neighbours; weights of tokens that it does not see are zero.
//
// Tiles 0..3 are sums: two of queries by two of tokens or dimensions. 4 and 5 are queries or their
// weights, 6 and 7 keys or values.
#pragma once

namespace brisk {
namespace {

constexpr int64_t kTileTokens = 32;  // that a product of weights and values takes at a time
constexpr int64_t kTileSide = 16;    // queries, tokens or dimensions of a tile of sums

inline __m512i to_bf16(Vec low, Vec high) {
  return reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(high.v, low.v));
}

// Elements in the cache as 16 bf16, which hold them exactly.
struct BF16Tokens {
  static constexpr int64_t kBytes = 2;
  static constexpr bool kScaled = false;
  static __m256i load(const char* p) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  }
};
template <Vec (*kLoad)(const void*)>
struct ScaledTokens {
  static constexpr int64_t kBytes = 1;
  static constexpr bool kScaled = true;
  static __m256i load(const char* p) {
    return reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(kLoad(p).v));
  }
};
using Int8Tokens = ScaledTokens<load_i8>;
using Fp8Tokens = ScaledTokens<load_fp8>;

// Pairs (a[i], b[i]) of 16 bf16.
inline __m512i in_pairs(__m256i a, __m256i b) {
  const __m512i both = _mm512_inserti64x4(_mm512_castsi256_si512(a), b, 1);
  const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24,
                                         8, 23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  return _mm512_permutexvar_epi16(order, both);
}

// Memory of the queries that are done together.
struct TileMemory {
  explicit TileMemory(const AttentionArgs& a)
      : groups((a.head_dim + 31) / 32),
        dim_tiles(a.value_stride / kTileSide),
        partial_floats(attention_partial_floats(a.value_stride)) {
    char* at = reinterpret_cast<char*>(a.scratch);
    const auto take = [&at](int64_t bytes) {
      char* const mine = at;
      at += bytes;
      return mine;
    };
    keys = take(kKvSegmentBlocks * groups * kTileBytes);
    values = take(kSegmentTokens / kTileTokens * dim_tiles * kTileBytes);
    queries = take(kTileQueries / kTileSide * groups * kTileBytes);
    scores = reinterpret_cast<float*>(take(4 * kTileQueries * kSegmentTokens));
    weights = take(2 * kTileQueries * kSegmentTokens);
    partials = reinterpret_cast<float*>(take(4 * kTileQueries * partial_floats));
    out = reinterpret_cast<float*>(take(4 * kTileQueries * a.value_stride));
  }

  const int64_t groups;     // of 32 dimensions
  const int64_t dim_tiles;  // of 16
  const int64_t partial_floats;
  char* keys;       // (blocks, groups) operands B
  char* values;     // (runs of 32 tokens, dim_tiles) operands B
  char* queries;    // (tiles of queries, groups) operands A
  float* scores;    // (queries, kSegmentTokens)
  char* weights;    // (queries, kSegmentTokens) of bf16
  float* partials;  // (queries, partial_floats)
  float* out;       // (queries, value_stride)
};

// Queries [first, first + count) of a call.
struct QueryRun {
  int64_t first, count;
};

// Queries beyond the last are zero.
inline void load_query_tiles(const AttentionArgs& a, QueryRun run, const TileMemory& memory) {
  const int64_t rows = (run.count + kTileSide - 1) / kTileSide * kTileSide;
  for (int64_t i = 0; i < rows; ++i) {
    char* row = memory.queries + i / kTileSide * memory.groups * kTileBytes + i % kTileSide * 64;
    const float* q = i < run.count ? query_at(a, run.first + i) : nullptr;
    for (int64_t d = 0; d < a.head_dim; d += 32, row += kTileBytes) {
      const auto lanes = [&](int64_t from) -> Vec {
        const int64_t left = a.head_dim - from;
        if (q == nullptr || left <= 0) return zero();
        return left < 16 ? load_first(q + from, left) : load(q + from);
      };
      _mm512_storeu_si512(row, to_bf16(lanes(d), lanes(d + 16)));
    }
  }
}

// The keys of the blocks that hold `tokens`.
template <class E>
inline void unpack_keys(const AttentionArgs& a, int64_t segment, TokenRange tokens,
                        const TileMemory& memory) {
  constexpr int64_t kRow = kKvBlockTokens * E::kBytes;
  for (int64_t b = tokens.begin / kKvBlockTokens; b * kKvBlockTokens < tokens.end; ++b) {
    const char* keys =
        static_cast<const char*>(a.keys) + a.blocks[segment * kKvSegmentBlocks + b] * a.block_bytes;
    char* out = memory.keys + b * memory.groups * kTileBytes;
    for (int64_t d = 0; d < 32 * memory.groups; d += 2, out += 64) {
      const __m256i even = d < a.head_dim ? E::load(keys + d * kRow) : _mm256_setzero_si256();
      const __m256i odd =
          d + 1 < a.head_dim ? E::load(keys + (d + 1) * kRow) : _mm256_setzero_si256();
      _mm512_storeu_si512(out, in_pairs(even, odd));
    }
  }
}

// The values of the runs of 32 tokens that hold `tokens`; zero beyond the blocks and the end of
// these, where there may be anything.
template <class E>
inline void unpack_values(const AttentionArgs& a, int64_t segment, TokenRange tokens,
                          const TileMemory& memory) {
  const int64_t row_bytes = a.value_stride * E::kBytes;
  const TokenRange there = {tokens.begin / kKvBlockTokens * kKvBlockTokens, tokens.end};
  const auto value = [&](int64_t t, int64_t dim) {
    if (!holds(there, t)) return _mm256_setzero_si256();
    const int64_t block = segment * kKvSegmentBlocks + t / kKvBlockTokens;
    const char* row = static_cast<const char*>(a.values) + a.blocks[block] * a.block_bytes +
                      t % kKvBlockTokens * row_bytes;
    return E::load(row + dim * E::kBytes);
  };
  const int64_t end = (tokens.end + kTileTokens - 1) / kTileTokens * kTileTokens;
  for (int64_t t = tokens.begin / kTileTokens * kTileTokens; t < end; t += 2) {
    char* out =
        memory.values + t / kTileTokens * memory.dim_tiles * kTileBytes + t % kTileTokens / 2 * 64;
    for (int64_t n = 0; n < memory.dim_tiles; ++n, out += kTileBytes) {
      _mm512_storeu_si512(out, in_pairs(value(t, n * kTileSide), value(t + 1, n * kTileSide)));
    }
  }
}

// One operand after the other, `step` bytes apart, along what is summed.
struct Operands {
  const char* first;
  const char* second;  // of the other tile of a pair
  int64_t row_bytes;   // from a row of a tile to the next
  int64_t step;
};

// Tiles of sums: Q of queries by N of tokens or dimensions, over `count` products.
template <int Q, int N>
inline void sum_tiles(Operands a, Operands b, int64_t count) {
  tile_zero<0>();
  if constexpr (N == 2) tile_zero<1>();
  if constexpr (Q == 2) tile_zero<2>();
  if constexpr (Q == 2 && N == 2) tile_zero<3>();
  for (int64_t i = 0; i < count; ++i) {
    tile_load<4>(a.first + i * a.step, a.row_bytes);
    tile_load<6>(b.first + i * b.step, b.row_bytes);
    tile_dot<0, 4, 6>();
    if constexpr (N == 2) {
      tile_load<7>(b.second + i * b.step, b.row_bytes);
      tile_dot<1, 4, 7>();
    }
    if constexpr (Q == 2) {
      tile_load<5>(a.second + i * a.step, a.row_bytes);
      tile_dot<2, 5, 6>();
    }
    if constexpr (Q == 2 && N == 2) tile_dot<3, 5, 7>();
  }
}

// The sums to where the first query's begin; `stride`: floats from a query to the next.
template <int Q, int N>
inline void store_tiles(float* out, int64_t stride) {
  tile_store<0>(out, 4 * stride);
  if constexpr (N == 2) tile_store<1>(out + kTileSide, 4 * stride);
  float* const second = out + kTileSide * stride;
  if constexpr (Q == 2) tile_store<2>(second, 4 * stride);
  if constexpr (Q == 2 && N == 2) tile_store<3>(second + kTileSide, 4 * stride);
}

// Scores of Q tiles of queries from `tile` on and the blocks that hold `tokens`.
template <int Q>
inline void tile_scores(int64_t tile, TokenRange tokens, const TileMemory& memory) {
  const int64_t bytes = memory.groups * kTileBytes;  // of a tile of queries, or a block of keys
  const char* queries = memory.queries + tile * bytes;
  const Operands a = {queries, queries + bytes, 64, kTileBytes};
  float* out = memory.scores + tile * kTileSide * kSegmentTokens;
  const int64_t end = (tokens.end + kKvBlockTokens - 1) / kKvBlockTokens;
  int64_t block = tokens.begin / kKvBlockTokens;
  for (; block < end; block += 2) {
    const char* keys = memory.keys + block * bytes;
    const Operands b = {keys, keys + bytes, 64, kTileBytes};
    if (block + 1 < end) {
      sum_tiles<Q, 2>(a, b, memory.groups);
      store_tiles<Q, 2>(out + block * kKvBlockTokens, kSegmentTokens);
    } else {
      sum_tiles<Q, 1>(a, b, memory.groups);
      store_tiles<Q, 1>(out + block * kKvBlockTokens, kSegmentTokens);
    }
  }
}

// Weighted values of Q tiles of queries from `tile` on.
template <int Q>
inline void tile_values(int64_t tile, TokenRange tokens, const TileMemory& memory) {
  const int64_t begin = tokens.begin / kTileTokens;
  const int64_t count = (tokens.end + kTileTokens - 1) / kTileTokens - begin;
  constexpr int64_t kRowBytes = 2 * kSegmentTokens;
  const char* weights = memory.weights + tile * kTileSide * kRowBytes + begin * 64;
  const Operands a = {weights, weights + kTileSide * kRowBytes, kRowBytes, 64};
  const int64_t step = memory.dim_tiles * kTileBytes;
  float* out = memory.partials + tile * kTileSide * memory.partial_floats + 16;
  for (int64_t n = 0; n < memory.dim_tiles; n += 2) {
    const char* values = memory.values + begin * step + n * kTileBytes;
    const Operands b = {values, values + kTileBytes, 64, step};
    if (n + 1 < memory.dim_tiles) {
      sum_tiles<Q, 2>(a, b, count);
      store_tiles<Q, 2>(out + n * kTileSide, memory.partial_floats);
    } else {
      sum_tiles<Q, 1>(a, b, count);
      store_tiles<Q, 1>(out + n * kTileSide, memory.partial_floats);
    }
  }
}

// The scores of a query to weights in bf16: zero for tokens of `tokens` that it does not see.
template <class E>
inline void weigh_query(const AttentionArgs& a, int64_t segment, TokenRange seen, TokenRange tokens,
                        float* scores, char* weights, Partial partial) {
  const int32_t* blocks = a.blocks + segment * kKvSegmentBlocks;
  for (int64_t t = seen.begin / 16 * 16; t < seen.end; t += 16) {
    Vec score = load(scores + t) * splat(a.scale);
    if constexpr (E::kScaled) {
      const char* keys = static_cast<const char*>(a.keys) + blocks[t / 16] * a.block_bytes;
      score = score * load(keys + a.head_dim * kKvBlockTokens);
    }
    if (a.softcap != 0) score = tanh(score * splat(1.0f / a.softcap)) * splat(a.softcap);
    store(scores + t, score);
  }
  partial.total() = 0;
  if (!is_empty(seen)) segment_softmax(scores, seen, &partial.maximum(), &partial.total());
  const auto weights_at = [&](int64_t t) -> Vec {
    const TokenRange here = overlap(seen, {t, t + 16});
    if (is_empty(here)) return zero();
    const Vec weight = load(scores + t);
    if constexpr (E::kScaled) {
      const char* values = static_cast<const char*>(a.values) + blocks[t / 16] * a.block_bytes;
      return weight * load_first(values + a.value_stride * kKvBlockTokens, here.end - t);
    }
    return weight;
  };
  const int64_t begin = tokens.begin / kTileTokens * kTileTokens;
  for (int64_t t = begin; t < tokens.end; t += kTileTokens) {
    _mm512_storeu_si512(weights + 2 * t, to_bf16(weights_at(t), weights_at(t + 16)));
  }
}

// Q tiles of queries from `tile` on, over what they see of a segment.
template <class E, int Q>
inline void attend_tiles(const AttentionArgs& a, QueryRun run, int64_t tile, int64_t segment,
                         const TileMemory& memory) {
  const int64_t first = tile * kTileSide, last = first + Q * kTileSide;
  const int64_t end = last < run.count ? last : run.count;
  TokenRange tokens = {0, 0};
  for (int64_t i = first; i < end; ++i) {
    tokens = hull(tokens, seen_by(a, run.first + i, segment));
  }
  if (!is_empty(tokens)) tile_scores<Q>(tile, tokens, memory);
  for (int64_t i = first; i < end; ++i) {
    weigh_query<E>(a, segment, seen_by(a, run.first + i, segment), tokens,
                   memory.scores + i * kSegmentTokens, memory.weights + 2 * i * kSegmentTokens,
                   {memory.partials + i * memory.partial_floats});
  }
  if (!is_empty(tokens)) tile_values<Q>(tile, tokens, memory);
}

template <class E>
inline void attend_segment(const AttentionArgs& a, QueryRun run, int64_t segment,
                           const TileMemory& memory) {
  TokenRange tokens = {0, 0};
  for (int64_t i = 0; i < run.count; ++i) {
    tokens = hull(tokens, seen_by(a, run.first + i, segment));
  }
  unpack_keys<E>(a, segment, tokens, memory);
  unpack_values<E>(a, segment, tokens, memory);
  const int64_t tiles = (run.count + kTileSide - 1) / kTileSide;
  for (int64_t tile = 0; tile < tiles; tile += 2) {
    if (tile + 1 < tiles) {
      attend_tiles<E, 2>(a, run, tile, segment, memory);
    } else {
      attend_tiles<E, 1>(a, run, tile, segment, memory);
    }
  }
}

// Few queries make low tiles: a product takes as long as its operand A has rows.
inline void configure_tiles(int64_t queries) {
  TileConfig config = {};
  config.palette = 1;
  for (int t = 0; t < 8; ++t) {
    const bool follows_queries = t < 6;
    config.row_bytes[t] = 64;
    config.rows[t] = static_cast<uint8_t>(follows_queries && queries < 16 ? queries : 16);
  }
  tile_configure(config);
}

template <class E>
void attend_run(const AttentionArgs& a, QueryRun run, const TileMemory& memory) {
  const int64_t dims = a.value_stride;
  configure_tiles(run.count);
  load_query_tiles(a, run, memory);
  // What no tile of this run writes is read with it: rows beyond the last query.
  clear(memory.scores, kTileQueries * kSegmentTokens);
  clear(reinterpret_cast<float*>(memory.weights), kTileQueries * kSegmentTokens / 2);
  clear(memory.out, kTileQueries * dims);
  Running running[kTileQueries];
  for (int64_t s = a.segment; s < a.segment_end; ++s) {
    attend_segment<E>(a, run, s, memory);
    for (int64_t i = 0; i < run.count; ++i) {
      const Partial partial = {memory.partials + i * memory.partial_floats};
      if (a.partials == nullptr) {
        merge(&running[i], memory.out + i * dims, partial, dims);
        continue;
      }
      const int64_t index = (s - a.segment) * a.rows * a.heads + run.first + i;
      __builtin_memcpy(a.partials + index * memory.partial_floats, partial.at,
                       static_cast<size_t>(4 * memory.partial_floats));
    }
  }
  tile_release();
  for (int64_t i = 0; a.partials == nullptr && i < run.count; ++i) {
    finish(a, run.first + i, running[i], memory.out + i * dims);
  }
}

template <class E>
void attention(const AttentionArgs& a) {
  const TileMemory memory(a);
  const int64_t queries = a.rows * a.heads;
  for (int64_t first = 0; first < queries; first += kTileQueries) {
    const int64_t left = queries - first;
    attend_run<E>(a, {first, left < kTileQueries ? left : kTileQueries}, memory);
  }
}

}  // namespace

constexpr TileAttention BRISK_TILE_ATTENTION = {
    .attention = {nullptr, nullptr, attention<BF16Tokens>, attention<Int8Tokens>,
                  attention<Fp8Tokens>, nullptr}};

}  // namespace brisk
