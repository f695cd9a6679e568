#include "base/rng.h"

#include <cmath>
#include <numbers>

#include "base/check.h"

namespace brisk {

std::array<uint32_t, 4> philox(RngKey key, uint64_t counter) {
  // Round and key-schedule constants of the paper's section 4.
  constexpr uint64_t kMultiplierA = 0xD2511F53, kMultiplierB = 0xCD9E8D57;
  constexpr uint32_t kWeylA = 0x9E3779B9, kWeylB = 0xBB67AE85;
  uint32_t key_a = static_cast<uint32_t>(key.seed);
  uint32_t key_b = static_cast<uint32_t>(key.seed >> 32);
  std::array<uint32_t, 4> x = {static_cast<uint32_t>(counter), static_cast<uint32_t>(counter >> 32),
                               static_cast<uint32_t>(key.stream),
                               static_cast<uint32_t>(key.stream >> 32)};
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = kMultiplierA * x[0];
    const uint64_t b = kMultiplierB * x[2];
    x = {static_cast<uint32_t>(b >> 32) ^ x[1] ^ key_a, static_cast<uint32_t>(b),
         static_cast<uint32_t>(a >> 32) ^ x[3] ^ key_b, static_cast<uint32_t>(a)};
    key_a += kWeylA;
    key_b += kWeylB;
  }
  return x;
}

double uniform(RngKey key, uint64_t counter) {
  const auto x = philox(key, counter);
  const uint64_t bits = (uint64_t{x[0]} << 32 | x[1]) >> 11;
  return static_cast<double>(bits) * 0x1p-53;
}

uint64_t Rng::next_u64() {
  const auto x = philox(key_, counter_++);
  return uint64_t{x[0]} << 32 | x[1];
}

double Rng::next_uniform() { return static_cast<double>(next_u64() >> 11) * 0x1p-53; }

double Rng::next_gaussian() {
  const double radius = std::sqrt(-2 * std::log(1 - next_uniform()));
  return radius * std::cos(2 * std::numbers::pi * next_uniform());
}

uint64_t Rng::next_below(uint64_t limit) {
  BRISK_CHECK(limit > 0);
  const auto product = static_cast<unsigned __int128>(next_u64()) * limit;
  return static_cast<uint64_t>(product >> 64);
}

}  // namespace brisk
