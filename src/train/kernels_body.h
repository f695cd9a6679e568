// The one source of the kernels, compiled once for every instruction set. It uses no library code:
// an inline function of the library, compiled here, could be the copy that everybody runs.
#include "train/kernels.h"

namespace brisk::train {
namespace {

struct F32 {
  using Stored = float;
  static float load(float value) { return value; }
  static float store(float value) { return value; }
};

struct BF16 {
  using Stored = uint16_t;
  static float load(uint16_t bits) { return __builtin_bit_cast(float, uint32_t{bits} << 16); }
  // To nearest even. A NaN stays one: every loss is checked.
  static uint16_t store(float value) {
    const uint32_t bits = __builtin_bit_cast(uint32_t, value);
    const uint32_t rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16;
    const uint32_t nan = bits >> 16 | 0x40;
    return static_cast<uint16_t>((bits & 0x7FFFFFFF) > 0x7F800000 ? nan : rounded);
  }
};

template <class E>
const typename E::Stored* row_of(const void* data, int64_t row, int64_t width) {
  return static_cast<const typename E::Stored*>(data) + row * width;
}

template <class E>
typename E::Stored* row_of(void* data, int64_t row, int64_t width) {
  return static_cast<typename E::Stored*>(data) + row * width;
}

inline float max_of(float a, float b) { return a > b ? a : b; }
inline float min_of(float a, float b) { return a < b ? a : b; }

// e^x with a relative error below 3e-7: 2^n times a polynomial on [-ln 2 / 2, ln 2 / 2].
inline float exp_of(float x) {
  constexpr float kMagic = 0x1.8p23f;  // adding it rounds to a whole number
  const float bounded = min_of(max_of(x, -87.0f), 88.0f);
  const float shifted = bounded * 1.44269504f + kMagic;
  const float n = shifted - kMagic;
  const float r = (bounded - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1;
  const int32_t exponent = static_cast<int32_t>(n) + 127;
  // A NaN comes through `p`.
  return p * __builtin_bit_cast(float, exponent << 23) + (x - x);
}

template <class E>
void add_norm(const AddNorm& a, int64_t begin, int64_t end) {
  const int64_t width = a.width;
  for (int64_t row = begin; row < end; ++row) {
    const float* input = a.input + row * width;
    float* sum = a.sum + row * width;
    float squares = 0;
    if (a.delta != nullptr) {
      const auto* delta = row_of<E>(a.delta, row, width);
#pragma omp simd
      for (int64_t i = 0; i < width; ++i) sum[i] = input[i] + E::load(delta[i]);
    } else if (sum != input) {
#pragma omp simd
      for (int64_t i = 0; i < width; ++i) sum[i] = input[i];
    }
#pragma omp simd reduction(+ : squares)
    for (int64_t i = 0; i < width; ++i) squares += sum[i] * sum[i];
    const float inverse = 1 / __builtin_sqrtf(squares / static_cast<float>(width) + a.eps);
    a.inverse_rms[row] = inverse;
    auto* output = row_of<E>(a.output, row, width);
#pragma omp simd
    for (int64_t i = 0; i < width; ++i) output[i] = E::store(sum[i] * inverse * a.weight[i]);
  }
}

template <class E>
void add_norm_grad(const AddNormGrad& a, int64_t begin, int64_t end) {
  const int64_t width = a.width;
  for (int64_t row = begin; row < end; ++row) {
    const float* sum = a.sum + row * width;
    const auto* grad = row_of<E>(a.output_grad, row, width);
    float* out = a.input_grad + row * width;
    const float inverse = a.inverse_rms[row];
    float dot = 0;
#pragma omp simd reduction(+ : dot)
    for (int64_t i = 0; i < width; ++i) dot += E::load(grad[i]) * a.weight[i] * sum[i];
    const float pull = dot * inverse * inverse * inverse / static_cast<float>(width);
#pragma omp simd
    for (int64_t i = 0; i < width; ++i) {
      const float g = E::load(grad[i]);
      a.weight_grad[i] += g * sum[i] * inverse;
      out[i] = g * a.weight[i] * inverse - sum[i] * pull;
    }
    if (a.sum_grad != nullptr) {
      const float* from_sum = a.sum_grad + row * width;
#pragma omp simd
      for (int64_t i = 0; i < width; ++i) out[i] += from_sum[i];
    }
    if (a.delta_grad != nullptr) {
      auto* delta = row_of<E>(a.delta_grad, row, width);
#pragma omp simd
      for (int64_t i = 0; i < width; ++i) delta[i] = E::store(out[i]);
    }
  }
}

// Where head `head` of a token lies in q's layout.
inline int64_t query_row(const HeadShape& s, int64_t token, int64_t head) {
  const int64_t sequence = token / s.sequence, at = token % s.sequence;
  return (sequence * s.heads + head) * s.sequence + at;
}

inline int64_t key_row(const HeadShape& s, int64_t token, int64_t head) {
  const int64_t sequence = token / s.sequence, at = token % s.sequence;
  return (sequence * s.kv_heads + head) * s.sequence + at;
}

// `sign` -1 turns back.
template <class E>
void rotate(const typename E::Stored* in, typename E::Stored* out, const float* cos,
            const float* sin, float sign, int64_t half) {
#pragma omp simd
  for (int64_t i = 0; i < half; ++i) {
    const float a = E::load(in[i]), b = E::load(in[i + half]);
    const float s = sign * sin[i];
    out[i] = E::store(a * cos[i] - b * s);
    out[i + half] = E::store(b * cos[i] + a * s);
  }
}

template <class E>
void copy(const typename E::Stored* in, typename E::Stored* out, int64_t count) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) out[i] = in[i];
}

template <class E>
void split_heads(const SplitHeads& a, int64_t begin, int64_t end) {
  const HeadShape& s = a.shape;
  const int64_t dim = s.head_dim, half = dim / 2;
  for (int64_t token = begin; token < end; ++token) {
    const auto* in = row_of<E>(a.qkv, token, (s.heads + 2 * s.kv_heads) * dim);
    const float* cos = a.cos + a.positions[token] * half;
    const float* sin = a.sin + a.positions[token] * half;
    for (int64_t head = 0; head < s.heads; ++head, in += dim) {
      rotate<E>(in, row_of<E>(a.q, query_row(s, token, head), dim), cos, sin, 1, half);
    }
    for (int64_t head = 0; head < s.kv_heads; ++head, in += dim) {
      rotate<E>(in, row_of<E>(a.k, key_row(s, token, head), dim), cos, sin, 1, half);
    }
    for (int64_t head = 0; head < s.kv_heads; ++head, in += dim) {
      copy<E>(in, row_of<E>(a.v, key_row(s, token, head), dim), dim);
    }
  }
}

template <class E>
void split_heads_grad(const SplitHeads& a, int64_t begin, int64_t end) {
  const HeadShape& s = a.shape;
  const int64_t dim = s.head_dim, half = dim / 2;
  for (int64_t token = begin; token < end; ++token) {
    auto* out = row_of<E>(a.qkv, token, (s.heads + 2 * s.kv_heads) * dim);
    const float* cos = a.cos + a.positions[token] * half;
    const float* sin = a.sin + a.positions[token] * half;
    for (int64_t head = 0; head < s.heads; ++head, out += dim) {
      rotate<E>(row_of<E>(a.q, query_row(s, token, head), dim), out, cos, sin, -1, half);
    }
    for (int64_t head = 0; head < s.kv_heads; ++head, out += dim) {
      rotate<E>(row_of<E>(a.k, key_row(s, token, head), dim), out, cos, sin, -1, half);
    }
    for (int64_t head = 0; head < s.kv_heads; ++head, out += dim) {
      copy<E>(row_of<E>(a.v, key_row(s, token, head), dim), out, dim);
    }
  }
}

template <class E>
void merge_heads(const MergeHeads& a, int64_t begin, int64_t end) {
  const HeadShape& s = a.shape;
  for (int64_t token = begin; token < end; ++token) {
    auto* out = row_of<E>(a.merged, token, s.heads * s.head_dim);
    for (int64_t head = 0; head < s.heads; ++head, out += s.head_dim) {
      copy<E>(row_of<E>(a.apart, query_row(s, token, head), s.head_dim), out, s.head_dim);
    }
  }
}

template <class E>
void merge_heads_grad(const MergeHeads& a, int64_t begin, int64_t end) {
  const HeadShape& s = a.shape;
  for (int64_t token = begin; token < end; ++token) {
    const auto* in = row_of<E>(a.merged, token, s.heads * s.head_dim);
    for (int64_t head = 0; head < s.heads; ++head, in += s.head_dim) {
      copy<E>(in, row_of<E>(a.apart, query_row(s, token, head), s.head_dim), s.head_dim);
    }
  }
}

struct Seen {
  int64_t begin, end;  // keys, in their sequence
};

inline Seen seen_by(const HeadShape& s, const int32_t* starts, int64_t query) {
  const int64_t at = query % s.sequence;
  const int64_t sequence = query / (s.heads * s.sequence);
  return {starts[sequence * s.sequence + at], at + 1};
}

template <class E>
void zero_unseen(typename E::Stored* row, Seen seen, int64_t width) {
  for (int64_t i = 0; i < seen.begin; ++i) row[i] = 0;
  for (int64_t i = seen.end; i < width; ++i) row[i] = 0;
}

template <class E>
void softmax(const Softmax& a, int64_t begin, int64_t end) {
  const int64_t width = a.shape.sequence;
  for (int64_t query = begin; query < end; ++query) {
    const Seen seen = seen_by(a.shape, a.starts, query);
    auto* row = row_of<E>(a.scores, query, width);
    float largest = -3.0e38f, total = 0;
#pragma omp simd reduction(max : largest)
    for (int64_t i = seen.begin; i < seen.end; ++i) largest = max_of(largest, E::load(row[i]));
#pragma omp simd reduction(+ : total)
    for (int64_t i = seen.begin; i < seen.end; ++i) {
      total += exp_of((E::load(row[i]) - largest) * a.scale);
    }
    const float inverse = 1 / total;
#pragma omp simd
    for (int64_t i = seen.begin; i < seen.end; ++i) {
      row[i] = E::store(exp_of((E::load(row[i]) - largest) * a.scale) * inverse);
    }
    zero_unseen<E>(row, seen, width);
  }
}

template <class E>
void softmax_grad(const SoftmaxGrad& a, int64_t begin, int64_t end) {
  const int64_t width = a.shape.sequence;
  for (int64_t query = begin; query < end; ++query) {
    const Seen seen = seen_by(a.shape, a.starts, query);
    const auto* p = row_of<E>(a.probabilities, query, width);
    auto* row = row_of<E>(a.grad, query, width);
    float dot = 0;
#pragma omp simd reduction(+ : dot)
    for (int64_t i = seen.begin; i < seen.end; ++i) dot += E::load(p[i]) * E::load(row[i]);
#pragma omp simd
    for (int64_t i = seen.begin; i < seen.end; ++i) {
      row[i] = E::store(E::load(p[i]) * (E::load(row[i]) - dot) * a.scale);
    }
    zero_unseen<E>(row, seen, width);
  }
}

template <class E>
void swiglu(const SwiGlu& a, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; ++row) {
    const auto* gate = row_of<E>(a.gate_up, row, 2 * a.width);
    const auto* up = gate + a.width;
    auto* out = row_of<E>(a.output, row, a.width);
#pragma omp simd
    for (int64_t i = 0; i < a.width; ++i) {
      const float g = E::load(gate[i]);
      out[i] = E::store(g / (1 + exp_of(-g)) * E::load(up[i]));
    }
  }
}

