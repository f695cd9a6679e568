// A config.json as transformers expects it.
#pragma once

#include "base/json.h"
#include "compute/tensor/dtype.h"
#include "model/checkpoint/config.h"
#include "model/spec.h"

namespace brisk {

// `config.architecture` is the model_type; `spec` says what the configuration leaves to the family;
// `dtype` is that of most weights.
Json hf_config(const ModelConfig& config, const ModelSpec& spec, DType dtype);

// transformers' name for a dtype ("bfloat16"); "float32" for what it has no name for.
std::string_view torch_dtype(DType dtype);

}  // namespace brisk
