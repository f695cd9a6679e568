// What is known of the keys and values that a layer's heads put into the KV cache.
#pragma once

#include <cstdint>
#include <vector>

#include "model/decoder.h"

namespace brisk {

// By channel: (kv_heads, head_dim).
struct HeadStatistics {
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
  int64_t rows = 0;            // that were seen
  std::vector<float> key_max;  // largest magnitudes
  std::vector<float> value_max;
  std::vector<double> query_square;  // sums of q^2 over the rows and the query heads of a group
  std::vector<float> keys;           // (samples, kv_heads, head_dim)
  std::vector<float> values;         // (samples, kv_heads, head_dim)
  int64_t samples = 0;

  void add(const HeadRows& heads);
  // Keeps a row's keys and values as a sample.
  void keep(const HeadRows& heads, int64_t row);
};

}  // namespace brisk
