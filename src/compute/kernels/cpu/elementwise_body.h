// Norms, activations and softmax, written once over Vec. Include after math_body.h.
#pragma once

namespace brisk {
namespace {

inline float square_root(float x) { return __builtin_sqrtf(x); }

// x / sqrt(mean(x^2) + eps) * (weight + offset)
void rms_norm(const NormArgs& a) {
  Vec squares = zero();
  each_16(a.cols, [&](int64_t i, int64_t n) {
    const Vec x = load_first(a.x + i, n);
    squares = fma(x, x, squares);
  });
  const Vec inverse = splat(1.0f / square_root(sum(squares) / static_cast<float>(a.cols) + a.eps));
  const Vec offset = splat(a.weight_offset);
  each_16(a.cols, [&](int64_t i, int64_t n) {
    Vec y = load_first(a.x + i, n) * inverse;
    if (a.weight != nullptr) y = y * (load_first(a.weight + i, n) + offset);
    store_first(a.y + i, y, n);
  });
}

// (x - mean) / sqrt(variance + eps) * weight + bias
void layer_norm(const NormArgs& a) {
  const float count = static_cast<float>(a.cols);
  Vec total = zero();
  each_16(a.cols, [&](int64_t i, int64_t n) { total = total + load_first(a.x + i, n); });
  const Vec mean = splat(sum(total) / count);
  Vec squares = zero();
  each_16(a.cols, [&](int64_t i, int64_t n) {
    const Vec centred = keep_first(load_first(a.x + i, n) - mean, n);
    squares = fma(centred, centred, squares);
  });
  const Vec inverse = splat(1.0f / square_root(sum(squares) / count + a.eps));
  each_16(a.cols, [&](int64_t i, int64_t n) {
    Vec y = (load_first(a.x + i, n) - mean) * inverse;
    if (a.weight != nullptr) y = y * load_first(a.weight + i, n);
    if (a.bias != nullptr) y = y + load_first(a.bias + i, n);
    store_first(a.y + i, y, n);
  });
}

template <class F>
inline void activate(const float* gate, const float* up, int64_t count, float* y, F f) {
  each_16(count, [&](int64_t i, int64_t n) {
    Vec value = f(load_first(gate + i, n));
    if (up != nullptr) value = value * load_first(up + i, n);
    store_first(y + i, value, n);
  });
}

void silu(const float* gate, const float* up, int64_t count, float* y) {
  activate(gate, up, count, y, [](Vec x) { return x / (splat(1.0f) + exp(zero() - x)); });
}

// The tanh form: 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))
void gelu_tanh(const float* gate, const float* up, int64_t count, float* y) {
  activate(gate, up, count, y, [](Vec x) {
    const Vec inner = fma(x * x * x, splat(0.044715f), x) * splat(0.797884561f);
    return splat(0.5f) * x * (splat(1.0f) + tanh(inner));
  });
}

void relu2(const float* gate, const float* up, int64_t count, float* y) {
  activate(gate, up, count, y, [](Vec x) {
    const Vec positive = max(x, zero());
    return positive * positive;
  });
}

void softcap(float* x, int64_t count, float cap) {
  const Vec scale = splat(1.0f / cap);
  each_16(count, [&](int64_t i, int64_t n) {
    store_first(x + i, tanh(load_first(x + i, n) * scale) * splat(cap), n);
  });
}

void softmax(float* x, int64_t count) {
  float top = x[0];
  for (int64_t i = 1; i < count; ++i) top = x[i] > top ? x[i] : top;
  Vec total = zero();
  each_16(count, [&](int64_t i, int64_t n) {
    const Vec e = keep_first(exp(load_first(x + i, n) - splat(top)), n);
    total = total + e;
    store_first(x + i, e, n);
  });
  const Vec inverse = splat(1.0f / sum(total));
  each_16(count,
          [&](int64_t i, int64_t n) { store_first(x + i, load_first(x + i, n) * inverse, n); });
}

void add_scaled(const float* x, float scale, int64_t count, float* y) {
  each_16(count, [&](int64_t i, int64_t n) {
    store_first(y + i, fma(splat(scale), load_first(x + i, n), load_first(y + i, n)), n);
  });
}

void quantize_row(const float* x, int64_t count, float* y) {
  Vec squares = zero();
  each_16(count, [&](int64_t i, int64_t n) {
    const Vec v = load_first(x + i, n);
    squares = fma(v, v, squares);
  });
  const float length = square_root(sum(squares));
  const float divisor = length > 1e-12f ? length : 1e-12f;
  const Vec norm = splat(1.0f / (divisor * square_root(static_cast<float>(count))));
  Vec top = zero();
  each_16(count, [&](int64_t i, int64_t n) {
    const Vec v = load_first(x + i, n) * norm;
    top = max(absolute(v), top);
    store_first(y + i, v, n);
  });
  const float range = largest(top);
  const float floor = range > 1e-5f ? range : 1e-5f;
  const Vec up = splat(127.0f / floor);
  const Vec down = splat(floor / 127.0f);
  each_16(count, [&](int64_t i, int64_t n) {
    const Vec q = round_to_even(load_first(y + i, n) * up);
    store_first(y + i, min(max(q, splat(-128.0f)), splat(127.0f)) * down, n);
  });
}

inline void fill_group(const QuantizedRows& out, int64_t at, float scale) {
  store_i8(out.codes + kGroupInputs * at, zero());
  store_i8(out.codes + kGroupInputs * at + 16, zero());
  out.scales[at] = out.sums[at] = scale;
  out.start_8[at] = out.start_128[at] = out.start_32[2 * at] = out.start_32[2 * at + 1] = 0;
}

// A group of 32 values to int8 with the scale max|x| / 127; see panels.h. Groups too small for a
// finite inverse become zero; what is not finite makes every product NaN.
inline void quantize_group(const float* x, const QuantizedRows& out, int64_t at) {
  const Vec low = load(x), high = load(x + 16);
  const float top = largest(max(absolute(low), absolute(high)));
  const Vec inverse = splat(top > 1e-35f ? 127.0f / top : 0.0f);
  const Vec low_codes = round_to_even(low * inverse), high_codes = round_to_even(high * inverse);
  const float low_sum = sum(low_codes), high_sum = sum(high_codes);  // whole numbers: exact
  if (!(low_sum - low_sum + (high_sum - high_sum) == 0)) {
    fill_group(out, at, __builtin_nanf(""));
    return;
  }
  store_i8(out.codes + kGroupInputs * at, low_codes);
  store_i8(out.codes + kGroupInputs * at + 16, high_codes);
  const float scale = top * (1.0f / 127);
  const int low_whole = static_cast<int>(low_sum), high_whole = static_cast<int>(high_sum);
  out.scales[at] = scale;
  out.sums[at] = scale * (low_sum + high_sum);
  out.start_8[at] = -8 * (low_whole + high_whole);
  out.start_128[at] = -128 * (low_whole + high_whole);
  out.start_32[2 * at] = -32 * low_whole;
  out.start_32[2 * at + 1] = -32 * high_whole;
}

void quantize_groups(const QuantizeArgs& a) {
  for (int64_t row = a.first_row; row < a.last_row; ++row) {
    const int64_t base = row / kRowBlock * kRowBlock;
    const int64_t stride = a.out.rows - base < kRowBlock ? a.out.rows - base : kRowBlock;
    const float* x = a.x + row * a.x_stride;
    for (int64_t group = a.first_group; group < a.last_group; ++group) {
      const int64_t at = base * a.out.groups + group * stride + (row - base);
      if (group * kGroupInputs < a.depth) {
        quantize_group(x + group * kGroupInputs, a.out, at);
      } else {
        fill_group(a.out, at, 0);
      }
    }
  }
}

}  // namespace
}  // namespace brisk
