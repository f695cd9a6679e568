// A small random model answers tasks in this process and behind a server: the same replies.
#include "compress/evaluate/answer_tasks.h"

#include <gtest/gtest.h>

#include <string>

#include "base/status.h"
#include "plan/load/chat_client.h"
#include "serve/api/chat_renderer.h"
#include "tasks/generate.h"
#include "tests/serve/api_fixture.h"

namespace brisk {
namespace {

constexpr const char* kTemplate = "{% for m in messages %}{{ m.content }}\n{% endfor %}";

std::shared_ptr<const Model> reference_model() {
  return load_model(BRISK_BINARY_DIR "/reference/llama2/model.gguf").value();
}

std::vector<tasks::Sample> some_samples() {
  tasks::Mix mix;
  for (const char* name : {"copy", "add", "system"}) mix.tasks.push_back(tasks::find_task(name));
  mix.level_weights = {1, 0, 0};
  mix.split = tasks::Split::kTest;
  return tasks::generate_graded(mix, 4);
}

AnswerOptions small_answers() {
  AnswerOptions options;
  options.engine.threads = 2;
  options.engine.kv_tokens = 2048;
  options.chat_template = kTemplate;
  options.max_tokens = 8;
  return options;
}

TEST(AnswerTasks, GivesTheSameRepliesWhateverSharesTheBatch) {
  const auto model = reference_model();
  const std::vector<tasks::Sample> samples = some_samples();
  AnswerOptions options = small_answers();
  int64_t told = 0;
  const auto together =
      answer_tasks(model, samples, options, [&](int64_t done) { EXPECT_EQ(done, ++told); });
  ASSERT_TRUE(together.ok()) << together.status();
  EXPECT_EQ(told, 12);
  EXPECT_EQ(together->replies.size(), samples.size());
  EXPECT_GT(together->completion_tokens, 12);
  options.in_flight_max = 1;
  const auto alone = answer_tasks(model, samples, options, [](int64_t) {});
  ASSERT_TRUE(alone.ok()) << alone.status();
  EXPECT_EQ(alone->replies, together->replies);
}

TEST(AnswerTasks, CountsPromptsThatFillTheContextAsEmptyReplies) {
  std::vector<tasks::Sample> samples = some_samples();
  samples[0].messages[0].content = std::string(100000, 'x');
  const auto answers = answer_tasks(reference_model(), samples, small_answers(), [](int64_t) {});
  ASSERT_TRUE(answers.ok()) << answers.status();
  EXPECT_EQ(answers->prompts_too_long, 1);
  EXPECT_EQ(answers->replies[0], "");
}

TEST(AnswerTasks, SaysWhatAModelWithoutTemplateNeeds) {
  AnswerOptions options = small_answers();
  options.chat_template.clear();
  const auto answers = answer_tasks(reference_model(), some_samples(), options, [](int64_t) {});
  ASSERT_FALSE(answers.ok());
  EXPECT_NE(message_of(answers.status()).find("--chat-template"), std::string::npos);
}

class AskChats : public test::ApiTest {
 protected:
  void SetUp() override {
    model_ = reference_model();
    EngineOptions options;
    options.threads = 2;
    options.kv_tokens = 2048;
    real_ = Engine::create(model_, options).value();
    api::ServedModel served;
    served.engine = real_;
    served.tokenizer = model_->tokenizer.get();
    served.names = {"small"};
    served.renderer = *api::make_chat_renderer(*model_, kTemplate);
    serve(std::move(served), {}, false);
  }
  void TearDown() override {
    test::ApiTest::TearDown();
    real_.reset();
  }

  ChatClientOptions client_options() const {
    return {.target = parse_target(fmt::format("http://127.0.0.1:{}", server_->port()), "").value(),
            .model = "small",
            .max_tokens = 8,
            .concurrency = 3};
  }

  std::shared_ptr<const Model> model_;
  std::shared_ptr<Engine> real_;
};

TEST_F(AskChats, ALiveServerRepliesAsTheModelDoesHere) {
  const std::vector<tasks::Sample> samples = some_samples();
  std::vector<Json> conversations;
  for (const tasks::Sample& sample : samples) {
    Json messages = Json::array();
    for (size_t i = 0; i + 1 < sample.messages.size(); ++i) {
      messages.push_back({{"role", tasks::name_of(sample.messages[i].role)},
                          {"content", sample.messages[i].content}});
    }
    conversations.push_back(std::move(messages));
  }
  int64_t told = 0;
  const auto replies =
      ask_chats(client_options(), conversations, [&](int64_t done) { EXPECT_EQ(done, ++told); });
  ASSERT_TRUE(replies.ok()) << replies.status();
  EXPECT_EQ(told, 12);
  const auto here = answer_tasks(model_, samples, small_answers(), [](int64_t) {});
  ASSERT_TRUE(here.ok()) << here.status();
  int64_t tokens = 0;
  for (size_t i = 0; i < samples.size(); ++i) {
    EXPECT_EQ((*replies)[i].text, here->replies[i]);
    tokens += (*replies)[i].completion_tokens;
  }
  EXPECT_EQ(tokens, here->completion_tokens);
}

TEST_F(AskChats, SaysWhatTheServerSaid) {
  ChatClientOptions options = client_options();
  options.model = "another";
  const Json messages = {{{"role", "user"}, {"content", "hello"}}};
  const auto replies = ask_chats(options, {messages, messages}, [](int64_t) {});
  ASSERT_FALSE(replies.ok());
  EXPECT_NE(message_of(replies.status()).find("another"), std::string::npos) << replies.status();
}

TEST(ParseChatReply, RefusesWhatIsNoAnswer) {
  for (const char* body :
       {"", "[]", "{}", R"({"choices":[]})", R"({"choices":{"0":{}}})",
        R"({"choices":[{"message":1}]})", R"({"choices":[{"message":{"content":[1]}}]})"}) {
    EXPECT_FALSE(parse_chat_reply(body).ok()) << body;
  }
  const auto empty = parse_chat_reply(R"({"choices":[{"message":{"content":null}}],"usage":3})");
  ASSERT_TRUE(empty.ok()) << empty.status();
  EXPECT_EQ(empty->text, "");
}

}  // namespace
}  // namespace brisk
