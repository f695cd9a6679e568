// brisk run: generate from a prompt, or chat, in the terminal.
#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <iostream>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "apps/command.h"
#include "apps/default_model.h"
#include "apps/engine_flags.h"
#include "apps/hub_model.h"
#include "base/json.h"
#include "base/log.h"
#include "base/status.h"
#include "base/units.h"
#include "compute/sys/mapped_file.h"
#include "engine/engine.h"
#include "engine/grammar_cache.h"
#include "engine/text_stream.h"
#include "model/model.h"
#include "model/template/chat_template.h"
#include "model/template/choose.h"

namespace brisk {
namespace {

constexpr size_t kPromptBytesMax = size_t{64} << 20;
constexpr int kMaxTokens = 256;
constexpr double kTemperature = 0.8;  // where neither the caller nor the model says

struct Options {
  std::string model;
  std::string tokenizer;
  std::optional<std::string> prompt;
  std::string prompt_file;
  std::string system;
  std::string chat_template;
  std::string lora;
  std::string json_schema, grammar;  // files
  std::optional<std::string> regex;
  std::vector<std::string> stops;
  bool offline = false;
  bool chat = false;
  bool json = false;
  bool ignore_eos = false;
  std::optional<int> max_tokens;
  std::optional<double> temperature, top_p, min_p, repetition_penalty;
  std::optional<int> top_k;
  std::optional<uint64_t> seed;
  EngineOptions engine;
  Activations activations = Activations::kInt8;
};

std::atomic<bool> g_interrupted = false;  // set by SIGINT, which also writes to the event
int g_interrupt_event = -1;

// What a generation came to.
struct Answer {
  std::string text;
  std::vector<int32_t> tokens;
  FinishReason finish = FinishReason::kStop;
  GenerationStats stats;
};

const char* name_of(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStop:
      return "stop";
    case FinishReason::kLength:
      return "length";
    case FinishReason::kCancelled:
      return "cancelled";
    case FinishReason::kError:
      return "error";
  }
  return "error";
}

// Loads the model. Somebody who asks for more tokens than it was made for gets them, with a
// warning, where its positions are rotations.
absl::StatusOr<std::shared_ptr<const Model>> load(const Options& options,
                                                  const std::string& prompt) {
  LoadOptions load_options = {.tokenizer_path = options.tokenizer,
                              .context_max = options.engine.context_max,
                              .activations = options.activations,
                              .threads = options.engine.threads};
  BRISK_ASSIGN_OR_RETURN(std::shared_ptr<const Model> model,
                         load_model(options.model, load_options));
  if (model->tokenizer == nullptr) {
    return invalid_input("{}: no tokenizer found; give one with --tokenizer", options.model);
  }
  const auto tokens = static_cast<int64_t>(model->tokenizer->encode(prompt, {}).size());
  const int64_t wanted = tokens + options.max_tokens.value_or(0);
  if (options.engine.context_max > 0 || wanted <= model->spec.context_length ||
      model->spec.learned_positions) {
    return model;
  }
  spdlog::warn("{} was made for {} tokens of context; the {} asked for go beyond", model->name,
               model->spec.context_length, wanted);
  load_options.context_max = wanted;
  return load_model(options.model, load_options);
}

// A loaded model with its engine, ready to answer.
class Session {
 public:
  static absl::StatusOr<std::unique_ptr<Session>> open(const Options& options,
                                                       const std::string& prompt) {
    auto session = std::unique_ptr<Session>(new Session(options));
    BRISK_ASSIGN_OR_RETURN(session->model_, load(options, prompt));
    BRISK_ASSIGN_OR_RETURN(session->stops_, StopStrings::create(options.stops));
    BRISK_ASSIGN_OR_RETURN(session->engine_, Engine::create(session->model_, options.engine));
    if (!options.lora.empty()) {
      BRISK_ASSIGN_OR_RETURN(session->adapter_,
                             session->engine_->adapters().load("lora", options.lora));
    }
    BRISK_ASSIGN_OR_RETURN(session->grammar_, session->compile_grammar());
    session->seed_ = options.seed.has_value() ? *options.seed : std::random_device{}();
    session->settle_sampling();
    return session;
  }

