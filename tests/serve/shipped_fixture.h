// A server over the real engine and the model that ships, which answers exercises of docs/tasks.md.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "serve/api/chat_renderer.h"
#include "tests/serve/api_fixture.h"

namespace brisk::test {

class ShippedModelTest : public ApiTest {
 protected:
  void SetUp() override {
    EngineOptions options;
    options.threads = 2;
    options.kv_tokens = 4096;
    real_ =
        Engine::create(load_model(BRISK_SOURCE_DIR "/models/brisk-small").value(), options).value();
    api::ServedModel served;
    served.engine = real_;
    served.tokenizer = real_->model().tokenizer.get();
    served.names = {"brisk-small"};
    served.renderer = *api::make_chat_renderer(real_->model());
    served.tools = api::chat_tool_support(real_->model(), "", forced_syntax_);
    serve(std::move(served), {}, false);
  }

  void TearDown() override {
    ApiTest::TearDown();
    real_.reset();
  }

  // Another syntax than the model's own, as --tool-call-parser would say.
  void use_syntax(std::string_view name) {
    TearDown();
    forced_syntax_ = name;
    SetUp();
  }

  std::string forced_syntax_;
  std::shared_ptr<Engine> real_;
};

}  // namespace brisk::test
