// A whole server over a fake engine, and what tests do with it again and again.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "serve/api/service.h"
#include "serve/http/server.h"
#include "tests/serve/fake_engine.h"
#include "tests/serve/openapi_checker.h"
#include "tests/serve/raw_client.h"

namespace brisk::test {

struct Answer {
  int status = 0;
  Json json;
  RawResponse raw;
};

// The events of a stream; `done`: it ended with [DONE].
struct Events {
  int status = 0;
  std::vector<Json> chunks;
  bool done = false;
  bool whole = false;  // and the body ended properly

  // The text of one choice.
  std::string text(int choice = 0) const {
    std::string joined;
    for (const Json& chunk : chunks) {
      for (const Json& each : chunk.value("choices", Json::array())) {
        if (each["index"] != choice) continue;
        joined +=
            each.contains("delta") ? each["delta"].value("content", "") : each.value("text", "");
      }
    }
    return joined;
  }

  // The finish_reason of one choice; null when none came.
  Json finish(int choice = 0) const {
    Json reason;
    for (const Json& chunk : chunks) {
      for (const Json& each : chunk.value("choices", Json::array())) {
        if (each["index"] == choice && !each["finish_reason"].is_null()) {
          reason = each["finish_reason"];
        }
      }
    }
    return reason;
  }
};

inline Events parse_events(const RawResponse& raw) {
  Events events{.status = raw.status, .chunks = {}, .whole = raw.whole};
  std::string_view rest = raw.body;
  while (!rest.empty()) {
    const size_t end = rest.find("\n\n");
    const std::string_view event = rest.substr(0, end);
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 2);
    if (event.starts_with(':')) continue;
    EXPECT_TRUE(event.starts_with("data: ")) << event;
    EXPECT_FALSE(events.done) << "nothing comes after [DONE]";
    if (event == "data: [DONE]") {
      events.done = true;
    } else {
      events.chunks.push_back(Json::parse(event.substr(6)));
    }
  }
  return events;
}

// "role:content|" for each message; the roles can be renamed by chat_template_kwargs.
inline absl::StatusOr<std::string> render_plainly(const api::ChatRequest& chat) {
  std::string text = chat.chat_template.empty() ? "" : "[" + chat.chat_template + "]";
  for (const OrderedJson& message : chat.messages) {
    if (message["content"] == "refuse me") return invalid_input("the template refuses");
    const std::string content = message["content"].is_null() ? "" : message["content"];
    text += message["role"].get<std::string>() + ":" + content + "|";
  }
  return text;
}

class ApiTest : public testing::Test {
 protected:
  void start(FakeEngineOptions engine_options = {}, http::Limits limits = {},
             GenerationDefaults defaults = {}, bool vllm_alias = false) {
    TearDown();
    engine_ = std::make_shared<FakeEngine>(engine_options);
    api::ServedModel model;
    model.engine = engine_;
    model.tokenizer = engine_->model().tokenizer.get();
    model.names = {"org/fake", "alias"};
    model.created = 1700000000;
    model.defaults = defaults;
    model.renderer = render_plainly;
    model.tools.shows_tools = true;
    serve(std::move(model), limits, vllm_alias);
  }

  void serve(api::ServedModel model, http::Limits limits, bool vllm_alias) {
    metrics_ = std::make_unique<api::Metrics>(api::MetricsOptions{.vllm_alias = vllm_alias});
    models_ = std::make_unique<api::ModelRepository>(*metrics_);
    models_->add(std::move(model));
    start_server(limits, 2);
  }

  // Over `models_` and `metrics_`.
  void start_server(http::Limits limits, int threads) {
    service_ = std::make_unique<api::Service>(*models_, *metrics_);
    std::vector<http::Route> routes = service_->routes();
    routes.insert(routes.end(), more_routes_.begin(), more_routes_.end());
    router_ = std::make_unique<http::Router>(std::move(routes), keys_, api::error_in_style);
    auto server = http::Server::start(
        {.port = 0, .threads = threads, .limits = limits}, *router_,
        [this](const http::Exchange& exchange) { metrics_->observe_http(exchange); });
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = std::move(*server);
  }

  std::vector<http::ApiKey> keys_;  // of the server that `start` starts
  std::vector<http::Route> more_routes_;

  void TearDown() override {
    server_.reset();
    service_.reset();
    models_.reset();
    metrics_.reset();
  }

  RawClient client() const { return RawClient(server_->port()); }

  Answer post(std::string_view path, std::string_view body) const {
    return to_answer(posted(path, body));
  }

  Answer get(std::string_view path) const {
    RawClient raw = client();
    raw.get(path);
    RawResponse response = raw.read_response();
    check("GET", path, "", response);
    return to_answer(std::move(response));
  }

  Events stream(std::string_view path, std::string_view body) const {
    return parse_events(posted(path, body));
  }

  // All that is asked and answered here is as the OpenAPI document says.
  static void check(std::string_view method, std::string_view target, std::string_view body,
                    const RawResponse& response) {
    EXPECT_EQ(OpenApiChecker::instance().fault({.method = method,
                                                .path = target.substr(0, target.find('?')),
                                                .body = body,
                                                .response = response}),
              "");
  }

  RawResponse posted(std::string_view path, std::string_view body) const {
    RawClient raw = client();
    raw.post(path, body);
    RawResponse response = raw.read_response();
    check("POST", path, body, response);
    return response;
  }

  static Answer to_answer(RawResponse raw) {
    Answer answer{.status = raw.status, .json = nullptr, .raw = std::move(raw)};
    if (Json::accept(answer.raw.body)) answer.json = Json::parse(answer.raw.body);
    return answer;
  }

  std::shared_ptr<FakeEngine> engine_;
  std::unique_ptr<api::Metrics> metrics_;
  std::unique_ptr<api::ModelRepository> models_;
  std::unique_ptr<api::Service> service_;
  std::unique_ptr<http::Router> router_;
  std::unique_ptr<http::Server> server_;  // last: it stops before what it uses goes
};

}  // namespace brisk::test