  const Model& model() const { return *model_; }
  uint64_t seed() const { return seed_; }
  int64_t context_max() const { return engine_->context_max(); }
  int answer_tokens_max() const { return options_.max_tokens.value_or(kMaxTokens); }

  // Continues `prompt`; prints the text as it comes when `print`.
  absl::StatusOr<Answer> generate(const std::vector<int32_t>& prompt, bool print) {
    if (prompt.empty()) {
      return invalid_input("the prompt is empty and the model has no token to begin with");
    }
    const auto room = engine_->context_max() - static_cast<int64_t>(prompt.size());
    Request request;
    request.prompt = prompt;
    request.sampling = sampling_;
    request.adapter = adapter_;
    request.grammar = grammar_;
    request.ignore_eos = options_.ignore_eos;
    request.max_tokens =
        static_cast<int>(std::max<int64_t>(1, std::min<int64_t>(answer_tokens_max(), room)));
    BRISK_ASSIGN_OR_RETURN(const std::shared_ptr<Generation> generation,
                           engine_->submit(std::move(request)));
    TextStream stream(*model_->tokenizer,
                      {.stops = stops_, .first = begins_text(*model_->tokenizer, prompt)});
    Answer answer;
    while (!generation->done()) {
      for (const TokenEvent& event : generation->wait_and_take()) {
        if (event.token >= 0 && !stream.finish()) answer.tokens.push_back(event.token);
        stream.push(event);
      }
      const std::string text = stream.take().text;
      answer.text += text;
      if (print) {
        std::fwrite(text.data(), 1, text.size(), stdout);
        std::fflush(stdout);
      }
      if (stream.hit_stop_string() || g_interrupted.exchange(false)) generation->cancel();
    }
    BRISK_RETURN_IF_ERROR(generation->status());
    answer.finish = stream.finish().value_or(FinishReason::kCancelled);
    answer.stats = generation->stats();
    return answer;
  }

 private:
  explicit Session(const Options& options) : options_(options) {}

  // What answers must be; null: anything.
  absl::StatusOr<std::shared_ptr<const CompiledGrammar>> compile_grammar() const {
    constexpr size_t kGrammarBytesMax = 1 << 20;
    GrammarSource source;
    if (options_.regex.has_value()) {
      source = {.kind = GrammarSource::Kind::kRegex, .text = *options_.regex};
    } else if (!options_.json_schema.empty()) {
      source.kind = GrammarSource::Kind::kJsonSchema;
      BRISK_ASSIGN_OR_RETURN(source.text, read_file(options_.json_schema, kGrammarBytesMax));
    } else if (!options_.grammar.empty()) {
      source.kind = GrammarSource::Kind::kGbnf;
      BRISK_ASSIGN_OR_RETURN(source.text, read_file(options_.grammar, kGrammarBytesMax));
    } else {
      return nullptr;
    }
    return GrammarCache(*model_).compile(source);
  }

  void settle_sampling() {
    const GenerationDefaults& own = model_->checkpoint->generation;
    sampling_.temperature = options_.temperature.value_or(own.temperature.value_or(kTemperature));
    sampling_.top_k = options_.top_k.value_or(own.top_k.value_or(0));
    sampling_.top_p = options_.top_p.value_or(own.top_p.value_or(1));
    sampling_.min_p = options_.min_p.value_or(own.min_p.value_or(0));
    sampling_.repetition_penalty =
        options_.repetition_penalty.value_or(own.repetition_penalty.value_or(1));
    sampling_.seed = seed_;
  }

