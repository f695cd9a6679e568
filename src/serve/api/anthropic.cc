#include "serve/api/anthropic.h"

#include <utility>

#include "base/status.h"
#include "serve/api/anthropic_answer.h"
#include "serve/api/anthropic_request.h"
#include "serve/api/openai_response.h"
#include "serve/api/tenant_of.h"
#include "serve/http/wire.h"

namespace brisk::api {

http::Reply Anthropic::messages(const http::Request& request, const http::Wakeup& wakeup) const {
  absl::StatusOr<http::Reply> reply = answer(request, wakeup);
  if (reply.ok()) return *std::move(reply);
  return anthropic_error(reply.status(), request.id);
}

http::Response Anthropic::count_tokens(const http::Request& request) const {
  absl::StatusOr<http::Response> response = count(request);
  return response.ok() ? *std::move(response) : anthropic_error(response.status(), request.id);
}

absl::StatusOr<http::Reply> Anthropic::answer(const http::Request& request,
                                              const http::Wakeup& wakeup) const {
  BRISK_ASSIGN_OR_RETURN(ChatRequest chat, parse_anthropic(request.body, model_.defaults,
                                                           AnthropicEndpoint::kMessages));
  chat.spec.request.tenant = tenant_of(request.caller, chat.spec.user);
  AnthropicHead head{.id = "msg_" + http::random_hex(24),
                     .model = chat.spec.model.empty() ? model_.name() : chat.spec.model,
                     .request_id = request.id};
  const bool is_stream = chat.spec.stream;
  BRISK_ASSIGN_OR_RETURN(std::unique_ptr<ChatGeneration> run,
                         ChatGeneration::start(model_, metrics_, std::move(chat), wakeup));
  if (!is_stream) return http::Reply(whole_anthropic_answer(std::move(head), std::move(run)));
  http::Response response =
      event_stream(streamed_anthropic_answer(std::move(head), std::move(run)));
  response.headers.emplace_back("request-id", request.id);
  return http::Reply(std::move(response));
}

absl::StatusOr<http::Response> Anthropic::count(const http::Request& request) const {
  BRISK_ASSIGN_OR_RETURN(const ChatRequest chat, parse_anthropic(request.body, model_.defaults,
                                                                 AnthropicEndpoint::kCountTokens));
  BRISK_RETURN_IF_ERROR(model_.check_name(chat.spec.model));
  BRISK_ASSIGN_OR_RETURN(const std::vector<int32_t> prompt, chat_prompt(model_, chat));
  http::Response response;
  response.body = to_text({{"input_tokens", prompt.size()}});
  return response;
}

}  // namespace brisk::api
