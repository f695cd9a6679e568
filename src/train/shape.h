// The sizes of a decoder that is trained: the engine's llama.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>

#include "base/json.h"
#include "model/checkpoint/config.h"
#include "model/spec.h"

namespace brisk::train {

struct DecoderShape {
  int64_t vocab = 0;
  int64_t dim = 256;
  int64_t layers = 6;
  int64_t heads = 4;
  int64_t kv_heads = 2;
  int64_t head_dim = 0;  // 0: dim / heads
  int64_t ffn = 768;
  int64_t context = 256;
  double rope_theta = 10000;
  double norm_eps = 1e-5;
  bool tied = true;

  bool operator==(const DecoderShape&) const = default;

  // Without the head where it is tied.
  int64_t parameters() const;
  // Of one token forward, in a sequence of `context` tokens.
  double operations_per_token() const;
};

// Fills head_dim. Errors: InvalidArgument naming the size that does not fit.
absl::Status complete(DecoderShape& shape);

Json to_json(const DecoderShape& shape);
absl::StatusOr<DecoderShape> shape_from_json(const Json& json);

// As checkpoints know it, in Hugging Face's layout; and back. Errors: Unimplemented for models that
// are not plain llamas.
ModelConfig config_of(const DecoderShape& shape);
absl::StatusOr<DecoderShape> shape_of(const ModelConfig& config, const ModelSpec& spec, bool tied);

}  // namespace brisk::train