template <class E>
void swiglu_grad(const SwiGlu& a, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; ++row) {
    const auto* gate = row_of<E>(a.gate_up, row, 2 * a.width);
    const auto* up = gate + a.width;
    const auto* grad = row_of<E>(a.output_grad, row, a.width);
    auto* gate_grad = row_of<E>(a.gate_up_grad, row, 2 * a.width);
    auto* up_grad = gate_grad + a.width;
#pragma omp simd
    for (int64_t i = 0; i < a.width; ++i) {
      const float g = E::load(gate[i]), out = E::load(grad[i]);
      const float sigmoid = 1 / (1 + exp_of(-g));
      up_grad[i] = E::store(out * g * sigmoid);
      gate_grad[i] = E::store(out * E::load(up[i]) * sigmoid * (1 + g * (1 - sigmoid)));
    }
  }
}

struct Normalizer {
  float largest;
  float total;  // sum of exp((x - largest) / temperature)
};

template <class E>
Normalizer normalizer_of(const typename E::Stored* row, int64_t count, float inverse_temperature) {
  float largest = -3.0e38f, total = 0;
#pragma omp simd reduction(max : largest)
  for (int64_t i = 0; i < count; ++i) largest = max_of(largest, E::load(row[i]));
#pragma omp simd reduction(+ : total)
  for (int64_t i = 0; i < count; ++i) {
    total += exp_of((E::load(row[i]) - largest) * inverse_temperature);
  }
  return {largest, total};
}