  const Options& options_;
  std::shared_ptr<const Model> model_;
  std::unique_ptr<Engine> engine_;
  std::shared_ptr<const Adapter> adapter_;
  std::shared_ptr<const CompiledGrammar> grammar_;
  std::shared_ptr<const StopStrings> stops_;
  SamplingParams sampling_;
  uint64_t seed_ = 0;
};

void print_speed(const GenerationStats& stats) {
  const double generated = stats.completion_tokens - 1;  // after the first, which prefill gives
  fmt::print(stderr,
             "\n[prompt {} tokens, {:.1f} tokens/s; generated {} tokens, {:.1f} tokens/s; "
             "first token after {}]\n",
             stats.prompt_tokens,
             stats.prefill_seconds > 0 ? stats.prompt_tokens / stats.prefill_seconds : 0,
             stats.completion_tokens,
             stats.decode_seconds > 0 ? generated / stats.decode_seconds : 0,
             human_seconds(stats.first_token_seconds));
}

Json to_json(const Session& session, const std::string& prompt, const Answer& answer) {
  return {{"model", session.model().name},
          {"prompt", prompt},
          {"text", answer.text},
          {"tokens", answer.tokens},
          {"finish_reason", name_of(answer.finish)},
          {"seed", session.seed()},
          {"prompt_tokens", answer.stats.prompt_tokens},
          {"completion_tokens", answer.stats.completion_tokens},
          {"first_token_seconds", answer.stats.first_token_seconds},
          {"prefill_seconds", answer.stats.prefill_seconds},
          {"decode_seconds", answer.stats.decode_seconds}};
}

absl::StatusOr<std::string> read_prompt(const Options& options) {
  if (options.prompt.has_value()) return *options.prompt;
  if (!options.prompt_file.empty()) return read_file(options.prompt_file, kPromptBytesMax);
  std::string text(std::istreambuf_iterator<char>(std::cin), {});
  if (text.size() > kPromptBytesMax) return exhausted("the prompt is larger than 64 MiB");
  return text;
}

// A conversation and the template that spells it.
class Chat {
 public:
  static absl::StatusOr<Chat> create(const Model& model, const Options& options) {
    BRISK_ASSIGN_OR_RETURN(const std::string source, template_source(model, options));
    Chat chat(model);
    BRISK_ASSIGN_OR_RETURN(chat.template_, ChatTemplate::parse(source));
    if (!options.system.empty()) chat.add("system", options.system);
    chat.first_ = chat.messages_.size();
    return chat;
  }

  void add(const char* role, const std::string& content) {
    messages_.push_back({{"role", role}, {"content", content}});
  }

  size_t size() const { return messages_.size(); }

  // Drops the oldest message of the user and what was answered. False: there is but one left.
  bool forget_oldest() {
    if (messages_.size() < first_ + 3) return false;
    const auto oldest = messages_.begin() + static_cast<ptrdiff_t>(first_);
    messages_.erase(oldest, oldest + 2);
    return true;
  }

  absl::StatusOr<std::vector<int32_t>> prompt() const {
    ChatInput input = {.messages = messages_};
    const TokenizerRules& rules = model_->tokenizer->rules();
    if (rules.bos >= 0) input.bos_token = model_->tokenizer->decode_token(rules.bos, true);
    if (rules.eos >= 0) input.eos_token = model_->tokenizer->decode_token(rules.eos, true);
    BRISK_ASSIGN_OR_RETURN(const OrderedJson variables, template_variables(std::move(input)));
    BRISK_ASSIGN_OR_RETURN(const std::string text, template_->render(variables));
    return model_->tokenizer->encode(text, {.add_special = false, .parse_special = true});
  }

 private:
  explicit Chat(const Model& model) : model_(&model) {}

  static absl::StatusOr<std::string> template_source(const Model& model, const Options& options) {
    constexpr size_t kTemplateBytesMax = 1 << 20;
    if (!options.chat_template.empty()) return read_file(options.chat_template, kTemplateBytesMax);
    auto source = choose_chat_template(model.checkpoint->chat_template, *model.tokenizer);
    if (source.ok()) return source;
    return invalid_input("{}; continue a text with -p, or name a template with --chat-template",
                         message_of(source.status()));
  }

