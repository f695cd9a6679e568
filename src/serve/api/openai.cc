#include "serve/api/openai.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "base/status.h"
#include "serve/api/attribution.h"
#include "serve/api/errors.h"
#include "serve/api/openai_answer.h"
#include "serve/api/openai_request.h"
#include "serve/http/wire.h"

namespace brisk::api {
namespace {

constexpr int kCompletionTokensDefault = 16;
constexpr int kRestOfContext = 0;

http::Reply reply_or_error(absl::StatusOr<http::Reply> reply) {
  if (reply.ok()) return std::move(*reply);
  return openai_error(reply.status());
}

// The engine's refusals of a request begin with the name of the field.
absl::Status blame_field(absl::Status status) {
  if (!absl::IsInvalidArgument(status)) return status;
  const std::string_view message = message_of(status);
  return bad_param(message.substr(0, message.find(' ')), std::string(message));
}

// Submits `requests`; from here on the client gets a 200 unless a whole answer fails.
absl::StatusOr<http::Reply> answer(const ServedModel& model, Metrics& metrics,
                                   const GenerationSpec& spec, std::vector<Request> requests,
                                   AnswerOptions options, const http::Wakeup& wakeup) {
  TextGeneration::Options text;
  BRISK_ASSIGN_OR_RETURN(text.stops, StopStrings::create(spec.stop));
  text.include_stop = spec.include_stop;
  text.special = !spec.skip_special_tokens;
  text.keep_tokens = spec.request.sampling.logprobs >= 0;
  text.account = spec.account;
  absl::StatusOr<std::unique_ptr<TextGeneration>> run =
      TextGeneration::start(*model.engine, metrics, std::move(requests), text, wakeup);
  if (!run.ok()) return blame_field(run.status());
  options.tokenizer = model.tokenizer;
  options.logprobs = spec.request.sampling.logprobs;
  options.prompt_logprobs = spec.request.prompt_logprobs;
  options.include_usage = spec.include_usage;
  options.head.created = unix_seconds();
  options.head.model = spec.model.empty() ? model.name() : spec.model;
  if (!spec.stream) return http::Reply(whole_answer(std::move(options), std::move(*run)));
  http::Response response;
  response.content_type = "text/event-stream; charset=utf-8";
  response.headers = {{"cache-control", "no-cache"}, {"x-accel-buffering", "no"}};
  response.stream = streamed_answer(std::move(options), std::move(*run));
  return http::Reply(std::move(response));
}

std::string prompt_text(const ServedModel& model, const PromptText& prompt) {
  if (const auto* text = std::get_if<std::string>(&prompt)) return *text;
  return model.tokenizer->decode(std::get<std::vector<int32_t>>(prompt), true);
}

}  // namespace

http::Reply OpenAi::completions(const http::Request& request, const http::Wakeup& wakeup) const {
  return reply_or_error(complete(request, wakeup));
}

http::Reply OpenAi::chat_completions(const http::Request& request,
                                     const http::Wakeup& wakeup) const {
  return reply_or_error(chat(request, wakeup));
}

absl::StatusOr<http::Reply> OpenAi::complete(const http::Request& request,
                                             const http::Wakeup& wakeup) const {
  BRISK_ASSIGN_OR_RETURN(CompletionRequest completion,
                         parse_completion(request.body, model_.defaults));
  attribute(request.caller, completion.spec);
  BRISK_RETURN_IF_ERROR(model_.check_name(completion.spec.model));
  std::vector<Request> requests;
  AnswerOptions options;
  options.head.id = "cmpl-" + http::random_hex(24);
  options.best_of = completion.spec.request.choices;
  options.returned = completion.returned;
  options.best_first = completion.spec.request.beam_search.has_value();
  options.only_echo = completion.only_echo;
  for (const PromptText& prompt : completion.prompts) {
    BRISK_ASSIGN_OR_RETURN(std::vector<int32_t> tokens,
                           encode_prompt(model_, prompt, completion.add_special_tokens));
    BRISK_ASSIGN_OR_RETURN(Request each, make_request(model_, completion.spec, std::move(tokens),
                                                      kCompletionTokensDefault));
    const int logprobs = each.sampling.logprobs;
    if (options.best_of > options.returned) each.sampling.logprobs = std::max(logprobs, 0);
    if (completion.echo) {
      options.echo.insert(options.echo.end(), static_cast<size_t>(each.choices),
                          prompt_text(model_, prompt));
      each.prompt_logprobs = std::max(each.prompt_logprobs, logprobs);
    }
    requests.push_back(std::move(each));
  }
  return answer(model_, metrics_, completion.spec, std::move(requests), std::move(options), wakeup);
}

absl::StatusOr<http::Reply> OpenAi::chat(const http::Request& request,
                                         const http::Wakeup& wakeup) const {
  BRISK_ASSIGN_OR_RETURN(ChatRequest chat, parse_chat(request.body, model_.defaults));
  attribute(request.caller, chat.spec);
  BRISK_RETURN_IF_ERROR(model_.check_name(chat.spec.model));
  BRISK_ASSIGN_OR_RETURN(std::vector<int32_t> tokens, encode_chat(model_, chat));
  std::vector<Request> requests;
  BRISK_ASSIGN_OR_RETURN(requests.emplace_back(),
                         make_request(model_, chat.spec, std::move(tokens), kRestOfContext));
  AnswerOptions options;
  options.head.id = "chatcmpl-" + http::random_hex(24);
  options.chat = true;
  return answer(model_, metrics_, chat.spec, std::move(requests), std::move(options), wakeup);
}

http::Response OpenAi::models() const {
  Json data = Json::array();
  for (const std::string& name : model_.names) data.push_back(model_json(name, nullptr));
  for (const auto& adapter : model_.engine->adapters().list()) {
    data.push_back(model_json(adapter->name, model_.name()));
  }
  http::Response response;
  response.body = to_text({{"object", "list"}, {"data", std::move(data)}});
  return response;
}

http::Response OpenAi::model(const std::string& name) const {
  const auto adapter = model_.adapter_named(name);
  if (!adapter.ok()) return openai_error(adapter.status());
  http::Response response;
  response.body = to_text(model_json(name, *adapter == nullptr ? Json() : Json(model_.name())));
  return response;
}

// `parent`: the model that an adapter belongs to, or null.
Json OpenAi::model_json(const std::string& name, const Json& parent) const {
  return {{"id", name},
          {"object", "model"},
          {"created", model_.created},
          {"owned_by", "brisk"},
          {"root", parent.is_null() ? model_.name() : name},
          {"parent", parent},
          {"max_model_len", model_.engine->context_max()}};
}

}  // namespace brisk::api