template <class E>
void learn_target(const TokenLoss& a, int64_t row) {
  auto* logits = row_of<E>(a.logits, row, a.vocab);
  const Normalizer z = normalizer_of<E>(logits, a.vocab, 1);
  const float target = E::load(logits[a.targets[row]]) - z.largest;
  a.losses[row] = __builtin_logf(z.total) - target;
  const float scale = a.weights[row] / z.total;
#pragma omp simd
  for (int64_t i = 0; i < a.vocab; ++i) {
    logits[i] = E::store(exp_of(E::load(logits[i]) - z.largest) * scale);
  }
  const float right = exp_of(target) / z.total - 1;
  logits[a.targets[row]] = E::store(right * a.weights[row]);
}

template <class E>
void learn_teacher(const TokenLoss& a, int64_t row) {
  auto* logits = row_of<E>(a.logits, row, a.vocab);
  const auto* teacher = row_of<E>(a.teacher_logits, row, a.vocab);
  const float inverse = 1 / a.temperature;
  const Normalizer plain = normalizer_of<E>(logits, a.vocab, 1);
  const Normalizer soft = normalizer_of<E>(logits, a.vocab, inverse);
  const Normalizer wanted = normalizer_of<E>(teacher, a.vocab, inverse);
  const float target = E::load(logits[a.targets[row]]) - plain.largest;
  a.losses[row] = __builtin_logf(plain.total) - target;
  const float log_ratio = __builtin_logf(soft.total) - __builtin_logf(wanted.total);
  const float hard_share = a.weights[row] * (1 - a.alpha);
  const float soft_share = a.weights[row] * a.alpha * a.temperature;  // T^2 / T
  const float right = exp_of(target) / plain.total - 1;
  const float x_right = E::load(logits[a.targets[row]]);
  float divergence = 0;
#pragma omp simd reduction(+ : divergence)
  for (int64_t i = 0; i < a.vocab; ++i) {
    const float x = E::load(logits[i]);
    const float mine = (x - soft.largest) * inverse;
    const float its = (E::load(teacher[i]) - wanted.largest) * inverse;
    const float p = exp_of(its) / wanted.total;
    divergence += p * (its - mine + log_ratio);
    const float hard = exp_of(x - plain.largest) / plain.total;
    logits[i] = E::store(hard_share * hard + soft_share * (exp_of(mine) / soft.total - p));
  }
  a.divergences[row] = divergence;
  // Once more where the target is: the difference of two rounded numbers near 1 would be noise.
  const float mine = exp_of((x_right - soft.largest) * inverse) / soft.total;
  const float its =
      exp_of((E::load(teacher[a.targets[row]]) - wanted.largest) * inverse) / wanted.total;
  logits[a.targets[row]] = E::store(hard_share * right + soft_share * (mine - its));
}