  const Model* model_;
  std::shared_ptr<const ChatTemplate> template_;
  OrderedJson messages_ = OrderedJson::array();
  size_t first_ = 0;  // messages before it are never forgotten
};

// From here on Ctrl-C stops what goes on, once: a second one ends the program.
void watch_interrupts() {
  if (g_interrupt_event < 0) g_interrupt_event = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  eventfd_t earlier = 0;
  ::eventfd_read(g_interrupt_event, &earlier);
  g_interrupted = false;
  struct sigaction action = {};
  action.sa_handler = [](int) {
    g_interrupted = true;
    ::eventfd_write(g_interrupt_event, 1);
  };
  action.sa_flags = static_cast<int>(SA_RESETHAND | SA_RESTART);
  sigaction(SIGINT, &action, nullptr);
}

// Waits until standard input has a line (or has ended). False: Ctrl-C came first.
bool wait_for_input() {
  pollfd sources[] = {{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0},
                      {.fd = g_interrupt_event, .events = POLLIN, .revents = 0}};
  while (::poll(sources, std::size(sources), -1) < 0 && errno == EINTR) {
  }
  return !g_interrupted;
}

// The next line that says something. False at the end of the input.
bool read_message(std::string& line) {
  while (true) {
    watch_interrupts();
    fmt::print("> ");
    std::fflush(stdout);
    if (!wait_for_input()) {  // the line is given up, not the conversation
      fmt::print("\n");
      continue;
    }
    if (!std::getline(std::cin, line)) return false;
    if (line.find_first_not_of(" \t\r") != std::string::npos) return true;
  }
}

// The conversation as tokens. Forgets the oldest messages until an answer fits behind it.
absl::StatusOr<std::vector<int32_t>> fit_prompt(const Session& session, Chat& chat) {
  const int64_t room = session.context_max();
  const int64_t answer = std::min<int64_t>(session.answer_tokens_max(), room / 4);
  while (true) {
    BRISK_ASSIGN_OR_RETURN(std::vector<int32_t> prompt, chat.prompt());
    const bool fits = static_cast<int64_t>(prompt.size()) + answer <= room;
    if (fits || !chat.forget_oldest()) return prompt;
  }
}

absl::Status converse(Session& session, const Options& options) {
  BRISK_ASSIGN_OR_RETURN(Chat chat, Chat::create(session.model(), options));
  fmt::print(stderr, "{}: type a message; Ctrl-C stops an answer, Ctrl-D ends\n",
             session.model().name);
  std::string line;
  while (read_message(line)) {
    Chat longer = chat;
    longer.add("user", line);
    const size_t messages = longer.size();
    BRISK_ASSIGN_OR_RETURN(const std::vector<int32_t> prompt, fit_prompt(session, longer));
    watch_interrupts();
    const auto answer = session.generate(prompt, /*print=*/true);
    if (!answer.ok()) {  // most likely one message that is longer than the context
      fmt::print(stderr, "brisk: {}\n", message_of(answer.status()));
      continue;
    }
    print_speed(answer->stats);
    if (longer.size() < messages) {
      fmt::print(stderr, "[the context holds {} tokens: the oldest messages were forgotten]\n",
                 session.context_max());
    }
    longer.add("assistant", answer->text);
    chat = std::move(longer);
  }
  fmt::print("\n");
  return absl::OkStatus();
}

absl::Status answer_once(Session& session, const Options& options, const std::string& prompt) {
  std::vector<int32_t> tokens;
  if (options.chat) {
    BRISK_ASSIGN_OR_RETURN(Chat chat, Chat::create(session.model(), options));
    chat.add("user", prompt);
    BRISK_ASSIGN_OR_RETURN(tokens, chat.prompt());
  } else {
    tokens = session.model().tokenizer->encode(prompt, {});
    if (!options.json) fmt::print("{}", prompt);
  }
  BRISK_ASSIGN_OR_RETURN(const Answer answer, session.generate(tokens, !options.json));
  if (options.json) {
    fmt::print("{}\n", to_text(to_json(session, prompt, answer)));
  } else {
    fmt::print("\n");
    print_speed(answer.stats);
  }
  return absl::OkStatus();
}

absl::Status run(Options options) {
  BRISK_ASSIGN_OR_RETURN(options.model, model_or_default(options.model));
  BRISK_ASSIGN_OR_RETURN(options.model, path_of_model(options.model, options.offline));
  const bool has_prompt = options.prompt.has_value() || !options.prompt_file.empty();
  const bool interactive = !has_prompt && isatty(STDIN_FILENO) != 0 && !options.json;
  std::string prompt;
  if (!interactive) {
    BRISK_ASSIGN_OR_RETURN(prompt, read_prompt(options));
  }
  BRISK_ASSIGN_OR_RETURN(const std::unique_ptr<Session> session, Session::open(options, prompt));
  watch_interrupts();
  return interactive ? converse(*session, options) : answer_once(*session, options, prompt);
}

}  // namespace

