#include "serve/api/oip.h"

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/status.h"
#include "serve/api/errors.h"
#include "serve/api/json_fields.h"
#include "serve/api/model_endpoint.h"
#include "serve/api/oip_generate.h"
#include "serve/api/openai_request.h"

namespace brisk::api {
namespace {

constexpr std::string_view kVersion = "1";

http::Response json_response(const Json& json) {
  http::Response response;
  response.body = to_text(json);
  return response;
}

// What a path below /v2/models/ asks for: "NAME[/versions/V][/VERB]". Names may contain slashes.
struct Target {
  std::string name;
  std::string version;  // empty: any
  std::string verb;     // "" is the metadata
};

std::optional<Target> parse_target(std::string_view path) {
  constexpr std::array<std::string_view, 6> kVerbs = {"ready", "config",   "stats",
                                                      "infer", "generate", "generate_stream"};
  Target target;
  for (const std::string_view verb : kVerbs) {
    const size_t at = path.size() - std::min(path.size(), verb.size() + 1);
    if (at == 0 || path[at] != '/' || path.substr(at + 1) != verb) continue;
    target.verb = verb;
    path = path.substr(0, at);
    break;
  }
  constexpr std::string_view kVersions = "/versions/";
  if (const size_t at = path.rfind(kVersions); at != std::string_view::npos) {
    target.version = path.substr(at + kVersions.size());
    path = path.substr(0, at);
    if (target.version.empty() || target.version.find('/') != std::string::npos) {
      return std::nullopt;
    }
  }
  target.name = path;
  return target.name.empty() ? std::nullopt : std::optional(target);
}

absl::Status check_version(const Target& target) {
  if (target.version.empty() || target.version == kVersion) return absl::OkStatus();
  return with_code(not_found("{} has no version {}, only {}", target.name,
                             std::string_view(target.version).substr(0, 50), kVersion),
                   "model_not_found");
}

Json server_json() {
  return {{"name", "brisk"},
          {"version", BRISK_VERSION},
          {"extensions",
           {"model_repository", "model_repository(unload_dependents)", "model_configuration",
            "statistics", "schedule_policy", "generate"}}};
}

Json metadata_json(const ModelStatus& model) {
  const auto tensor = [](const char* name, int size) {
    return Json{{"name", name}, {"datatype", "BYTES"}, {"shape", {size}}};
  };
  return {{"name", model.config.name},
          {"versions", {kVersion}},
          {"platform", "brisk"},
          {"inputs", {tensor("text_input", -1)}},
          {"outputs", {tensor("text_output", -1)}}};
}

Json config_json(const ModelStatus& model) {
  const auto tensor = [](const char* name) {
    return Json{{"name", name}, {"data_type", "TYPE_STRING"}, {"dims", {-1}}};
  };
  Json parameters = {{"state", {{"string_value", name_of(model.state)}}}};
  if (model.model != nullptr) {
    parameters["max_model_len"] = {
        {"string_value", std::to_string(model.model->engine->context_max())}};
  }
  return {{"name", model.config.name},
          {"platform", ""},
          {"backend", "brisk"},
          {"version_policy", {{"latest", {{"num_versions", 1}}}}},
          {"max_batch_size", 0},
          {"input", {tensor("text_input")}},
          {"output", {tensor("text_output")}},
          {"model_transaction_policy", {{"decoupled", true}}},
          {"parameters", std::move(parameters)}};
}

Json duration_json(int64_t count, double seconds) {
  return {{"count", count}, {"ns", static_cast<int64_t>(seconds * 1e9)}};
}

Json stats_json(ModelRepository& models, const ModelStatus& model) {
  const ModelTotals totals = models.totals(model.config.name);
  return {{"name", model.config.name},
          {"version", kVersion},
          {"last_inference", totals.last_unix_ms},
          {"inference_count", totals.succeeded},
          {"execution_count", model.model == nullptr ? 0 : model.model->engine->stats().steps},
          {"inference_stats",
           {{"success", duration_json(totals.succeeded, totals.seconds)},
            {"fail", duration_json(totals.failed, 0)},
            {"queue", duration_json(totals.succeeded, totals.queue_seconds)},
            {"compute_input", duration_json(totals.succeeded, totals.prefill_seconds)},
            {"compute_infer", duration_json(totals.succeeded, totals.decode_seconds)},
            {"compute_output", duration_json(totals.succeeded, 0)},
            {"cache_hit", duration_json(0, 0)},
            {"cache_miss", duration_json(0, 0)}}},
          {"response_stats", Json::object()},
          {"batch_stats", Json::array()},
          {"memory_usage", Json::array()}};
}

std::string_view index_state(ModelState state) {
  switch (state) {
    case ModelState::kLoaded:
      return "READY";
    case ModelState::kLoading:
      return "LOADING";
    case ModelState::kUnloaded:
    case ModelState::kFailed:
      return "UNAVAILABLE";
  }
  return "UNAVAILABLE";
}

// Everything below /v2.
class Oip {
 public:
  Oip(ModelRepository& models, std::function<absl::Status()> readiness)
      : models_(models), readiness_(std::move(readiness)) {}

