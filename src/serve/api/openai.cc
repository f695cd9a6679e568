#include "serve/api/openai.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "base/status.h"
#include "serve/api/attribution.h"
#include "serve/api/chat_answer.h"
#include "serve/api/chat_generation.h"
#include "serve/api/errors.h"
#include "serve/api/openai_answer.h"
#include "serve/api/openai_request.h"
#include "serve/http/wire.h"

namespace brisk::api {
namespace {

constexpr int kCompletionTokensDefault = 16;

http::Reply reply_or_error(absl::StatusOr<http::Reply> reply) {
  if (reply.ok()) return std::move(*reply);
  return openai_error(reply.status());
}

AnswerHead head_of(const ServedModel& model, const GenerationSpec& spec, const char* prefix) {
  return {.id = prefix + http::random_hex(24),
          .created = unix_seconds(),
          .model = spec.model.empty() ? model.name() : spec.model};
}

// Submits `requests`; from here on the client gets a 200 unless a whole answer fails.
absl::StatusOr<http::Reply> answer(const ModelLease& model, const GenerationSpec& spec,
                                   std::vector<Request> requests, AnswerOptions options,
                                   const http::Wakeup& wakeup) {
  TextGeneration::Options text;
  BRISK_ASSIGN_OR_RETURN(text.stops, StopStrings::create(spec.stop));
  text.include_stop = spec.include_stop;
  text.special = !spec.skip_special_tokens;
  text.keep_tokens = spec.request.sampling.logprobs >= 0;
  text.listed_in = model->running;
  text.listed_as = {.id = options.head.id, .model = options.head.model, .key = spec.caller_key};
  text.account = spec.account;
  absl::StatusOr<std::unique_ptr<TextGeneration>> run =
      TextGeneration::start(model, std::move(requests), text, wakeup);
  if (!run.ok()) return blame_field(run.status());
  options.tokenizer = model->tokenizer;
  options.logprobs = spec.request.sampling.logprobs;
  options.prompt_logprobs = spec.request.prompt_logprobs;
  options.include_usage = spec.include_usage;
  if (!spec.stream) return http::Reply(whole_answer(std::move(options), std::move(*run)));
  return http::Reply(event_stream(streamed_answer(std::move(options), std::move(*run))));
}

std::string prompt_text(const ServedModel& model, const PromptText& prompt) {
  if (const auto* text = std::get_if<std::string>(&prompt)) return *text;
  return model.tokenizer->decode(std::get<std::vector<int32_t>>(prompt), true);
}

absl::StatusOr<http::Reply> complete(const ModelLease& lease, const http::Request& request,
                                     const http::Wakeup& wakeup) {
  const ServedModel& model = *lease;
  BRISK_ASSIGN_OR_RETURN(CompletionRequest completion,
                         parse_completion(request.body, model.defaults));
  attribute(request.caller, completion.spec);
  BRISK_RETURN_IF_ERROR(model.check_name(completion.spec.model));
  std::vector<Request> requests;
  AnswerOptions options;
  options.head = head_of(model, completion.spec, "cmpl-");
  options.best_of = completion.spec.request.choices;
  options.returned = completion.returned;
  options.best_first = completion.spec.request.beam_search.has_value();
  options.only_echo = completion.only_echo;
  for (const PromptText& prompt : completion.prompts) {
    BRISK_ASSIGN_OR_RETURN(std::vector<int32_t> tokens,
                           encode_prompt(model, prompt, completion.add_special_tokens));
    BRISK_ASSIGN_OR_RETURN(Request each, make_request(model, completion.spec, std::move(tokens),
                                                      kCompletionTokensDefault));
    const int logprobs = each.sampling.logprobs;
    if (options.best_of > options.returned) each.sampling.logprobs = std::max(logprobs, 0);
    if (completion.echo) {
      options.echo.insert(options.echo.end(), static_cast<size_t>(each.choices),
                          prompt_text(model, prompt));
      each.prompt_logprobs = std::max(each.prompt_logprobs, logprobs);
    }
    requests.push_back(std::move(each));
  }
  return answer(lease, completion.spec, std::move(requests), std::move(options), wakeup);
}

absl::StatusOr<http::Reply> chat(const ModelLease& lease, const http::Request& request,
                                 const http::Wakeup& wakeup) {
  const ServedModel& model = *lease;
  BRISK_ASSIGN_OR_RETURN(ChatRequest chat, parse_chat(request.body, model.defaults));
  attribute(request.caller, chat.spec);
  ChatAnswerOptions options{.head = head_of(model, chat.spec, "chatcmpl-"),
                            .logprobs = chat.spec.request.sampling.logprobs,
                            .prompt_logprobs = chat.spec.request.prompt_logprobs,
                            .include_usage = chat.spec.include_usage};
  const bool is_stream = chat.spec.stream;
  BRISK_ASSIGN_OR_RETURN(std::unique_ptr<ChatGeneration> run,
                         ChatGeneration::start(lease, std::move(chat), options.head.id, wakeup));
  if (!is_stream) return http::Reply(whole_chat_answer(std::move(options), std::move(run)));
  return http::Reply(event_stream(streamed_chat_answer(std::move(options), std::move(run))));
}

}  // namespace

http::Reply completions(const ModelLease& model, const http::Request& request,
                        const http::Wakeup& wakeup) {
  return reply_or_error(complete(model, request, wakeup));
}

http::Reply chat_completions(const ModelLease& model, const http::Request& request,
                             const http::Wakeup& wakeup) {
  return reply_or_error(chat(model, request, wakeup));
}

}  // namespace brisk::api
