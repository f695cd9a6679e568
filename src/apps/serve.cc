// brisk serve: a model behind OpenAI's API.
#include <pthread.h>

#include <csignal>
#include <cstdio>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "apps/command.h"
#include "apps/served_models.h"
#include "base/status.h"
#include "compute/sys/mapped_file.h"
#include "serve/api/model_repository.h"
#include "serve/api/service.h"
#include "serve/console/console_page.h"
#include "serve/http/server.h"

namespace brisk {
namespace {

struct ServeOptions {
  ServedModelsOptions models;
  std::string api_key;
  std::string api_keys_file;
  bool allow_no_key = false;
  bool console = true;
  double drain_seconds = 30;
  std::string metrics_alias;
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

absl::Status serve(const ServeOptions& options) {
  BRISK_RETURN_IF_ERROR(check(options));
  BRISK_ASSIGN_OR_RETURN(std::vector<http::ApiKey> keys, api_keys(options));
  BRISK_ASSIGN_OR_RETURN(const api::ModelConfigs configs, configured_models(options.models));
  sigset_t signals;
  hold_stop_signals(signals);
  api::Metrics metrics({.vllm_alias = options.metrics_alias == "vllm"});
  api::RepositoryOptions repository = options.models.repository;
  repository.memory_max = static_cast<int64_t>(options.models.memory_bytes_max);
  api::ModelRepository models(metrics, repository, configs, api::make_model_loader());
  pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);  // loading may take long; nothing is lost yet
  const absl::Status loaded = preload(options.models, configs, models);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  BRISK_RETURN_IF_ERROR(loaded);
  api::Service service(models, metrics);
  std::vector<http::Route> routes = service.routes();
  if (options.console) routes.push_back(console::page_route());
  const http::Router router(std::move(routes), std::move(keys), api::error_in_style);
  BRISK_ASSIGN_OR_RETURN(const std::unique_ptr<http::Server> server,
                         http::Server::start(options.http, router, [&](const auto& exchange) {
                           metrics.observe_http(exchange);
                         }));
  const bool v6 = server->host().find(':') != std::string::npos;
  const std::string what = configs.models.size() == 1
                               ? configs.models.front().name
                               : fmt::format("{} models", configs.models.size());
  fmt::print("serving {} at http://{}{}{}:{}\n", what, v6 ? "[" : "", server->host(), v6 ? "]" : "",
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
  add_served_models_options(app, &options->models);
  add_http_options(app, *options);
  return [options] {
    options->http.limits.body_bytes_max = options->body_bytes_max;
    return serve(*options);
  };
}

}  // namespace brisk
