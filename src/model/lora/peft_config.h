// What PEFT's adapter_config.json says about the additions: how they are scaled, and whether they
// are plain low-rank additions at all.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"

namespace brisk {

struct PeftConfig {
  int64_t rank = 0;
  double alpha = 0;
  bool rank_stabilized = false;   // alpha / sqrt(rank) instead of alpha / rank
  bool has_rank_pattern = false;  // some modules have another rank: their tensors say which
  // By name or the last parts of one; the first that fits counts.
  std::vector<std::pair<std::string, double>> alpha_pattern;

  // Of a module ("model.layers.0.self_attn.q_proj") whose tensors have `rank_found`.
  double scale_of(std::string_view module, int64_t rank_found) const;
};

// Errors: InvalidArgument, and Unimplemented naming the field that asks for more than brisk does.
absl::StatusOr<PeftConfig> read_peft_config(const OrderedJson& json);

}  // namespace brisk
