#include "serve/api/responses.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/status.h"
#include "serve/api/attribution.h"
#include "serve/api/errors.h"
#include "serve/api/openai_response.h"
#include "serve/api/page_query.h"
#include "serve/api/responses_answer.h"
#include "serve/api/responses_items.h"
#include "serve/api/responses_request.h"
#include "serve/http/wire.h"

namespace brisk::api {
namespace {

absl::StatusOr<OrderedJson> page_of(const StoredResponse& response, const PageQuery& query) {
  std::vector<const OrderedJson*> items;
  for (size_t i = 0; i < response.inputs; ++i) items.push_back(&response.items[i]);
  if (query.newest_first) std::ranges::reverse(items);
  auto first = items.begin();
  if (!query.after.empty()) {
    const auto is_it = [&](const OrderedJson* item) { return item->at("id") == query.after; };
    first = std::ranges::find_if(items, is_it);
    if (first == items.end()) return bad_param("after", "after is the id of no item of the list");
    ++first;
  }
  const auto count = std::min<ptrdiff_t>(query.limit, items.end() - first);
  OrderedJson data = OrderedJson::array();
  for (auto item = first; item != first + count; ++item) data.push_back(shown_item(**item));
  const OrderedJson nothing;
  return OrderedJson{{"object", "list"},
                     {"first_id", data.empty() ? nothing : data.front()["id"]},
                     {"last_id", data.empty() ? nothing : data.back()["id"]},
                     {"has_more", first + count != items.end()},
                     {"data", data}};
}

}  // namespace

http::Reply Responses::create(const ModelLease& model, const http::Request& request,
                              const http::Wakeup& wakeup) const {
  absl::StatusOr<http::Reply> reply = answer(model, request, wakeup);
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

http::Response Responses::input_items(const http::Request& request) const {
  const absl::StatusOr<PageQuery> query = read_page_query(request.query);
  if (!query.ok()) return openai_error(query.status());
  const auto found = store_->find(request.params[0], request.caller.key);
  if (!found.ok()) return openai_error(found.status());
  const absl::StatusOr<OrderedJson> page = page_of(**found, *query);
  if (!page.ok()) return openai_error(page.status());
  http::Response response;
  response.body = page->dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
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

absl::StatusOr<http::Reply> Responses::answer(const ModelLease& model, const http::Request& request,
                                              const http::Wakeup& wakeup) const {
  const int key = request.caller.key;
  const auto find_items = [&](const std::string& id) -> absl::StatusOr<OrderedJson> {
    BRISK_ASSIGN_OR_RETURN(const auto found, store_->find(id, key));
    return found->items;
  };
  BRISK_ASSIGN_OR_RETURN(ResponsesRequest parsed,
                         parse_responses(request.body, model->defaults, find_items));
  ChatRequest& chat = parsed.chat;
  attribute(request.caller, chat.spec);
  ResponsesAnswerOptions options;
  options.id = "resp_" + http::random_hex(32);
  options.created = unix_seconds();
  options.model = chat.spec.model.empty() ? model->name() : chat.spec.model;
  options.echo = std::move(parsed.echo);
  options.logprobs = chat.spec.request.sampling.logprobs >= 0;
  if (parsed.is_stored) {
    name_items(parsed.items);
    options.on_done = [store = store_, key, items = std::move(parsed.items)](const Json& response) {
      OrderedJson all = items;
      for (const Json& item : response["output"]) all.push_back(OrderedJson::parse(to_text(item)));
      store->add({.id = response["id"],
                  .key = key,
                  .body = response,
                  .items = std::move(all),
                  .inputs = items.size()});
    };
  }
  const bool is_stream = chat.spec.stream;
  BRISK_ASSIGN_OR_RETURN(std::unique_ptr<ChatGeneration> run,
                         ChatGeneration::start(model, std::move(chat), options.id, wakeup));
  if (!is_stream) return http::Reply(whole_response(std::move(options), std::move(run)));
  return http::Reply(event_stream(streamed_response(std::move(options), std::move(run))));
}

}  // namespace brisk::api
