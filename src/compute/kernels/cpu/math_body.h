// Functions of 16 numbers and loops over them, written once over Vec. Include after a vec_*.h.
#pragma once

namespace brisk {
namespace {

// e^x to about 1 ulp; 0 below -87.3 (-infinity included), clamped above 88.
inline Vec exp(Vec x) {
  const Vec low = splat(-87.3f);
  const Vec clamped = min(max(x, low), splat(88.0f));
  const Vec n = round_to_even(clamped * splat(1.44269504f));
  Vec r = fma(n, splat(-0.693145752f), clamped);  // ln 2 in two parts, the first one short
  r = fma(n, splat(-1.42860677e-6f), r);
  Vec p = splat(1.0f / 5040);  // Taylor: the remainder at |r| <= ln(2) / 2 is below 6e-9
  p = fma(p, r, splat(1.0f / 720));
  p = fma(p, r, splat(1.0f / 120));
  p = fma(p, r, splat(1.0f / 24));
  p = fma(p, r, splat(1.0f / 6));
  p = fma(p, r, splat(0.5f));
  p = fma(p, r, splat(1.0f));
  p = fma(p, r, splat(1.0f));
  return zero_below(p * power_of_two(n), x, low);
}

inline Vec tanh(Vec x) {
  const Vec one = splat(1.0f);
  return one - splat(2.0f) / (exp(x + x) + one);
}

// Calls f(offset, lanes) over `count` values, 16 at a time; only the last call may have fewer.
template <class F>
inline void each_16(int64_t count, F f) {
  int64_t i = 0;
  for (; i + 16 <= count; i += 16) f(i, 16);
  if (i < count) f(i, count - i);
}

}  // namespace
}  // namespace brisk
