#include "apps/eval_suites.h"

#include <fmt/format.h>

#include <utility>

#include "apps/progress.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/status.h"
#include "compress/evaluate/number_questions.h"
#include "compute/sys/mapped_file.h"
#include "plan/load/chat_client.h"
#include "plan/load/server_probe.h"
#include "tasks/read_samples.h"

namespace brisk {
namespace {

using TaskSample = tasks::Sample;

constexpr size_t kTemplateBytesMax = 1 << 20;

bool is_file(const std::vector<std::string>& names) {
  return names.size() == 1 && tasks::find_task(names[0]) == nullptr && names[0] != "all";
}

absl::StatusOr<std::vector<TaskSample>> load_tasks(const SuiteOptions& options) {
  if (is_file(options.tasks)) {
    const std::string& path = options.tasks[0];
    BRISK_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::open(path));
    auto samples = tasks::parse_graded_samples(file.text(), options.limit);
    if (!samples.ok()) return annotate(samples.status(), path);
    return samples;
  }
  BRISK_ASSIGN_OR_RETURN(const tasks::Mix mix, make_mix(options.tasks, options.flags));
  std::vector<TaskSample> samples = tasks::generate_graded(mix, options.count);
  if (options.limit > 0 && samples.size() > options.limit) samples.resize(options.limit);
  if (samples.empty()) return invalid_input("none of these tasks has one right answer");
  return samples;
}

absl::StatusOr<std::vector<TaskSample>> load_questions(const SuiteOptions& options) {
  BRISK_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::open(options.questions));
  auto samples = parse_number_questions(file.text(), options.limit);
  if (!samples.ok()) return annotate(samples.status(), options.questions);
  return samples;
}

SuiteResult graded(const Suite& suite, TaskAnswers answers) {
  SuiteResult result = {.suite = &suite, .answers = std::move(answers), .board = {}, .right = {}};
  for (size_t i = 0; i < suite.samples.size(); ++i) {
    const TaskSample& sample = suite.samples[i];
    result.right.push_back(suite.is_right(*sample.answer, result.answers.replies[i]));
    result.board.add(sample, result.right.back());
  }
  return result;
}

}  // namespace

void add_suite_options(CLI::App& app, SuiteOptions* options) {
  app.add_option("--tasks", options->tasks,
                 "Tasks to solve: a .jsonl of `brisk tasks generate`, or names (or all), which are "
                 "generated here")
      ->delimiter(',');
  options->flags.split = "test";
  add_task_options(app, &options->flags);
  app.add_option("--count", options->count, "How many of each task and level are generated")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  app.add_option(
         "--questions", options->questions,
         "Questions whose answer is a number: a .jsonl of \"question\" and \"answer\" (\"... "
         "#### 42\"), as GSM8K has them; the last number of the reply counts")
      ->type_name("FILE");
  app.add_option("--limit", options->limit,
                 "Only the first so many tasks, choices and questions (0: all)")
      ->capture_default_str();
  app.add_option("--max-tokens", options->max_tokens, "Tokens of an answer")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  app.add_option("--chat-template", options->chat_template,
                 "File with a Jinja template, for models without their own");
}

void add_server_options(CLI::App& app, SuiteOptions* options) {
  app.add_option("--server", options->server,
                 "Ask a server of OpenAI's API instead of a model here: http://127.0.0.1:8000");
  app.add_option("--model", options->server_model, "The server's model; else the first it has");
  app.add_option("--api-key", options->api_key, "Key for the server")->envname("BRISK_API_KEY");
  app.add_option("--concurrency", options->concurrency, "Questions to the server at once")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
}

absl::StatusOr<std::vector<Suite>> load_suites(const SuiteOptions& options) {
  std::vector<Suite> suites;
  if (!options.tasks.empty()) {
    BRISK_ASSIGN_OR_RETURN(std::vector<TaskSample> samples, load_tasks(options));
    suites.push_back({"tasks", std::move(samples), tasks::is_right});
  }
  if (!options.questions.empty()) {
    BRISK_ASSIGN_OR_RETURN(std::vector<TaskSample> samples, load_questions(options));
    suites.push_back({"questions", std::move(samples), is_right_number});
  }
  return suites;
}

void outline_suites(const SuiteOptions& options, QualityReport* report) {
  if (!options.tasks.empty()) report->accuracies.push_back({.name = "tasks", .score = {}});
  if (!options.questions.empty()) report->accuracies.push_back({.name = "questions", .score = {}});
}

Accuracy accuracy_of(const std::string& name, const std::vector<bool>& right) {
  Accuracy accuracy = {.name = name, .score = {}};
  for (const bool one : right) accuracy.score.add(one);
  return accuracy;
}

absl::StatusOr<SuiteResult> ask_server(const Suite& suite, const SuiteOptions& options,
                                       std::string* who) {
  ChatClientOptions client = {.target = {},
                              .model = options.server_model,
                              .max_tokens = options.max_tokens,
                              .concurrency = options.concurrency};
  BRISK_ASSIGN_OR_RETURN(client.target, parse_target(options.server, options.api_key));
  if (client.model.empty()) {
    BRISK_ASSIGN_OR_RETURN(client.model, first_model(client.target));
  }
  *who = client.model + " at " + to_url(client.target);
  std::vector<Json> conversations;
  for (const TaskSample& sample : suite.samples) {
    Json messages = Json::array();
    for (size_t i = 0; i + 1 < sample.messages.size(); ++i) {
      messages.push_back({{"role", tasks::name_of(sample.messages[i].role)},
                          {"content", sample.messages[i].content}});
    }
    conversations.push_back(std::move(messages));
  }
  Progress progress(suite.name);
  const SteadyClock clock;
  const Instant start = clock.now();
  BRISK_ASSIGN_OR_RETURN(std::vector<ChatReply> replies,
                         ask_chats(client, conversations, [&](int64_t done) {
                           progress.show_items(static_cast<uint64_t>(done), suite.samples.size());
                         }));
  TaskAnswers answers;
  answers.seconds = seconds_between(start, clock.now());
  for (ChatReply& reply : replies) {
    answers.replies.push_back(std::move(reply.text));
    answers.prompt_tokens += reply.prompt_tokens;
    answers.completion_tokens += reply.completion_tokens;
  }
  return graded(suite, std::move(answers));
}

absl::StatusOr<SuiteResult> ask_model(const SuiteModel& model, const Suite& suite,
                                      const SuiteOptions& options) {
  AnswerOptions answering = {
      .engine = {}, .lora = model.lora, .chat_template = {}, .max_tokens = options.max_tokens};
  if (!options.chat_template.empty()) {
    BRISK_ASSIGN_OR_RETURN(answering.chat_template,
                           read_file(options.chat_template, kTemplateBytesMax));
  }
  answering.engine.threads = model.threads;
  answering.engine.kv_dtype = model.kv_dtype;
  Progress progress(fmt::format("{}, {}", model.model->name, suite.name));
  BRISK_ASSIGN_OR_RETURN(TaskAnswers answers,
                         answer_tasks(model.model, suite.samples, answering, [&](int64_t done) {
                           progress.show_items(static_cast<uint64_t>(done), suite.samples.size());
                         }));
  return graded(suite, std::move(answers));
}

}  // namespace brisk
