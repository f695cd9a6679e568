#include "serve/api/model_loader.h"

#include <algorithm>
#include <utility>

#include "base/status.h"
#include "base/units.h"
#include "compute/sys/mapped_file.h"
#include "compute/sys/thread_team.h"
#include "engine/engine_sizes.h"
#include "model/decoder.h"
#include "serve/api/chat_renderer.h"
#include "serve/api/openai_response.h"

namespace brisk::api {
namespace {

constexpr int64_t kUsefulContext = 4096;  // where nobody asks for more
constexpr size_t kTemplateBytesMax = 1 << 20;

LoadOptions load_options(const ModelConfig& config) {
  return {.tokenizer_path = config.tokenizer,
          .context_max = config.engine.context_max,
          .activations = config.activations,
          .threads = config.engine.threads};
}

GenerationDefaults overridden(GenerationDefaults defaults, const GenerationDefaults& by) {
  if (by.temperature.has_value()) defaults.temperature = by.temperature;
  if (by.top_p.has_value()) defaults.top_p = by.top_p;
  if (by.top_k.has_value()) defaults.top_k = by.top_k;
  if (by.min_p.has_value()) defaults.min_p = by.min_p;
  if (by.repetition_penalty.has_value()) defaults.repetition_penalty = by.repetition_penalty;
  return defaults;
}

absl::Status load_adapters(const ModelConfig& config, const ServedModel& served) {
  for (const auto& [name, path] : config.adapters) {
    if (served.is_own_name(name)) {
      return invalid_input("adapter {}: the model itself has that name", name);
    }
    const auto adapter = served.engine->adapters().load(name, path);
    if (!adapter.ok()) return annotate(adapter.status(), "adapter " + name);
  }
  return absl::OkStatus();
}

class FileLoader final : public ModelLoader {
 public:
  absl::StatusOr<ModelMemory> measure(const ModelConfig& config) override {
    BRISK_ASSIGN_OR_RETURN(const ModelOutline outline,
                           outline_model(config.path, load_options(config)));
    const Model& model = *outline.model;
    const EngineOptions& options = config.engine;
    const KvElement element = kv_element_for(model, options.kv_dtype);
    const int64_t block_bytes = kv_block_bytes(model.spec, element);
    const int threads = options.threads > 0 ? options.threads : usable_threads();
    int64_t context = model.spec.context_length;
    if (options.context_max > 0) context = std::min(context, options.context_max);
    ModelMemory memory;
    memory.weights = outline.packed_bytes + outline.mapped_bytes;
    memory.steps = step_memory_bytes(
        model.spec,
        {.rows_max = options.tokens_per_step_max, .logits_rows_max = logits_rows_max(options)},
        threads);
    if (options.kv_tokens > 0) {
      memory.kv_min = ceil_div<int64_t>(options.kv_tokens, kKvBlockTokens) * block_bytes;
      memory.kv_max = memory.kv_min;
    } else if (options.kv_bytes_max > 0) {
      memory.kv_min = memory.kv_max = options.kv_bytes_max;
    } else {
      const int64_t useful = options.context_max > 0 ? context : std::min(context, kUsefulContext);
      const int64_t sequence = ceil_div<int64_t>(context, kKvBlockTokens) * block_bytes;
      memory.kv_min = ceil_div<int64_t>(useful, kKvBlockTokens) * block_bytes;
      memory.kv_max = sequence * options.sequences_max;
    }
    return memory;
  }

  absl::StatusOr<ServedModel> load(const ModelConfig& config, int64_t kv_bytes,
                                   const std::function<void(double)>& progress) override {
    LoadOptions load = load_options(config);
    load.progress = progress;
    BRISK_ASSIGN_OR_RETURN(std::shared_ptr<const Model> model, load_model(config.path, load));
    if (model->tokenizer == nullptr) {
      return invalid_input("{} has no tokenizer; name one (--tokenizer)", config.path);
    }
    ServedModel served;
    served.tokenizer = model->tokenizer.get();
    served.names = {config.name};
    served.names.insert(served.names.end(), config.aliases.begin(), config.aliases.end());
    served.created = unix_seconds();
    served.defaults = overridden(model->checkpoint->generation, config.sampling);
    served.pooling = config.pooling;
    served.lora_directory = config.lora_directory;
    std::string chat_template;
    if (!config.chat_template.empty()) {
      BRISK_ASSIGN_OR_RETURN(chat_template, read_file(config.chat_template, kTemplateBytesMax));
    }
    BRISK_ASSIGN_OR_RETURN(served.renderer, make_chat_renderer(*model, chat_template));
    served.tools = chat_tool_support(*model, chat_template, config.tool_call_parser);
    EngineOptions options = config.engine;
    if (options.kv_tokens == 0) options.kv_bytes_max = kv_bytes;
    BRISK_ASSIGN_OR_RETURN(served.engine, Engine::create(std::move(model), options));
    BRISK_RETURN_IF_ERROR(load_adapters(config, served));
    return served;
  }
};

}  // namespace

int64_t ModelMemory::kv_bytes(int64_t room) const {
  return std::clamp((room - weights - steps) / 2, kv_min, std::max(kv_min, kv_max));
}

std::unique_ptr<ModelLoader> make_model_loader() { return std::make_unique<FileLoader>(); }

}  // namespace brisk::api
