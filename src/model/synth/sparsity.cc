#include "model/synth/sparsity.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <vector>

#include "base/status.h"

namespace brisk {
namespace {

constexpr int kGroupMax = 64;

bool smaller(float a, float b) { return std::abs(a) < std::abs(b); }

template <class T>
bool parse_whole(std::string_view text, T* out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *out);
  return error == std::errc() && end == text.data() + text.size();
}

// The first of equals go first, so that exactly `count` go.
void zero_smallest(std::span<float> values, size_t count) {
  if (count == 0) return;
  std::vector<float> sorted(values.begin(), values.end());
  const auto nth = sorted.begin() + static_cast<ptrdiff_t>(count - 1);
  std::nth_element(sorted.begin(), nth, sorted.end(), smaller);
  const float limit = *nth;
  auto equal = static_cast<ptrdiff_t>(count) -
               std::count_if(values.begin(), values.end(),
                             [&](float value) { return smaller(value, limit); });
  for (float& value : values) {
    const bool goes = smaller(value, limit) || (!smaller(limit, value) && equal-- > 0);
    if (goes) value = 0;
  }
}

}  // namespace

absl::StatusOr<Sparsity> Sparsity::parse(std::string_view text) {
  Sparsity sparsity;
  const size_t colon = text.find(':');
  if (colon == std::string_view::npos) {
    if (parse_whole(text, &sparsity.share) && sparsity.share >= 0 && sparsity.share <= 1) {
      return sparsity;
    }
  } else if (parse_whole(text.substr(0, colon), &sparsity.keep) &&
             parse_whole(text.substr(colon + 1), &sparsity.of) && sparsity.keep >= 0 &&
             sparsity.of >= 1 && sparsity.keep <= sparsity.of && sparsity.of <= kGroupMax) {
    return sparsity;
  }
  return invalid_input(
      "\"{}\" is not a sparsity; it is a share of zeros (0.7) or what is kept of a group (2:4, "
      "groups of {} at most)",
      text, kGroupMax);
}

std::string Sparsity::text() const {
  return of > 0 ? fmt::format("{}:{}", keep, of) : fmt::format("{:g}", share);
}

void Sparsity::prune(std::span<float> row) const {
  if (of == 0) {
    zero_smallest(row, static_cast<size_t>(std::llround(share * static_cast<double>(row.size()))));
    return;
  }
  const auto group = static_cast<size_t>(of), kept = static_cast<size_t>(keep);
  for (size_t begin = 0; begin < row.size(); begin += group) {
    const std::span<float> inputs = row.subspan(begin, std::min(group, row.size() - begin));
    if (inputs.size() > kept) zero_smallest(inputs, inputs.size() - kept);
  }
}

}  // namespace brisk
