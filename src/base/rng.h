// Counter-based random numbers: a draw is a pure function of (key, counter), so that what a request
// samples never depends on its neighbours or on how its steps were cut.
// Philox4x32-10: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC11).
#pragma once

#include <array>
#include <cstdint>

namespace brisk {

struct RngKey {
  uint64_t seed = 0;
  uint64_t stream = 0;  // e.g. which choice of a request
};

// Four independent 32-bit words for one (key, counter).
std::array<uint32_t, 4> philox(RngKey key, uint64_t counter);

// Uniform in [0, 1) with 53 bits.
double uniform(RngKey key, uint64_t counter);

// A plain sequence over `philox`, for tests, synthetic weights and simulations.
class Rng {
 public:
  explicit Rng(uint64_t seed, uint64_t stream = 0) : key_{seed, stream} {}
  uint64_t next_u64();
  double next_uniform();                // [0, 1)
  double next_gaussian();               // mean 0, variance 1
  uint64_t next_below(uint64_t limit);  // [0, limit), REQUIRES: limit > 0

 private:
  RngKey key_;
  uint64_t counter_ = 0;
};

}  // namespace brisk
