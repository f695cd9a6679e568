#include "train/distill.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/rng.h"
#include "base/status.h"
#include "compute/tensor/half.h"
#include "model/checkpoint/safetensors.h"
#include "model/checkpoint/safetensors_writer.h"
#include "train/attention_map.h"

namespace brisk::train {
namespace {

constexpr int64_t kCacheSequences = 8;  // that the teacher reads at once

std::vector<uint32_t> learned_before(const Corpus& corpus) {
  std::vector<uint32_t> rows(corpus.tokens());
  uint32_t count = 0;
  for (uint64_t i = 0; i < rows.size(); ++i) {
    rows[i] = count;
    count += corpus.is_learned(i) ? 1 : 0;
  }
  rows.push_back(count);
  return rows;
}

template <class T>
std::span<const std::byte> bytes_in(const std::vector<T>& values) {
  return std::as_bytes(std::span(values));
}

struct CacheContents {
  std::vector<int32_t> tokens;
  std::vector<uint16_t> logits;  // f16
};

// What a cut kept the teacher from reading: the token itself, alone.
CacheContents only_targets(const Corpus& corpus, const std::vector<uint32_t>& rows, int64_t k) {
  CacheContents contents;
  contents.tokens.resize(static_cast<size_t>(rows.back()) * static_cast<size_t>(k));
  contents.logits.resize(contents.tokens.size());
  for (uint64_t i = 0; i < corpus.tokens(); ++i) {
    if (!corpus.is_learned(i)) continue;
    std::fill_n(contents.tokens.begin() + int64_t{rows[i]} * k, k, corpus.token(i));
  }
  return contents;
}

}  // namespace

absl::Status TeacherCache::write(
    const std::string& path, const Corpus& corpus, LlamaModel& teacher, int64_t length, int64_t k,
    const std::function<void(uint64_t done, uint64_t total)>& on_progress) {
  const at::NoGradGuard no_grad;
  k = std::min(k, teacher.shape().vocab);
  const std::vector<uint32_t> rows = learned_before(corpus);
  CacheContents contents = only_targets(corpus, rows, k);
  PackedStream stream(corpus, {.length = length, .shuffle = false});
  while (true) {
    const Batch batch = stream.next(kCacheSequences);
    if (batch.sequences == 0) break;
    const LearnedRows learned = learned_rows(batch, 1);
    const at::Tensor hidden =
        teacher.forward(teacher.input_of(batch)).index_select(0, learned.rows);
    const auto [values, ids] = linear(hidden, teacher.head()).to(at::kFloat).topk(k, 1);
    for (int64_t i = 0; i < learned.rows.size(0); ++i) {
      const auto slot = static_cast<size_t>(learned.rows.data_ptr<int64_t>()[i]);
      const int64_t row = int64_t{rows[batch.origins[slot]]} * k;
      for (int64_t j = 0; j < k; ++j) {
        const auto at = static_cast<size_t>(row + j);
        contents.tokens[at] = static_cast<int32_t>(ids.data_ptr<int64_t>()[i * k + j]);
        contents.logits[at] = f32_to_f16(values.data_ptr<float>()[i * k + j]);
      }
    }
    if (on_progress) {
      on_progress(static_cast<uint64_t>(stream.position().sequence),
                  static_cast<uint64_t>(stream.sequences_in_epoch()));
    }
  }
  const std::vector<int64_t> shape = {int64_t{rows.back()}, k};
  const std::vector<int64_t> fingerprint = {static_cast<int64_t>(corpus.fingerprint())};
  BRISK_ASSIGN_OR_RETURN(TensorFileWriter writer,
                         create_safetensors(path, {{"tokens", DType::kI32, shape},
                                                   {"logits", DType::kF16, shape},
                                                   {"fingerprint", DType::kI64, {1}}}));
  BRISK_RETURN_IF_ERROR(writer.append(bytes_in(contents.tokens)));
  BRISK_RETURN_IF_ERROR(writer.append(bytes_in(contents.logits)));
  BRISK_RETURN_IF_ERROR(writer.append(bytes_in(fingerprint)));
  return writer.finish();
}

absl::StatusOr<TeacherCache> TeacherCache::open(const std::string& path, const Corpus& corpus,
                                                int64_t vocab) {
  BRISK_ASSIGN_OR_RETURN(MappedFile file, MappedFile::open(path));
  TeacherCache cache(std::move(file));
  auto parsed = parse_safetensors(cache.file_.bytes());
  if (!parsed.ok()) return annotate(parsed.status(), path);
  int64_t fingerprint = 0;
  for (const SafetensorsTensor& tensor : parsed->tensors) {
    if (tensor.name == "tokens") cache.tokens_ = tensor.tensor;
    if (tensor.name == "logits") cache.logits_ = tensor.tensor;
    if (tensor.name == "fingerprint" && tensor.tensor.data.size() == sizeof fingerprint) {
      std::memcpy(&fingerprint, tensor.tensor.data.data(), sizeof fingerprint);
    }
  }
  cache.rows_ = learned_before(corpus);
  const std::vector<int64_t>& shape = cache.tokens_.shape;
  if (fingerprint != static_cast<int64_t>(corpus.fingerprint()) || shape.size() != 2 ||
      shape[0] != int64_t{cache.rows_.back()} || shape != cache.logits_.shape ||
      cache.tokens_.dtype != DType::kI32 || cache.logits_.dtype != DType::kF16) {
    return invalid_input(
        "{}: the teacher read other data, or with another tokenizer; delete the "
        "file, and it is made again",
        path);
  }
  const auto* ids = reinterpret_cast<const int32_t*>(cache.tokens_.data.data());
  const bool fits = std::all_of(ids, ids + cache.tokens_.values(),
                                [vocab](int32_t id) { return id >= 0 && id < vocab; });
  if (!fits) return invalid_input("{}: it has tokens beyond the vocabulary of {}", path, vocab);
  return cache;
}

TeacherCache::Top TeacherCache::at(const Batch& batch) const {
  const int64_t k = tokens_.shape[1], count = batch.learned();
  Top top = {at::empty({count, k}, at::kFloat), at::empty({count, k}, at::kInt)};
  int64_t to = 0;
  for (size_t i = 0; i < batch.targets.size(); ++i) {
    if (batch.targets[i] < 0) continue;
    const int64_t row = int64_t{rows_[batch.origins[i]]} * k;
    std::memcpy(top.tokens.data_ptr<int32_t>() + to,
                tokens_.data.data() + static_cast<size_t>(row) * sizeof(int32_t),
                static_cast<size_t>(k) * sizeof(int32_t));
    for (int64_t j = 0; j < k; ++j) {
      uint16_t bits = 0;
      std::memcpy(&bits, logits_.data.data() + static_cast<size_t>(row + j) * sizeof bits,
                  sizeof bits);
      top.logits.data_ptr<float>()[to + j] = f16_to_f32(bits);
    }
    to += k;
  }
  return top;
}

Distillation::Distillation(const LlamaModel& student, const Teacher& teacher,
                           const DistillSettings& settings, uint64_t seed)
    : teacher_(teacher), settings_(settings), type_(student.type()) {
  BRISK_CHECK((teacher.model == nullptr) != (teacher.cache == nullptr));
  BRISK_CHECK(teacher.model != nullptr || settings.attention_weight <= 0);
  if (settings.hidden_weight <= 0) return;
  BRISK_CHECK(teacher.model != nullptr);
  const int64_t rows = teacher.model->shape().dim, columns = student.shape().dim;
  projection_.parts = {{"distillation.projection", rows}};
  projection_.is_linear = true;
  projection_.master = at::empty({rows, columns});
  Rng rng(seed, 0x9E3779B9);
  for (int64_t i = 0; i < rows * columns; ++i) {
    projection_.master.data_ptr<float>()[i] =
        static_cast<float>(rng.next_gaussian() / std::sqrt(static_cast<double>(columns)));
  }
  projection_.grad = at::zeros_like(projection_.master);
  refresh();
}

std::vector<Weight*> Distillation::weights() {
  if (!projection_.master.defined()) return {};
  return {&projection_};
}

void Distillation::refresh() {
  if (!projection_.master.defined()) return;
  projection_.seen = projection_.master;
  projection_.compute = projection_.master.to(scalar_type(type_));
}

void Distillation::learn(LlamaModel& model, const Batch& batch, int64_t learned_total,
                         LossSums& sums) {
  const ModelInput input = model.input_of(batch);
  const LearnedRows learned = learned_rows(batch, learned_total);
  Targets targets = {.tokens = learned.tokens, .weights = learned.weights};
  targets.alpha = settings_.alpha;
  targets.temperature = settings_.temperature;
  const bool compares_attention = settings_.attention_weight > 0;
  at::Tensor student_qkv, teacher_attention;
  if (teacher_.model != nullptr) {
    const at::NoGradGuard no_grad;
    LlamaModel& teacher = *teacher_.model;
    const ModelInput read = teacher.input_of(batch);
    at::Tensor qkv;
    targets.teacher_hidden = teacher.forward(read, &qkv).index_select(0, learned.rows);
    targets.teacher_head = teacher.head().compute;
    if (compares_attention) {
      teacher_attention = mean_attention(qkv, read.layout, teacher.rotary(), learned.rows);
    }
  } else {
    TeacherCache::Top top = teacher_.cache->at(batch);
    targets.top_logits = std::move(top.logits);
    targets.top_tokens = std::move(top.tokens);
  }
  const at::Tensor hidden = model.forward(input, &student_qkv).index_select(0, learned.rows);
  at::Tensor loss = output_loss(hidden, model.head(), targets, sums);
  if (projection_.master.defined()) {
    const at::Tensor distance =
        linear(hidden, projection_).to(at::kFloat) - targets.teacher_hidden.to(at::kFloat);
    const double share = static_cast<double>(settings_.hidden_weight) /
                         static_cast<double>(projection_.master.size(0) * learned_total);
    loss = loss + distance.pow(2).sum().mul(share);
  }
  if (compares_attention) {
    const at::Tensor attention =
        mean_attention(student_qkv, input.layout, model.rotary(), learned.rows);
    loss = loss + attention_divergence(teacher_attention, attention, learned.weights)
                      .mul(settings_.attention_weight);
  }
  if (loss.requires_grad()) loss.backward();
}

}  // namespace brisk::train
