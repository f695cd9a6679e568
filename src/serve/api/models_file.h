// Which models a server has, as a person writes it down: a TOML file, or a directory of models.
#pragma once

#include <absl/status/statusor.h>

#include <string>
#include <string_view>

#include "serve/api/model_config.h"

namespace brisk::api {

inline constexpr size_t kModelsMax = 1000;

// `path`: a .toml file, or a directory whose .gguf files and Hugging Face directories (also one
// level further down: ORG/NAME) are the models. `base`: what a model has where the file does not
// say otherwise. Errors: those of the file system; InvalidArgument, with the place.
absl::StatusOr<ModelConfigs> read_models(const std::string& path, const ModelConfig& base);

// `directory`: what relative paths are relative to.
absl::StatusOr<ModelConfigs> parse_models(std::string_view toml, const std::string& directory,
                                          const ModelConfig& base);

// "4GiB", "512 MiB", "1000": bytes. Errors: InvalidArgument.
absl::StatusOr<int64_t> parse_bytes(std::string_view text);

}  // namespace brisk::api
