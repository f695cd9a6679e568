#include "tests/serve/openapi_checker.h"

#include <fmt/format.h>

#include <regex>
#include <valijson/adapters/nlohmann_json_adapter.hpp>
#include <valijson/schema.hpp>
#include <valijson/schema_parser.hpp>
#include <valijson/validation_results.hpp>
#include <valijson/validator.hpp>

#include "serve/api/openapi.h"

namespace brisk::test {
namespace {

// valijson knows drafts up to 7: what is put together by allOf and closed by unevaluatedProperties
// becomes one object, and every object that does not say otherwise is closed.
void close(Json& schema, const Json& components) {
  if (schema.is_object() && schema.contains("allOf") && schema.contains("properties")) {
    for (const Json& part : schema["allOf"]) {
      const std::string name = part["$ref"].get<std::string>();
      const Json& base = components["schemas"][name.substr(name.rfind('/') + 1)];
      schema["properties"].update(base["properties"]);
    }
    schema.erase("allOf");
  }
  if (schema.is_object() && schema.contains("properties") && schema["properties"].is_object() &&
      !schema.contains("additionalProperties")) {
    schema["additionalProperties"] = false;
    schema.erase("unevaluatedProperties");
  }
  for (Json& part : schema) {
    if (part.is_structured()) close(part, components);
  }
}

// "/v1/files/{id}" as a pattern. Names of models have slashes.
std::regex pattern_of(const std::string& path) {
  const std::string names = std::regex_replace(path, std::regex(R"(\{name\})"), ".+");
  return std::regex(std::regex_replace(names, std::regex(R"(\{\w+\})"), "[^/]+"));
}

}  // namespace

struct OpenApiChecker::Schemas {
  std::map<std::string, std::unique_ptr<valijson::Schema>> by_text;
};

OpenApiChecker& OpenApiChecker::instance() {
  static OpenApiChecker checker;
  return checker;
}

OpenApiChecker::OpenApiChecker()
    : document_(Json::parse(api::openapi_document())), schemas_(std::make_unique<Schemas>()) {
  closed_ = document_["components"];
  close(closed_, document_["components"]);
}

OpenApiChecker::~OpenApiChecker() = default;

std::set<std::string> OpenApiChecker::answered() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return answered_;
}

// The most specific path.
OpenApiChecker::Operation OpenApiChecker::find(std::string_view method,
                                               std::string_view path) const {
  std::string key(method);
  for (char& c : key) c = static_cast<char>(std::tolower(c));
  Operation found;
  size_t literal = 0;
  for (const auto& [pattern, item] : document_["paths"].items()) {
    const size_t length = std::regex_replace(pattern, std::regex(R"(\{\w+\})"), "").size();
    if (!item.contains(key) || length < literal) continue;
    if (!std::regex_match(std::string(path), pattern_of(pattern))) continue;
    found = {.name = key + " " + pattern, .json = &item[key]};
    literal = length;
  }
  return found;
}

const Json& OpenApiChecker::resolve(const Json& json) const {
  if (!json.contains("$ref")) return json;
  return document_.at(Json::json_pointer(json["$ref"].get<std::string>().substr(1)));
}

std::string OpenApiChecker::why_invalid(const Json& schema, const Json& json) {
  const std::string text = to_text(schema);
  std::unique_ptr<valijson::Schema>& compiled = schemas_->by_text[text];
  if (compiled == nullptr) {
    compiled = std::make_unique<valijson::Schema>();
    Json root = schema;
    close(root, document_["components"]);
    // References of the document find their way from a root that has its components.
    root = {{"allOf", Json::array({root})}, {"components", closed_}};
    valijson::SchemaParser parser(valijson::SchemaParser::kDraft7);
    parser.populateSchema(valijson::adapters::NlohmannJsonAdapter(root), *compiled);
  }
  valijson::Validator validator(valijson::Validator::kStrongTypes);
  valijson::ValidationResults results;
  if (validator.validate(*compiled, valijson::adapters::NlohmannJsonAdapter(json), &results)) {
    return "";
  }
  std::string why = "invalid";
  for (valijson::ValidationResults::Error error; results.popError(error);) {
    for (const std::string& step : error.context) why += " " + step;
    why += ": " + error.description;
  }
  return why.substr(0, 2000) + " in " + to_text(json).substr(0, 2000);
}

std::string OpenApiChecker::event_fault(const Json& content, std::string_view body) {
  while (!body.empty()) {
    const size_t end = std::min(body.find("\n\n"), body.size());
    const std::string_view event = body.substr(0, end);
    body.remove_prefix(std::min(end + 2, body.size()));
    const size_t data = event.starts_with("data: ") ? 0 : event.find("\ndata: ");
    if (data == std::string_view::npos) continue;
    const std::string_view text = event.substr(event.find("data: ", data) + 6);
    if (text == "[DONE]") continue;
    const Json json = Json::parse(text, nullptr, false);
    const Json& error = document_["components"]["schemas"]["Error"];
    const std::string why = why_invalid(content["x-events"], json);
    if (!why.empty() && !why_invalid(error, json).empty()) return "an event: " + why;
  }
  return "";
}

std::string OpenApiChecker::response_fault(const Json& operation, const RawResponse& response) {
  const Json& all = operation["responses"];
  const std::string status = std::to_string(response.status);
  const Json& documented = resolve(all.contains(status) ? all[status] : all["default"]);
  const std::string type = response.header("content-type");
  const std::string plain = type.substr(0, type.find(';'));
  if (!documented["content"].contains(plain)) {
    return fmt::format("{} with {} is not documented", response.status, type);
  }
  const Json& content = documented["content"][plain];
  if (plain == "text/event-stream") return event_fault(content, response.body);
  if (plain != "application/json") return "";
  return why_invalid(content["schema"], Json::parse(response.body, nullptr, false));
}

std::string OpenApiChecker::fault(const Exchange& exchange) {
  const RawResponse& response = exchange.response;
  if (response.status == 0 || !response.whole) return "";
  const std::lock_guard<std::mutex> lock(mutex_);
  const Operation operation = find(exchange.method, exchange.path);
  if (operation.json == nullptr) {
    const bool refused = response.status == 404 || response.status == 405;
    return refused ? "" : fmt::format("{} is not documented", exchange.path);
  }
  if (const std::string why = response_fault(*operation.json, response); !why.empty()) {
    return fmt::format("the answer to {}: {}", operation.name, why);
  }
  if (response.status != 200) return "";
  answered_.insert(operation.name);
  const Json body = operation.json->value("requestBody", Json::object());
  if (!body.contains("content") || !body["content"].contains("application/json")) return "";
  if (exchange.body.empty() && !body["required"].get<bool>()) return "";
  const std::string why = why_invalid(body["content"]["application/json"]["schema"],
                                      Json::parse(exchange.body, nullptr, false));
  return why.empty() ? "" : fmt::format("{} took what is not documented: {}", operation.name, why);
}

}  // namespace brisk::test
