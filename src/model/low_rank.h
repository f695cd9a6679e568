// How a checkpoint names a projection that is a product of two smaller matrices: W = B A, with A
// (rank, in) and B (out, rank). They take the place of the projection's weight; its bias stays.
// Neither is ever stored transposed. Only brisk reads them.
#pragma once

#include <string>
#include <string_view>

namespace brisk {

enum class Factor : char { kA = 'a', kB = 'b' };

// "blk.0.attn_q.weight": "blk.0.attn_q.low_rank_a.weight". Empty: the name is not a weight's.
inline std::string factor_name(std::string_view weight, Factor factor) {
  constexpr std::string_view kWeight = "weight";
  if (!weight.ends_with(kWeight)) return "";
  std::string name(weight.substr(0, weight.size() - kWeight.size()));
  name += "low_rank_";
  name += static_cast<char>(factor);
  return name + ".weight";
}

// Whether `name` is such a factor's.
inline bool is_factor(std::string_view name, Factor factor) {
  return name.ends_with(factor == Factor::kA ? ".low_rank_a.weight" : ".low_rank_b.weight");
}

// Where a file says how many of its projections are products, for people.
inline constexpr const char* kLowRankKey = "brisk.low_rank_matrices";

}  // namespace brisk
