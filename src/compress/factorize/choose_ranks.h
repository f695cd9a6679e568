// How many components each matrix keeps.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace brisk {

// What is known of a matrix before it is factorised.
struct Spectrum {
  int64_t rows = 0;
  int64_t depth = 0;
  std::vector<double> energies;  // see TruncatedSvd

  int64_t values() const { return rows * depth; }
};

// Stays as it is: its factors would be no smaller.
inline constexpr int64_t kDense = 0;

// Of a matrix that has `rank`.
int64_t parameters(const Spectrum& spectrum, int64_t rank);
// The share of the energies that it keeps, 0 to 1.
double kept_energy(const Spectrum& spectrum, int64_t rank);

// The ranks that a matrix may have, ascending: those whose factors are smaller than it is, of which
// large matrices take only multiples of what kernels and block formats go by.
std::vector<int64_t> possible_ranks(int64_t rows, int64_t depth);

// The lowest rank that keeps `share` of the energies.
int64_t rank_for_energy(const Spectrum& spectrum, double share);

// Ranks that together take at most `parameters_max`: components go to whoever gains most for each
// parameter. A matrix's loss is the share of its energies that goes, those of the largest component
// left out (mostly what all inputs have in common), times its parameters. Where even the lowest
// ranks take more, those.
std::vector<int64_t> spread_ranks(std::span<const Spectrum> spectra, int64_t parameters_max);

}  // namespace brisk
