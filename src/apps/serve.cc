// brisk serve: a model behind OpenAI's API.
#include <cmath>
#include <cstdio>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "apps/command.h"
#include "apps/serve_access.h"
#include "apps/served_models.h"
#include "base/status.h"
#include "base/structured_log.h"
#include "compute/sys/mapped_file.h"
#include "serve/api/model_repository.h"
#include "serve/api/service.h"
#include "serve/batch/batch_service.h"
#include "serve/console/console_page.h"
#include "serve/http/server.h"

namespace brisk {
namespace {

struct ServeOptions {
  ServedModelsOptions models;
  AccessOptions access;
  bool console = true;
  double drain_seconds = 30;
  std::string metrics_alias;
  uint64_t body_bytes_max = http::Limits{}.body_bytes_max;
  http::ServerOptions http;
  batch::BatchOptions batch;
};

// The access log: what was asked for and how it went, never with what in it or by which key.
void log_exchange(const http::Exchange& exchange) {
  log_event("request", {{"request_id", exchange.request_id},
                        {"method", exchange.method},
                        {"route", exchange.route},
                        {"status", exchange.status},
                        {"seconds", std::round(exchange.seconds * 1e6) / 1e6},
                        {"key", exchange.key}});
}

// Looks again which models there are, where they were not named on the command line.
absl::Status reload_models(const ServedModelsOptions& options, api::ModelRepository& models) {
  if (options.models.empty()) return absl::OkStatus();
  BRISK_ASSIGN_OR_RETURN(api::ModelConfigs configs, configured_models(options));
  models.refresh(std::move(configs));
  return absl::OkStatus();
}

void report(const absl::Status& status) {
  if (!status.ok()) spdlog::error("SIGHUP changes nothing: {}", message_of(status));
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
  hold_signals();
  let_stops_end_the_process();
  BRISK_ASSIGN_OR_RETURN(const std::unique_ptr<KeyKeeper> keys, KeyKeeper::open(options.access));
  BRISK_ASSIGN_OR_RETURN(const api::ModelConfigs configs, configured_models(options.models));
  hold_signals();
  api::Metrics metrics({.vllm_alias = options.metrics_alias == "vllm"});
  api::RepositoryOptions repository = options.models.repository;
  repository.memory_max = static_cast<int64_t>(options.models.memory_bytes_max);
  api::ModelRepository models(metrics, repository, configs, api::make_model_loader());
  let_stops_end_the_process();
  BRISK_RETURN_IF_ERROR(preload(options.models, configs, models));
  hold_signals();
  api::Service service(models, metrics);
  std::vector<http::Route> routes = service.routes();
  BRISK_ASSIGN_OR_RETURN(const std::unique_ptr<batch::BatchService> batches,
                         add_batches(options.batch, keys->ring(), routes));
  if (options.console) routes.push_back(console::page_route());
  const http::Router router(std::move(routes), keys->ring(), api::error_in_style);
  BRISK_ASSIGN_OR_RETURN(const std::unique_ptr<http::Server> server,
                         http::Server::start(options.http, router, [&](const auto& exchange) {
                           metrics.observe_http(exchange);
                           log_exchange(exchange);
                         }));
  const bool v6 = server->host().find(':') != std::string::npos;
  const std::string what = configs.models.size() == 1
                               ? configs.models.front().name
                               : fmt::format("{} models", configs.models.size());
  fmt::print("serving {} at http{}://{}{}{}:{}\n", what, options.http.tls_key.empty() ? "" : "s",
             v6 ? "[" : "", server->host(), v6 ? "]" : "", server->port());
  std::fflush(stdout);
  const auto on_hangup = [&] {
    report(keys->reload());
    report(server->reload_tls());
    report(reload_models(options.models, models));
  };
  wait_for_stop(on_hangup, [&] { save(*keys); });
  service.begin_drain();
  server->begin_drain();
  if (batches != nullptr) batches->stop();
  models.drain(options.drain_seconds);
  constexpr double kLastBytesSeconds = 5;
  server->wait_idle(kLastBytesSeconds);
  server->stop();
  return keys->save();
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
  add_served_models_options(app, &options->models);
  add_http_options(app, *options);
  add_batch_options(app, options->batch);
  return [options] {
    options->http.limits.body_bytes_max = options->body_bytes_max;
    BRISK_RETURN_IF_ERROR(check_access(options->access, options->http));
    return serve(*options);
  };
}

}  // namespace brisk
