// A trained model as files that brisk, and others, load.
#pragma once

#include <absl/status/statusor.h>

#include <string>
#include <vector>

#include "compute/tensor/dtype.h"
#include "model/tokenizer/tokenizer.h"
#include "train/llama.h"
#include "train/shape.h"
#include "train/weight.h"

namespace brisk::train {

// The tokenizer of a run: where its files are, and what they say.
struct RunTokenizer {
  std::string path;  // a file or a directory
  TokenizerData data;
  std::unique_ptr<const Tokenizer> tokenizer;
  std::string chat_template;  // Jinja
};

// `chat_template_path` empty: the directory's own, else ChatML.
absl::StatusOr<RunTokenizer> open_tokenizer(const std::string& path,
                                            const std::string& chat_template_path);

struct ExportSettings {
  // "f32", "bf16": a Hugging Face directory; "q8_0", "q4_0", ...: a GGUF file.
  std::string format = "bf16";
};

// `out` ending in .gguf: a GGUF file with matrices in any format that brisk encodes; else a Hugging
// Face directory, f32, f16 or bf16. `weights` are the model's own, as the last refresh left them:
// rounded ones where the model was trained with them.
absl::Status export_model(const std::string& out, const DecoderShape& shape,
                          const std::vector<Weight*>& weights, const RunTokenizer& tokenizer,
                          const ExportSettings& settings);

// Writes adapter_config.json and adapter_model.safetensors, as PEFT does. `weights`: those of a
// model with adapters, of which only these are written.
absl::Status export_adapter(const std::string& out, const std::vector<Weight*>& weights,
                            const LoraSettings& settings, const std::string& base);

}  // namespace brisk::train
