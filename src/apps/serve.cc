// brisk serve: a model behind OpenAI's API.
#include <pthread.h>

#include <csignal>
#include <cstdio>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "apps/command.h"
#include "apps/default_model.h"
#include "apps/engine_flags.h"
#include "base/status.h"
#include "compute/sys/mapped_file.h"
#include "engine/engine.h"
#include "serve/api/chat_renderer.h"
#include "serve/api/openai_response.h"
#include "serve/api/service.h"
#include "serve/console/console_page.h"
#include "serve/http/server.h"

namespace brisk {
namespace {

struct ServeOptions {
  std::string model;
  std::string tokenizer;
  std::string chat_template;
  std::string tool_call_parser = "auto";
  std::vector<std::string> names;
  std::string api_key;
  std::string api_keys_file;
  bool allow_no_key = false;
  bool console = true;
  double drain_seconds = 30;
  std::string metrics_alias;
  std::vector<std::string> loras;  // NAME=PATH
  std::string lora_directory;
  // A client may leave a few seconds of text lying before its request is paused.
  EngineOptions engine = {.unread_events_max = 512};
  Activations activations = Activations::kInt8;
  uint64_t kv_bytes_max = 0;
  uint64_t store_bytes_max = uint64_t{10} << 30;
  uint64_t body_bytes_max = http::Limits{}.body_bytes_max;
  http::ServerOptions http;
};

absl::Status check(const ServeOptions& options) {
  if (options.api_key.empty() && options.api_keys_file.empty() && !options.allow_no_key &&
      !http::is_loopback(options.http.host)) {
    return invalid_input(
        "{} can be reached from other machines: set a key with --api-key or BRISK_API_KEY, or "
        "several with --api-keys, or allow everyone in with --allow-no-key",
        options.http.host);
  }
  return absl::OkStatus();
}

// One key a line, with its weight where that is not 1: "sk-alice 3". Empty lines and those that
// begin with '#' are passed over.
absl::StatusOr<std::vector<http::ApiKey>> read_api_keys(const std::string& path) {
  constexpr size_t kKeysBytesMax = 1 << 20;
  BRISK_ASSIGN_OR_RETURN(const std::string text, read_file(path, kKeysBytesMax));
  std::vector<http::ApiKey> keys;
  std::istringstream lines(text);
  std::string line;
  for (int number = 1; std::getline(lines, line); ++number) {
    std::istringstream words(line);
    http::ApiKey key;
    if (!(words >> key.key) || key.key.starts_with('#')) continue;
    std::string rest;
    const bool has_weight = !words.eof() && !(words >> std::ws).eof();
    if (has_weight && !(words >> key.weight && key.weight >= 1 && key.weight <= kTenantWeightMax &&
                        !(words >> rest))) {
      return invalid_input("{}:{}: after a key only its weight may follow, 1 to {}", path, number,
                           kTenantWeightMax);
    }
    keys.push_back(std::move(key));
  }
  if (keys.empty()) return invalid_input("{} has no keys: write one a line", path);
  return keys;
}

absl::StatusOr<std::vector<http::ApiKey>> api_keys(const ServeOptions& options) {
  std::vector<http::ApiKey> keys;
  if (!options.api_keys_file.empty()) {
    BRISK_ASSIGN_OR_RETURN(keys, read_api_keys(options.api_keys_file));
  }
  if (!options.api_key.empty()) keys.push_back({.key = options.api_key});
  return keys;
}

// From here on SIGINT and SIGTERM are only taken by `wait_for_stop`. Threads made later inherit it.
void hold_stop_signals(sigset_t& signals) {
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
}

// Afterwards a second signal ends the process at once, as if it had never been held.
void wait_for_stop(const sigset_t& signals) {
  int signal = 0;
  while (sigwait(&signals, &signal) != 0) {
  }
  pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
}

absl::StatusOr<api::ServedModel> describe(const ServeOptions& options,
                                          std::shared_ptr<Engine> engine) {
  const Model& model = engine->model();
  api::ServedModel served;
  served.engine = std::move(engine);
  served.tokenizer = model.tokenizer.get();
  served.names = options.names.empty() ? std::vector<std::string>{model.name} : options.names;
  served.created = api::unix_seconds();
  served.defaults = model.checkpoint->generation;
  served.lora_directory = options.lora_directory;
  std::string chat_template;
  if (!options.chat_template.empty()) {
    constexpr size_t kTemplateBytesMax = 1 << 20;
    BRISK_ASSIGN_OR_RETURN(chat_template, read_file(options.chat_template, kTemplateBytesMax));
  }
  BRISK_ASSIGN_OR_RETURN(served.renderer, api::make_chat_renderer(model, chat_template));
  served.tools = api::chat_tool_support(model, chat_template, options.tool_call_parser);
  return served;
}

absl::Status load_adapters(const ServeOptions& options, const api::ServedModel& served) {
  for (const std::string& lora : options.loras) {
    const size_t equals = lora.find('=');
    if (equals == std::string::npos) {
      return invalid_input("--lora {}: give NAME=PATH", lora);
    }
    const std::string name = lora.substr(0, equals);
    if (served.is_own_name(name)) return invalid_input("--lora {}: the model has that name", lora);
    const auto adapter = served.engine->adapters().load(name, lora.substr(equals + 1));
    if (!adapter.ok()) return annotate(adapter.status(), "--lora " + name);
  }
  return absl::OkStatus();
}

absl::Status serve(const ServeOptions& options) {
  BRISK_RETURN_IF_ERROR(check(options));
  BRISK_ASSIGN_OR_RETURN(std::vector<http::ApiKey> keys, api_keys(options));
  BRISK_ASSIGN_OR_RETURN(const std::string path, model_or_default(options.model));
  BRISK_ASSIGN_OR_RETURN(std::shared_ptr<const Model> model,
                         load_model(path, {.tokenizer_path = options.tokenizer,
                                           .context_max = options.engine.context_max,
                                           .activations = options.activations,
                                           .threads = options.engine.threads}));
  if (model->tokenizer == nullptr) {
    return invalid_input("{} has no tokenizer; name one with --tokenizer", path);
  }
  sigset_t signals;
  hold_stop_signals(signals);
  BRISK_ASSIGN_OR_RETURN(std::unique_ptr<Engine> engine,
                         Engine::create(std::move(model), options.engine));
  BRISK_ASSIGN_OR_RETURN(api::ServedModel served, describe(options, std::move(engine)));
  BRISK_RETURN_IF_ERROR(load_adapters(options, served));
  const std::string name = served.name();
  api::Metrics metrics({.vllm_alias = options.metrics_alias == "vllm"});
  api::ModelRepository models(metrics);
  models.add(std::move(served));
  api::Service service(models, metrics);
  std::vector<http::Route> routes = service.routes();
  if (options.console) routes.push_back(console::page_route());
  const http::Router router(std::move(routes), std::move(keys), api::error_in_style);
  BRISK_ASSIGN_OR_RETURN(const std::unique_ptr<http::Server> server,
                         http::Server::start(options.http, router, [&](const auto& exchange) {
                           metrics.observe_http(exchange);
                         }));
  const bool v6 = server->host().find(':') != std::string::npos;
  fmt::print("serving {} at http://{}{}{}:{}\n", name, v6 ? "[" : "", server->host(), v6 ? "]" : "",
             server->port());
  std::fflush(stdout);
  wait_for_stop(signals);
  service.begin_drain();
  server->begin_drain();
  models.drain(options.drain_seconds);
  constexpr double kLastBytesSeconds = 5;
  server->wait_idle(kLastBytesSeconds);
  server->stop();
  return absl::OkStatus();
}

void add_engine_options(CLI::App& app, ServeOptions& options) {
  EngineOptions& engine = options.engine;
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
  add_activations_option(app, &options.activations);
}

void add_lora_options(CLI::App& app, ServeOptions& options) {
  app.add_option("--lora", options.loras,
                 "a LoRA adapter that requests may name as their model (may be repeated)")
      ->type_name("NAME=PATH")
      ->allow_extra_args(false);  // what follows may be the model
  app.add_option("--lora-dir", options.lora_directory,
                 "directory that POST /v1/load_lora_adapter may load from; without it: 403")
      ->check(CLI::ExistingDirectory);
  app.add_option("--loras-max", options.engine.adapters_max, "adapters loaded at once")
      ->capture_default_str();
}

void add_http_options(CLI::App& app, ServeOptions& options) {
  app.add_option("--host", options.http.host, "address to listen on")->capture_default_str();
  app.add_option("--port", options.http.port, "port to listen on; 0: any free one")
      ->capture_default_str();
  app.add_option("--http-threads", options.http.threads, "threads for HTTP")->capture_default_str();
  app.add_option("--connections-max", options.http.limits.connections_max,
                 "open connections; beyond: 503")
      ->capture_default_str();
  app.add_option("--body-max", options.body_bytes_max, "largest request body, e.g. 16MiB")
      ->transform(CLI::AsSizeValue(false));
  app.add_option("--api-key", options.api_key, "key that requests must carry")
      ->envname("BRISK_API_KEY");
  app.add_option("--api-keys", options.api_keys_file,
                 "file of keys, one a line, with its weight: \"KEY 3\"; a busy server divides "
                 "itself by them");
  app.add_flag("--allow-no-key", options.allow_no_key, "listen beyond loopback without a key");
  app.add_flag("!--no-console", options.console, "do not serve the web console at /");
  app.add_option("--drain-seconds", options.drain_seconds,
                 "how long running requests may finish after SIGTERM")
      ->capture_default_str();
  app.add_option("--metrics-alias", options.metrics_alias, "publish metrics also under this prefix")
      ->check(CLI::IsMember({"vllm"}));
}

}  // namespace

CommandAction add_serve(CLI::App& app) {
  auto options = std::make_shared<ServeOptions>();
  app.add_option("model", options->model,
                 "a GGUF file, a Hugging Face directory, ... (default: the small model that ships "
                 "with brisk)");
  app.add_option("--tokenizer", options->tokenizer, "tokenizer file, where the model has none");
  app.add_option("--chat-template", options->chat_template,
                 "file with the Jinja chat template to use instead of the model's");
  app.add_option("--tool-call-parser", options->tool_call_parser,
                 "how the model writes calls of tools; auto: as its chat template shows")
      ->check(CLI::IsMember(api::tool_call_syntax_choices()))
      ->capture_default_str();
  app.add_option("--served-model-name", options->names,
                 "names that requests may use; the first is shown")
      ->delimiter(',');
  add_engine_options(app, *options);
  add_lora_options(app, *options);
  add_http_options(app, *options);
  return [options] {
    options->engine.kv_bytes_max = static_cast<int64_t>(options->kv_bytes_max);
    options->engine.store_bytes_max = static_cast<int64_t>(options->store_bytes_max);
    options->http.limits.body_bytes_max = options->body_bytes_max;
    return serve(*options);
  };
}

}  // namespace brisk
