// What `brisk serve` is told about its models: one on the command line, or many with --models.
#pragma once

#include <absl/status/statusor.h>

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>
#include <vector>

#include "serve/api/model_config.h"
#include "serve/api/model_repository.h"

namespace brisk {

// A client may leave a few seconds of text lying before its request is paused.
inline api::ModelConfig base_model() {
  api::ModelConfig base;
  base.engine.unread_events_max = 512;
  return base;
}

struct ServedModelsOptions {
  std::string model;  // a path or a hub's name; empty: the default one
  bool offline = false;
  std::string models;  // a directory or a TOML file, instead
  std::vector<std::string> names;
  std::vector<std::string> loras;        // NAME=PATH
  api::ModelConfig base = base_model();  // what models have unless a file says otherwise
  uint64_t kv_bytes_max = 0;
  uint64_t store_bytes_max = uint64_t{10} << 30;
  uint64_t memory_bytes_max = 0;
  api::RepositoryOptions repository;
};

void add_served_models_options(CLI::App& app, ServedModelsOptions* options);

// Errors: InvalidArgument (options that exclude each other), those of the models' file.
absl::StatusOr<api::ModelConfigs> configured_models(const ServedModelsOptions& options);

// Loads what the server must have before it answers. With --models, one that cannot be loaded is
// only reported. Errors: those of the one model's load.
absl::Status preload(const ServedModelsOptions& options, const api::ModelConfigs& configs,
                     api::ModelRepository& models);

}  // namespace brisk
