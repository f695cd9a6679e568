#include "serve/api/anthropic.h"

#include <utility>

#include "base/status.h"
#include "serve/api/anthropic_answer.h"
#include "serve/api/anthropic_request.h"
#include "serve/api/openai_response.h"
#include "serve/api/tenant_of.h"
#include "serve/http/wire.h"

namespace brisk::api {
namespace {

absl::StatusOr<http::Reply> answer(const ServedModel& model, Metrics& metrics,
                                   const http::Request& request, const http::Wakeup& wakeup) {
  BRISK_ASSIGN_OR_RETURN(ChatRequest chat, parse_anthropic(request.body, model.defaults,
                                                           AnthropicEndpoint::kMessages));
  chat.spec.request.tenant = tenant_of(request.caller, chat.spec.user);
  AnthropicHead head{.id = "msg_" + http::random_hex(24),
                     .model = chat.spec.model.empty() ? model.name() : chat.spec.model,
                     .request_id = request.id};
  const bool is_stream = chat.spec.stream;
  BRISK_ASSIGN_OR_RETURN(std::unique_ptr<ChatGeneration> run,
                         ChatGeneration::start(model, metrics, std::move(chat), wakeup));
  if (!is_stream) return http::Reply(whole_anthropic_answer(std::move(head), std::move(run)));
  http::Response response =
      event_stream(streamed_anthropic_answer(std::move(head), std::move(run)));
  response.headers.emplace_back("request-id", request.id);
  return http::Reply(std::move(response));
}

absl::StatusOr<http::Response> count(const ServedModel& model, const http::Request& request) {
  BRISK_ASSIGN_OR_RETURN(const ChatRequest chat, parse_anthropic(request.body, model.defaults,
                                                                 AnthropicEndpoint::kCountTokens));
  BRISK_RETURN_IF_ERROR(model.check_name(chat.spec.model));
  BRISK_ASSIGN_OR_RETURN(const std::vector<int32_t> prompt, chat_prompt(model, chat));
  http::Response response;
  response.body = to_text({{"input_tokens", prompt.size()}});
  return response;
}

}  // namespace

http::Reply anthropic_messages(const ServedModel& model, Metrics& metrics,
                               const http::Request& request, const http::Wakeup& wakeup) {
  absl::StatusOr<http::Reply> reply = answer(model, metrics, request, wakeup);
  if (reply.ok()) return *std::move(reply);
  return anthropic_error(reply.status(), request.id);
}

http::Response anthropic_count_tokens(const ServedModel& model, const http::Request& request) {
  absl::StatusOr<http::Response> response = count(model, request);
  return response.ok() ? *std::move(response) : anthropic_error(response.status(), request.id);
}

}  // namespace brisk::api
