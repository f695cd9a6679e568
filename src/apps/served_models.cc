#include "apps/served_models.h"

#include <map>
#include <utility>

#include "apps/default_model.h"
#include "apps/engine_flags.h"
#include "apps/hub_model.h"
#include "base/log.h"
#include "base/status.h"
#include "serve/api/models_file.h"
#include "serve/tools/tool_call_syntax.h"

namespace brisk {
namespace {

void add_engine_options(CLI::App& app, ServedModelsOptions& options) {
  EngineOptions& engine = options.base.engine;
  app.add_option("--threads", engine.threads, "compute threads; 0: as many as allowed");
  app.add_option("--tokens-per-step", engine.tokens_per_step_max, "token budget of a step")
      ->capture_default_str();
  app.add_option("--sequences-max", engine.sequences_max, "sequences in one step")
      ->capture_default_str();
  app.add_option("--queue-max", engine.queue_max, "requests waiting; beyond: 429")
      ->capture_default_str();
  app.add_option("--ttft-max", engine.first_token_seconds_max,
                 "refuse requests (429) whose first token is predicted to take longer, in seconds; "
                 "0: take all");
  app.add_option("--stretch", engine.stretch_percent,
                 "percent of its time that prompts may stretch a step to while others generate; 0: "
                 "without limit")
      ->capture_default_str();
  add_policy_option(app, &engine.policy);
  app.add_flag("!--no-prefix-cache", engine.prefix_cache, "compute every prompt from its start");
  app.add_option("--kv-store", engine.store_directory,
                 "directory where prompts' KV is kept, so that they are not computed again after a "
                 "restart");
  app.add_option("--kv-store-max", options.store_bytes_max, "its size at most, e.g. 10GiB")
      ->transform(CLI::AsSizeValue(false))
      ->default_str("10GiB");
  app.add_option("--context", engine.context_max, "tokens of a sequence; 0: the model's");
  app.add_option("--kv-tokens", engine.kv_tokens, "tokens the KV cache holds; 0: as memory allows");
  app.add_option("--kv-memory", options.kv_bytes_max, "memory for the KV cache, e.g. 4GiB")
      ->transform(CLI::AsSizeValue(false));
  add_kv_dtype_option(app, &engine.kv_dtype);
  add_activations_option(app, &options.base.activations);
}

void add_lora_options(CLI::App& app, ServedModelsOptions& options) {
  app.add_option("--lora", options.loras,
                 "a LoRA adapter that requests may name as their model (may be repeated)")
      ->type_name("NAME=PATH")
      ->allow_extra_args(false);  // what follows may be the model
  app.add_option("--lora-dir", options.base.lora_directory,
                 "directory that POST /v1/load_lora_adapter may load from; without it: 403")
      ->check(CLI::ExistingDirectory);
  app.add_option("--loras-max", options.base.engine.adapters_max, "adapters loaded at once")
      ->capture_default_str();
}

absl::Status read_loras(const std::vector<std::string>& loras, api::ModelConfig* model) {
  for (const std::string& lora : loras) {
    const size_t equals = lora.find('=');
    if (equals == std::string::npos) return invalid_input("--lora {}: give NAME=PATH", lora);
    model->adapters.emplace_back(lora.substr(0, equals), lora.substr(equals + 1));
  }
  return absl::OkStatus();
}

}  // namespace

void add_served_models_options(CLI::App& app, ServedModelsOptions* options) {
  app.add_option("model", options->model,
                 "a GGUF file, a Hugging Face directory, ORG/NAME[:FILE] on a hub, ... (default: "
                 "the small model that ships with brisk)");
  app.add_flag("--offline", options->offline, "fetch nothing from a hub");
  app.add_option("--models", options->models,
                 "several models instead: a directory of them, or a TOML file that describes them; "
                 "looked at again on SIGHUP")
      ->type_name("DIR|FILE.toml")
      ->excludes("model");
  app.add_option("--models-memory", options->memory_bytes_max,
                 "memory for all loaded models, e.g. 20GiB; default: nine tenths of what is free")
      ->transform(CLI::AsSizeValue(false));
  app.add_option("--idle-unload", options->repository.idle_seconds_max,
                 "unload a model that was not used for so long, e.g. 10m; 0: never")
      ->transform(
          CLI::AsNumberWithUnit(std::map<std::string, double>{{"s", 1}, {"m", 60}, {"h", 3600}},
                                CLI::AsNumberWithUnit::CASE_INSENSITIVE, "TIME"));
  app.add_option("--load-wait", options->repository.wait_seconds_max,
                 "seconds that a request waits for a model that is being loaded; then: 503")
      ->capture_default_str();
  app.add_option("--tokenizer", options->base.tokenizer,
                 "tokenizer file, where the model has none");
  app.add_option("--chat-template", options->base.chat_template,
                 "file with the Jinja chat template to use instead of the model's");
  app.add_option("--tool-call-parser", options->base.tool_call_parser,
                 "how the model writes calls of tools; auto: as its chat template shows")
      ->check(CLI::IsMember(api::tool_call_syntax_choices()))
      ->capture_default_str();
  app.add_option_function<std::string>(
         "--pooling",
         [options](const std::string& name) {
           options->base.pooling = name == "last" ? Pooling::kLast : Pooling::kMean;
         },
         "how embeddings are made of hidden states: their mean, or the last token's")
      ->check(CLI::IsMember({"mean", "last"}))
      ->default_str("mean");
  app.add_option("--served-model-name", options->names,
                 "names that requests may use; the first is shown")
      ->delimiter(',');
  add_engine_options(app, *options);
  add_lora_options(app, *options);
}

absl::StatusOr<api::ModelConfigs> configured_models(const ServedModelsOptions& options) {
  api::ModelConfig base = options.base;
  base.engine.kv_bytes_max = static_cast<int64_t>(options.kv_bytes_max);
  base.engine.store_bytes_max = static_cast<int64_t>(options.store_bytes_max);
  if (!options.models.empty()) {
    if (!options.names.empty() || !options.loras.empty() || !base.engine.store_directory.empty()) {
      return invalid_input(
          "--served-model-name, --lora and --kv-store are about one model: with --models, give "
          "names and adapters in the TOML file");
    }
    return api::read_models(options.models, base);
  }
  BRISK_ASSIGN_OR_RETURN(const std::string named, model_or_default(options.model));
  BRISK_ASSIGN_OR_RETURN(base.path, path_of_model(named, options.offline));
  base.name = base.path == named ? model_name_of(named) : named.substr(0, named.find(':'));
  if (!options.names.empty()) base.name = options.names.front();
  if (!options.names.empty()) base.aliases = {options.names.begin() + 1, options.names.end()};
  BRISK_RETURN_IF_ERROR(read_loras(options.loras, &base));
  base.preload = true;
  base.keep = options.repository.idle_seconds_max == 0;
  api::ModelConfigs configs = {.models = {std::move(base)}};
  BRISK_RETURN_IF_ERROR(api::check(configs));
  return configs;
}

absl::Status preload(const ServedModelsOptions& options, const api::ModelConfigs& configs,
                     api::ModelRepository& models) {
  for (const api::ModelConfig& model : configs.models) {
    if (!model.preload) continue;
    const absl::Status status = models.load(model.name);
    if (status.ok()) continue;
    if (options.models.empty()) return status;
    spdlog::error("{} cannot be loaded: {}", model.name, message_of(status));
  }
  return absl::OkStatus();
}

}  // namespace brisk
