// Loops that reach the machine's limits, written once over Vec. Include after a vec_*.h.
#pragma once

namespace brisk {
namespace {

float read_all(const void* p, int64_t bytes) {
  const char* at = static_cast<const char*>(p);
  Vec sums[8];
  for (Vec& partial : sums) partial = zero();
  for (const char* end = at + bytes; at < end; at += 512) {
    for (int i = 0; i < 8; ++i) sums[i] = sums[i] + load(at + 64 * i);
  }
  for (int i = 1; i < 8; ++i) sums[0] = sums[0] + sums[i];
  return sum(sums[0]);
}

float multiply_add(int64_t iterations) {
  Vec chains[8];
  for (int i = 0; i < 8; ++i) chains[i] = splat(static_cast<float>(i));
  const Vec factor = splat(0.999f), term = splat(0.001f);
  for (int64_t n = 0; n < iterations; ++n) {
    for (Vec& chain : chains) chain = fma(chain, factor, term);
  }
  for (int i = 1; i < 8; ++i) chains[0] = chains[0] + chains[i];
  return sum(chains[0]);
}

}  // namespace
}  // namespace brisk