  http::Response ready() const {
    if (const absl::Status status = readiness_(); !status.ok()) return oip_error(status);
    return json_response({{"ready", true}});
  }

  http::Response get(const http::Request& request) const {
    if (request.params[0] == "stats") return all_stats();
    const std::optional<Target> target = parse_target(request.params[0]);
    if (!target.has_value()) return oip_error(404, "there is no endpoint " + request.path);
    if (target->verb.starts_with("infer") || target->verb.starts_with("generate")) {
      return oip_error(405, target->verb + " answers POST");
    }
    if (const absl::Status version = check_version(*target); !version.ok()) {
      return oip_error(version);
    }
    const absl::StatusOr<ModelStatus> model = models_.status(target->name);
    if (!model.ok()) return oip_error(model.status());
    if (target->verb == "config") return json_response(config_json(*model));
    if (target->verb == "stats") {
      return json_response({{"model_stats", {stats_json(models_, *model)}}});
    }
    if (target->verb.empty()) return json_response(metadata_json(*model));
    const bool is_ready = model->state == ModelState::kLoaded;
    http::Response response = json_response({{"name", model->config.name}, {"ready", is_ready}});
    response.status = is_ready ? 200 : 400;  // Triton's
    return response;
  }

  http::Reply post(const http::Request& request, const http::Wakeup& wakeup) const {
    const std::optional<Target> target = parse_target(request.params[0]);
    if (!target.has_value()) return oip_error(404, "there is no endpoint " + request.path);
    http::Reply (*handler)(const ModelLease&, const http::Request&, const http::Wakeup&) = nullptr;
    if (target->verb == "infer") handler = oip_infer;
    if (target->verb == "generate") handler = oip_generate;
    if (target->verb == "generate_stream") handler = oip_generate_stream;
    if (handler == nullptr) return oip_error(405, request.path + " answers GET");
    if (const absl::Status version = check_version(*target); !version.ok()) {
      return oip_error(version);
    }
    return with_model(models_, target->name, handler, error, request, wakeup);
  }

  http::Response index(const http::Request& request) const {
    bool only_ready = false;
    if (!request.body.empty()) {
      const absl::StatusOr<Json> json = parse_object(request.body);
      if (!json.ok()) return oip_error(json.status());
      Fields fields(*json);
      only_ready = fields.boolean("ready", false);
      fields.ignore("repository_name");
      if (const absl::Status status = fields.finish(); !status.ok()) return oip_error(status);
    }
    Json all = Json::array();
    for (const ModelStatus& model : models_.statuses()) {
      if (only_ready && model.state != ModelState::kLoaded) continue;
      all.push_back({{"name", model.config.name},
                     {"version", kVersion},
                     {"state", index_state(model.state)},
                     {"reason", model.state == ModelState::kFailed ? model.error : ""}});
    }
    return json_response(all);
  }

