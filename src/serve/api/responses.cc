#include "serve/api/responses.h"

#include <utility>

#include "base/status.h"
#include "serve/api/errors.h"
#include "serve/api/openai_response.h"
#include "serve/api/responses_answer.h"
#include "serve/api/responses_request.h"
#include "serve/api/tenant_of.h"
#include "serve/http/wire.h"

namespace brisk::api {

http::Reply Responses::create(const ServedModel& model, Metrics& metrics,
                              const http::Request& request, const http::Wakeup& wakeup) const {
  absl::StatusOr<http::Reply> reply = answer(model, metrics, request, wakeup);
  if (reply.ok()) return *std::move(reply);
  return openai_error(reply.status());
}

http::Response Responses::retrieve(const http::Request& request) const {
  const auto found = store_->find(request.params[0], request.caller.key);
  if (!found.ok()) return openai_error(found.status());
  http::Response response;
  response.body = to_text((*found)->body);
  return response;
}

http::Response Responses::remove(const http::Request& request) const {
  const std::string& id = request.params[0];
  const absl::Status removed = store_->remove(id, request.caller.key);
  if (!removed.ok()) return openai_error(removed);
  http::Response response;
  response.body = to_text({{"id", id}, {"object", "response"}, {"deleted", true}});
  return response;
}

absl::StatusOr<http::Reply> Responses::answer(const ServedModel& model, Metrics& metrics,
                                              const http::Request& request,
                                              const http::Wakeup& wakeup) const {
  const int key = request.caller.key;
  const auto find_items = [&](const std::string& id) -> absl::StatusOr<OrderedJson> {
    BRISK_ASSIGN_OR_RETURN(const auto found, store_->find(id, key));
    return found->items;
  };
  BRISK_ASSIGN_OR_RETURN(ResponsesRequest parsed,
                         parse_responses(request.body, model.defaults, find_items));
  ChatRequest& chat = parsed.chat;
  chat.spec.request.tenant = tenant_of(request.caller, chat.spec.user);
  ResponsesAnswerOptions options;
  options.id = "resp_" + http::random_hex(32);
  options.created = unix_seconds();
  options.model = chat.spec.model.empty() ? model.name() : chat.spec.model;
  options.echo = std::move(parsed.echo);
  options.logprobs = chat.spec.request.sampling.logprobs >= 0;
  if (parsed.is_stored) {
    options.on_done = [store = store_, key, items = std::move(parsed.items)](const Json& response) {
      OrderedJson all = items;
      for (const Json& item : response["output"]) all.push_back(OrderedJson::parse(to_text(item)));
      store->add({.id = response["id"], .key = key, .body = response, .items = std::move(all)});
    };
  }
  const bool is_stream = chat.spec.stream;
  BRISK_ASSIGN_OR_RETURN(std::unique_ptr<ChatGeneration> run,
                         ChatGeneration::start(model, metrics, std::move(chat), wakeup));
  if (!is_stream) return http::Reply(whole_response(std::move(options), std::move(run)));
  return http::Reply(event_stream(streamed_response(std::move(options), std::move(run))));
}

}  // namespace brisk::api
