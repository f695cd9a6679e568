// The model behind the endpoints: its engine, its names, and how text becomes its prompt.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/engine.h"
#include "engine/grammar_cache.h"
#include "serve/api/generation_spec.h"
#include "serve/api/metrics.h"
#include "serve/api/openai_request.h"
#include "serve/api/running_requests.h"
#include "serve/tools/tool_call_syntax.h"

namespace brisk::api {

// The text of a chat as the model was trained to read it.
// Errors: InvalidArgument when there is no template or it refuses the messages.
using ChatRenderer = std::function<absl::StatusOr<std::string>(const ChatRequest& chat)>;

// Immutable after construction; any thread.
struct ServedModel {
  std::shared_ptr<Engine> engine;
  const Tokenizer* tokenizer = nullptr;  // of the engine's model
  std::vector<std::string> names;        // what requests may call it; the first is shown
  int64_t created = 0;                   // Unix time
  GenerationDefaults defaults;
  Pooling pooling = Pooling::kMean;  // of embeddings
  ChatRenderer renderer;
  ToolSupport tools;

  // Set by the repository that takes it in.
  std::shared_ptr<GrammarCache> grammars;
  ModelMetrics* metrics = nullptr;  // outlives this

  std::shared_ptr<RunningRequests> running;  // where its requests are listed; the repository's

  std::string lora_directory;  // where adapters may be loaded from over HTTP; empty: nowhere

  const std::string& name() const { return names.front(); }
  bool is_own_name(std::string_view asked) const;
  // The adapter that `asked` names; null for the model itself, which is also meant by no name.
  // Errors: NotFound, model_not_found.
  absl::StatusOr<std::shared_ptr<const Adapter>> adapter_named(std::string_view asked) const;
  absl::Status check_name(std::string_view asked) const { return adapter_named(asked).status(); }
};

// A model that stays loaded as long as somebody holds this.
using ModelLease = std::shared_ptr<const ServedModel>;

// Errors: InvalidArgument (no tokens, ids outside the vocabulary).
absl::StatusOr<std::vector<int32_t>> encode_prompt(const ServedModel& model,
                                                   const PromptText& prompt, bool add_special);

// The text of a chat. Errors: InvalidArgument when there is no template or it refuses the messages.
absl::StatusOr<std::string> render_chat(const ServedModel& model, const ChatRequest& chat);

// Renders and encodes a chat. A template that writes BOS itself never gets a second one.
absl::StatusOr<std::vector<int32_t>> encode_chat(const ServedModel& model, const ChatRequest& chat);

// `spec`'s request for `prompt`, cut and limited to the model's context, and constrained as it
// asks. `max_tokens_default` 0: the rest of the context. Errors: InvalidArgument,
// context_length_exceeded; NotFound, model_not_found.
absl::StatusOr<Request> make_request(const ServedModel& model, const GenerationSpec& spec,
                                     std::vector<int32_t> prompt, int max_tokens_default);

}  // namespace brisk::api