  // load, unload
  http::Reply change(const http::Request& request, const http::Wakeup& wakeup) const {
    const std::string& path = request.params[0];
    const size_t slash = path.rfind('/');
    const std::string verb = slash == std::string::npos ? "" : path.substr(slash + 1);
    if (verb != "load" && verb != "unload") {
      return oip_error(404, "there is no endpoint " + request.path);
    }
    const std::string name = path.substr(0, slash);
    if (const absl::Status status = check_change(request.body); !status.ok()) {
      return oip_error(status);
    }
    if (verb == "unload") {
      const absl::Status status = models_.unload(name);
      return status.ok() ? json_response(Json::object()) : oip_error(status);
    }
    models_.forgive(name);
    const ModelHandler loaded = [](const ModelLease&, const http::Request&,
                                   const http::Wakeup&) -> http::Reply {
      return json_response(Json::object());
    };
    return with_model(models_, name, loaded, error, request, wakeup);
  }

 private:
  static http::Response error(const absl::Status& status, const std::string& /*id*/) {
    return oip_error(status);
  }

  static absl::Status check_change(const std::string& body) {
    if (body.empty()) return absl::OkStatus();
    BRISK_ASSIGN_OR_RETURN(const Json json, parse_object(body));
    const Json parameters = json.value("parameters", Json::object());
    if (!parameters.is_object()) return invalid_input("parameters must be an object");
    for (const auto& [name, value] : parameters.items()) {
      if (name == "unload_dependents") continue;
      return invalid_input("{} is not supported: what a model is stands in the server's files",
                           name);
    }
    return absl::OkStatus();
  }

  http::Response all_stats() const {
    Json all = Json::array();
    for (const ModelStatus& model : models_.statuses()) all.push_back(stats_json(models_, model));
    return json_response({{"model_stats", std::move(all)}});
  }

  ModelRepository& models_;
  const std::function<absl::Status()> readiness_;
};

}  // namespace

http::Response oip_error(int status, std::string_view message) {
  http::Response response = json_response({{"error", message}});
  response.status = status;
  return response;
}

http::Response oip_error(const absl::Status& status) {
  http::Response response = openai_error(status);  // with its headers
  response.body = to_text(Json{{"error", message_of(status)}});
  return response;
}

std::vector<http::Route> oip_routes(ModelRepository& models,
                                    std::function<absl::Status()> readiness) {
  using http::Access;
  using http::Request;
  using http::Wakeup;
  const auto oip = std::make_shared<const Oip>(models, std::move(readiness));
  return {
      {"GET", "/v2", Access::kNeedsKey,
       [](const Request&, const Wakeup&) { return json_response(server_json()); }},
      {"GET", "/v2/health/live", Access::kOpen,
       [](const Request&, const Wakeup&) { return json_response({{"live", true}}); }},
      {"GET", "/v2/health/ready", Access::kOpen,
       [oip](const Request&, const Wakeup&) { return oip->ready(); }},
      {"GET", "/v2/models/{model*}", Access::kNeedsKey,
       [oip](const Request& request, const Wakeup&) { return oip->get(request); }},
      {"POST", "/v2/models/{model*}", Access::kNeedsKey,
       [oip](const Request& request, const Wakeup& wakeup) { return oip->post(request, wakeup); }},
      {"POST", "/v2/repository/index", Access::kNeedsKey,
       [oip](const Request& request, const Wakeup&) { return oip->index(request); }},
      {"POST", "/v2/repository/models/{model*}", Access::kNeedsKey,
       [oip](const Request& request, const Wakeup& wakeup) {
         return oip->change(request, wakeup);
       }},
  };
}

}  // namespace brisk::api