CommandAction add_run(CLI::App& app) {
  auto options = std::make_shared<Options>();
  Options& o = *options;
  o.engine.sequences_max = 1;
  app.add_option("model", o.model,
                 "A .gguf, a Hugging Face directory, a llama2.c .bin, or ORG/NAME[:FILE] on a hub "
                 "(default: the small model that ships with brisk)");
  app.add_flag("--offline", o.offline, "Fetch nothing from a hub");
  app.add_option("-p,--prompt", o.prompt,
                 "Text to continue; without one: standard input, or a "
                 "chat when that is a terminal");
  app.add_option("-f,--file", o.prompt_file, "File with the text to continue");
  app.add_flag("--chat", o.chat, "Take the prompt as a user's message (the model's chat template)");
  app.add_option("--system", o.system, "System message of a chat");
  app.add_option("--chat-template", o.chat_template,
                 "File with the Jinja chat template to use instead of the model's");
  app.add_option("-n,--max-tokens", o.max_tokens, "Tokens to generate at most")
      ->check(CLI::Range(1, 1 << 30))
      ->default_str("256");
  app.add_option("--temp,--temperature", o.temperature,
                 "0: always the most probable token (default: the model's, else 0.8)");
  app.add_option("--top-k", o.top_k, "Keep the k most probable tokens (0: all)");
  app.add_option("--top-p", o.top_p, "Keep the most probable tokens that sum to p");
  app.add_option("--min-p", o.min_p, "Drop tokens less probable than p times the best");
  app.add_option("--repetition-penalty", o.repetition_penalty, "Above 1: repeat less");
  app.add_option("--seed", o.seed, "Same seed, same text (default: random)");
  app.add_option("--stop", o.stops, "End when this text appears (may be repeated)");
  CLI::Option* schema =
      app.add_option("--json-schema", o.json_schema, "File with a JSON Schema that answers follow");
  CLI::Option* grammar =
      app.add_option("--grammar", o.grammar, "File with a grammar (GBNF) that answers follow");
  CLI::Option* regex =
      app.add_option("--regex", o.regex, "A regular expression that answers match as a whole");
  schema->excludes(grammar)->excludes(regex);
  grammar->excludes(regex);
  app.add_flag("--ignore-eos", o.ignore_eos, "Go on after the model's end token");
  app.add_option("--tokenizer", o.tokenizer, "Tokenizer file, for models without one");
  app.add_option("--lora", o.lora, "A LoRA adapter: a directory that PEFT wrote, or a .gguf")
      ->type_name("PATH");
  app.add_option("--threads", o.engine.threads, "Threads (0: all)")->capture_default_str();
  app.add_option("--context", o.engine.context_max, "Tokens of context (0: the model's)")
      ->capture_default_str();
  add_kv_dtype_option(app, &o.engine.kv_dtype);
  add_activations_option(app, &o.activations);
  app.add_flag("--json", o.json, "Print one JSON object");
  return [options] { return run(*options); };
}

}  // namespace brisk