template <class E>
void token_loss(const TokenLoss& a, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; ++row) {
    if (a.teacher_logits == nullptr) {
      learn_target<E>(a, row);
    } else {
      learn_teacher<E>(a, row);
    }
  }
}

void adamw(const AdamWStep& a, int64_t begin, int64_t end) {
#pragma omp simd
  for (int64_t i = begin; i < end; ++i) {
    const float grad = a.grad[i] * a.grad_scale;
    const float first = a.beta1 * a.first[i] + (1 - a.beta1) * grad;
    const float second = a.beta2 * a.second[i] + (1 - a.beta2) * grad * grad;
    a.first[i] = first;
    a.second[i] = second;
    const float step = first * a.correction1 / (__builtin_sqrtf(second * a.correction2) + a.eps);
    a.master[i] = a.master[i] * (1 - a.decay) - a.learning_rate * step;
  }
  if (a.average == nullptr) return;
#pragma omp simd
  for (int64_t i = begin; i < end; ++i) {
    a.average[i] = a.average_decay * a.average[i] + (1 - a.average_decay) * a.master[i];
  }
}

template <class E>
void round_groups(const RoundGroups& a, int64_t begin, int64_t end) {
  constexpr int64_t kGroup = 32;
  constexpr float kMagic = 0x1.8p23f;
  for (int64_t group = begin; group < end; ++group) {
    const auto* in = row_of<E>(a.input, group, kGroup);
    auto* out = row_of<E>(a.output, group, kGroup);
    float largest = 0;
#pragma omp simd reduction(max : largest)
    for (int64_t i = 0; i < kGroup; ++i) {
      largest = max_of(largest, __builtin_fabsf(E::load(in[i])));
    }
    const float scale = largest * (1.0f / 127);
    const float inverse = largest > 1e-35f ? 127.0f / largest : 0.0f;
#pragma omp simd
    for (int64_t i = 0; i < kGroup; ++i) {
      const float code = (E::load(in[i]) * inverse + kMagic) - kMagic;
      out[i] = E::store(code * scale);
    }
  }
}

template <class E>
constexpr Kernels kTable = {
    add_norm<E>,     add_norm_grad<E>,    split_heads<E>, split_heads_grad<E>,
    merge_heads<E>,  merge_heads_grad<E>, softmax<E>,     softmax_grad<E>,
    swiglu<E>,       swiglu_grad<E>,      token_loss<E>,  adamw,
    round_groups<E>,
};

}  // namespace
}  // namespace brisk::train
