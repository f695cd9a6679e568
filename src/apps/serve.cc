// brisk serve: a model behind OpenAI's API.
#include <cmath>
#include <csignal>
#include <cstdio>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "apps/command.h"
#include "apps/default_model.h"
#include "apps/engine_flags.h"
#include "apps/serve_access.h"
#include "base/status.h"
#include "base/structured_log.h"
#include "compute/sys/mapped_file.h"
#include "engine/engine.h"
#include "serve/api/chat_renderer.h"
#include "serve/api/openai_response.h"
#include "serve/api/service.h"
#include "serve/batch/batch_service.h"
#include "serve/http/server.h"

namespace brisk {
namespace {

struct ServeOptions {
  std::string model;
  std::string tokenizer;
  std::string chat_template;
  std::vector<std::string> names;
  AccessOptions access;
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
  batch::BatchOptions batch;
};

absl::StatusOr<api::ServedModel> describe(const ServeOptions& options, Engine& engine) {
  const Model& model = engine.model();
  api::ServedModel served;
  served.engine = &engine;
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

// The access log: what was asked for and how it went, never with what in it or by which key.
void log_exchange(const http::Exchange& exchange) {
  log_event("request", {{"request_id", exchange.request_id},
                        {"method", exchange.method},
                        {"route", exchange.route},
                        {"status", exchange.status},
                        {"seconds", std::round(exchange.seconds * 1e6) / 1e6},
                        {"key", exchange.key}});
}

// What SIGHUP asks for.
void reload(KeyKeeper& keys, http::Server& server) {
  for (const absl::Status& status : {keys.reload(), server.reload_tls()}) {
    if (!status.ok()) spdlog::error("SIGHUP changes nothing: {}", message_of(status));
  }
}

void save(KeyKeeper& keys) {
  if (const absl::Status status = keys.save(); !status.ok()) {
    spdlog::error("what keys have used is not kept: {}", message_of(status));
  }
}

// Adds the endpoints of files and batches to `routes`. Null: there is no directory for them.
absl::StatusOr<std::unique_ptr<batch::BatchService>> add_batches(
    const batch::BatchOptions& options, std::shared_ptr<const http::KeyRing> keys,
    std::vector<http::Route>& routes) {
  std::unique_ptr<batch::BatchService> batches;
  std::vector<http::Route> more = batch::routes_without_batches();
  if (!options.directory.empty()) {
    BRISK_ASSIGN_OR_RETURN(batches, batch::BatchService::start(options, routes, std::move(keys)));
    more = batches->routes();
  }
  std::move(more.begin(), more.end(), std::back_inserter(routes));
  return batches;
}

absl::Status serve(const ServeOptions& options) {
  BRISK_ASSIGN_OR_RETURN(const std::unique_ptr<KeyKeeper> keys, KeyKeeper::open(options.access));
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
  hold_signals(signals);
  BRISK_ASSIGN_OR_RETURN(const std::unique_ptr<Engine> engine,
                         Engine::create(std::move(model), options.engine));
  BRISK_ASSIGN_OR_RETURN(api::ServedModel served, describe(options, *engine));
  BRISK_RETURN_IF_ERROR(load_adapters(options, served));
  const api::MetricsOptions metrics = {.model_name = served.name(),
                                       .context_max = engine->context_max(),
                                       .vllm_alias = options.metrics_alias == "vllm"};
  api::Service service(std::move(served), metrics);
  std::vector<http::Route> routes = service.routes();
  BRISK_ASSIGN_OR_RETURN(const std::unique_ptr<batch::BatchService> batches,
                         add_batches(options.batch, keys->ring(), routes));
  const http::Router router(std::move(routes), keys->ring(), api::error_in_style);
  BRISK_ASSIGN_OR_RETURN(const std::unique_ptr<http::Server> server,
                         http::Server::start(options.http, router, [&](const auto& exchange) {
                           service.metrics().observe_http(exchange);
                           log_exchange(exchange);
                         }));
  const bool v6 = server->host().find(':') != std::string::npos;
  fmt::print("serving {} at http{}://{}{}{}:{}\n", service.model().name(),
             options.http.tls_key.empty() ? "" : "s", v6 ? "[" : "", server->host(), v6 ? "]" : "",
             server->port());
  std::fflush(stdout);
  wait_for_stop(signals, [&] { reload(*keys, *server); }, [&] { save(*keys); });
  service.begin_drain();
  server->begin_drain();
  if (batches != nullptr) batches->stop();
  engine->drain(options.drain_seconds);
  constexpr double kLastBytesSeconds = 5;
  server->wait_idle(kLastBytesSeconds);
  server->stop();
  return keys->save();
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

void add_batch_options(CLI::App& app, batch::BatchOptions& options) {
  app.add_option("--batch-dir", options.directory,
                 "directory for /v1/files and /v1/batches; without it: 501");
  app.add_option("--batch-width", options.width, "lines of batches answered at once")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  app.add_option("--upload-max", options.store.file_bytes_max, "largest file, e.g. 100MiB")
      ->transform(CLI::AsSizeValue(false))
      ->default_str("100MiB");
  app.add_option("--batch-storage-max", options.store.bytes_max, "all files together, e.g. 10GiB")
      ->transform(CLI::AsSizeValue(false))
      ->default_str("10GiB");
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
  add_access_options(app, options.access, options.http);
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
  app.add_option("--served-model-name", options->names,
                 "names that requests may use; the first is shown")
      ->delimiter(',');
  add_engine_options(app, *options);
  add_lora_options(app, *options);
  add_http_options(app, *options);
  add_batch_options(app, options->batch);
  return [options] {
    options->engine.kv_bytes_max = static_cast<int64_t>(options->kv_bytes_max);
    options->engine.store_bytes_max = static_cast<int64_t>(options->store_bytes_max);
    options->http.limits.body_bytes_max = options->body_bytes_max;
    BRISK_RETURN_IF_ERROR(check_access(options->access, options->http));
    return serve(*options);
  };
}

}  // namespace brisk
