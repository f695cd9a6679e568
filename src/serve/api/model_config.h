// What a server is told about a model before it is loaded.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "engine/engine.h"
#include "model/model.h"

namespace brisk::api {

struct ModelConfig {
  std::string name;                       // of requests and metrics; not empty
  std::vector<std::string> aliases = {};  // what requests may call it too
  std::string path = {};
  std::string tokenizer = {};             // a file, where the model has none
  std::string chat_template = {};         // a file; empty: the model's own
  std::string tool_call_parser = "auto";  // tool_call_syntax_choices()
  GenerationDefaults sampling = {};       // what is set goes before the checkpoint's own
  Pooling pooling = Pooling::kMean;       // of embeddings
  Activations activations = Activations::kInt8;
  EngineOptions engine = {};
  std::vector<std::pair<std::string, std::string>> adapters = {};  // name, path
  std::string lora_directory = {};  // where adapters may be loaded from over HTTP; empty: nowhere
  bool preload = false;             // before the server answers
  bool keep = false;                // neither idle time nor another model unloads it
  // What is said of it and the state of its files (file_stamp): where this differs, a model of the
  // same name is another one.
  std::string edition = {};
};

// The models of a server.
struct ModelConfigs {
  std::vector<ModelConfig> models = {};
  std::string default_name = {};  // what no name means; empty: the only model, or an error
};

// Errors: InvalidArgument when there is none, two share a name or alias, or the default is none of
// them.
absl::Status check(const ModelConfigs& configs);

}  // namespace brisk::api
