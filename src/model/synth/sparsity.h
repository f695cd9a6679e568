// Which weights of a synthetic matrix are zero.
#pragma once

#include <absl/status/statusor.h>

#include <span>
#include <string>
#include <string_view>

namespace brisk {

struct Sparsity {
  double share = 0;  // of the weights, 0 to 1
  int keep = 0;      // or, where `of` is not 0: so many of every `of` inputs are not zero
  int of = 0;

  // "0.7" (70 % zeros), "2:4" (two of four inputs are kept). Errors: InvalidArgument.
  static absl::StatusOr<Sparsity> parse(std::string_view text);

  std::string text() const;
  bool any() const { return share > 0 || of > 0; }

  // Zeros the smallest weights of a row, wherever they are (share) or of every group, whose end may
  // be cut.
  void prune(std::span<float> row) const;
};

}  // namespace brisk
