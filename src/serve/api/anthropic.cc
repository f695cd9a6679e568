#include "serve/api/anthropic.h"

#include <utility>

#include "base/status.h"
#include "serve/api/anthropic_answer.h"
#include "serve/api/anthropic_request.h"
#include "serve/api/attribution.h"
#include "serve/api/openai_response.h"
#include "serve/http/wire.h"

namespace brisk::api {
namespace {

absl::StatusOr<http::Reply> answer(const ModelLease& model, const http::Request& request,
                                   const http::Wakeup& wakeup) {
  BRISK_ASSIGN_OR_RETURN(ChatRequest chat, parse_anthropic(request.body, model->defaults,
                                                           AnthropicEndpoint::kMessages));
  attribute(request.caller, chat.spec);
  AnthropicHead head{.id = "msg_" + http::random_hex(24),
                     .model = chat.spec.model.empty() ? model->name() : chat.spec.model,
                     .request_id = request.id};
  const bool is_stream = chat.spec.stream;
  BRISK_ASSIGN_OR_RETURN(std::unique_ptr<ChatGeneration> run,
                         ChatGeneration::start(model, std::move(chat), head.id, wakeup));
  if (!is_stream) return http::Reply(whole_anthropic_answer(std::move(head), std::move(run)));
  http::Response response =
      event_stream(streamed_anthropic_answer(std::move(head), std::move(run)));
  response.headers.emplace_back("request-id", request.id);
  return http::Reply(std::move(response));
}

absl::StatusOr<http::Reply> count(const ServedModel& model, const http::Request& request) {
  BRISK_ASSIGN_OR_RETURN(const ChatRequest chat, parse_anthropic(request.body, model.defaults,
                                                                 AnthropicEndpoint::kCountTokens));
  BRISK_RETURN_IF_ERROR(model.check_name(chat.spec.model));
  BRISK_ASSIGN_OR_RETURN(const std::vector<int32_t> prompt, chat_prompt(model, chat));
  http::Response response;
  response.body = to_text({{"input_tokens", prompt.size()}});
  return http::Reply(std::move(response));
}

http::Reply reply_or_error(absl::StatusOr<http::Reply> reply, const std::string& request_id) {
  if (reply.ok()) return *std::move(reply);
  return anthropic_error(reply.status(), request_id);
}

}  // namespace

http::Reply anthropic_messages(const ModelLease& model, const http::Request& request,
                               const http::Wakeup& wakeup) {
  return reply_or_error(answer(model, request, wakeup), request.id);
}

http::Reply anthropic_count_tokens(const ModelLease& model, const http::Request& request,
                                   const http::Wakeup&) {
  return reply_or_error(count(*model, request), request.id);
}

}  // namespace brisk::api
