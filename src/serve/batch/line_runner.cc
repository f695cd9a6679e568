#include "serve/batch/line_runner.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/json.h"
#include "base/log.h"
#include "base/status.h"
#include "serve/api/errors.h"
#include "serve/http/key_account.h"
#include "serve/http/sha256.h"
#include "serve/http/wire.h"

namespace brisk::batch {
namespace {

constexpr std::array<std::string_view, 4> kEndpoints = {"/v1/chat/completions", "/v1/completions",
                                                        "/v1/embeddings", "/v1/responses"};
constexpr double kRetrySeconds = 0.25;

// The same for a line whenever it is asked for.
std::string result_id(const LineWork& work) {
  const std::string digest =
      http::to_hex(http::sha256(fmt::format("{} {}", work.batch, work.line)));
  return "batch_req_" + digest.substr(0, 24);
}

http::Response no_stream() {
  return api::openai_error(api::bad_param("stream", "stream is not possible in a batch"));
}

}  // namespace

// Bodies are written as they are: one line of JSON each.
LineResult make_result(const LineWork& work, const http::Response& response,
                       const std::string& request_id) {
  LineResult result{.batch = work.batch, .line = work.line, .success = response.status == 200};
  result.text = fmt::format(
      R"({{"id":"{}","custom_id":{},"response":{{"status_code":{},"request_id":"{}","body":{}}},)"
      R"("error":null}})",
      result_id(work), to_text(work.input.custom_id), response.status, request_id, response.body);
  return result;
}

LineResult make_failure(const LineWork& work, std::string_view code, std::string_view message) {
  LineResult result{.batch = work.batch, .line = work.line, .success = false};
  result.text = fmt::format(
      R"({{"id":"{}","custom_id":{},"response":null,"error":{{"code":"{}","message":{}}}}})",
      result_id(work), to_text(work.input.custom_id), code, to_text(std::string(message)));
  return result;
}

void LineRunner::News::tell() {
  absl::MutexLock lock(&mutex);
  any = true;
}

void LineRunner::News::wait(double seconds) {
  absl::MutexLock lock(&mutex);
  mutex.AwaitWithTimeout(absl::Condition(&any), absl::Seconds(seconds));
  any = false;
}

LineRunner::LineRunner(std::vector<http::Route> routes, int width) : width_(width) {
  for (http::Route& route : routes) {
    if (std::ranges::find(kEndpoints, route.path) != kEndpoints.end() && route.method == "POST") {
      handlers_[route.path] = std::move(route.handler);
    }
  }
}

std::vector<std::string> LineRunner::endpoints() const {
  std::vector<std::string> urls;
  for (const auto& [url, handler] : handlers_) urls.push_back(url);
  return urls;
}

void LineRunner::wake() { news_->tell(); }

bool LineRunner::is_running(const std::string& batch) const {
  const auto is_of = [&batch](const LineWork& work) { return work.batch == batch; };
  return std::ranges::any_of(running_, is_of, &Running::work) ||
         std::ranges::any_of(refused_, is_of);
}

void LineRunner::cancel_all() {
  for (const Running& each : running_) each.wakeup.disarm();
  running_.clear();
  refused_.clear();
}

void LineRunner::step(LineSource& source, double seconds) {
  std::vector<LineResult> results;
  std::erase_if(refused_, [&](const LineWork& work) { return !source.is_wanted(work); });
  const bool begun = begin_lines(source, &results);
  const bool ended = poll_lines(source, &results);
  if (!results.empty()) source.put(std::move(results));
  if (begun || ended) return;
  const double pause = seconds_between(clock_.now(), pause_until_);
  news_->wait(pause > 0 ? std::min(pause, seconds) : seconds);
}

bool LineRunner::begin_lines(LineSource& source, std::vector<LineResult>* results) {
  bool begun = false;
  while (std::ssize(running_) < width_ && clock_.now() >= pause_until_) {
    std::optional<LineWork> work;
    if (!refused_.empty()) {
      work = std::move(refused_.front());
      refused_.pop_front();
    } else {
      work = source.next();
    }
    if (!work.has_value()) break;
    begin(std::move(*work), results);
    begun = true;
  }
  return begun;
}

void LineRunner::begin(LineWork work, std::vector<LineResult>* results) {
  http::Request request;
  request.method = "POST";
  request.path = work.input.url;
  request.body = work.input.body;
  request.id = http::request_id_or_new("");
  request.received = clock_.now();
  request.caller = work.caller;
  request.caller.background = true;
  if (work.caller.account != nullptr) {
    if (const auto refusal = work.caller.account->check_tokens(clock_.now())) {
      http::Response response;
      response.status = 429;
      if (refusal->code == "insufficient_quota") {
        results->push_back(make_failure(work, refusal->code, refusal->message));
        return;
      }
      response.headers.emplace_back("retry-after", fmt::format("{:.0f}", refusal->retry_after));
      return settle(std::move(work), request.id, response, results);
    }
  }
  const http::Wakeup wakeup([news = news_] { news->tell(); });
  http::Reply reply;
  const auto handler = handlers_.find(request.path);
  try {
    if (handler == handlers_.end()) {
      reply = api::openai_error(unsupported("there is no endpoint {} here", request.path));
    } else {
      reply = handler->second(request, wakeup);
    }
  } catch (const std::exception& error) {
    spdlog::error("a batch's line threw: {}", error.what());
    reply = api::openai_error(absl::InternalError("internal error; the server's log says more"));
  }
  if (auto* pending = std::get_if<std::unique_ptr<http::PendingResponse>>(&reply)) {
    running_.push_back({.work = std::move(work),
                        .request_id = request.id,
                        .wakeup = wakeup,
                        .pending = std::move(*pending)});
    return;
  }
  http::Response response = std::move(std::get<http::Response>(reply));
  if (response.stream != nullptr) response = no_stream();
  settle(std::move(work), request.id, response, results);
}

bool LineRunner::poll_lines(const LineSource& source, std::vector<LineResult>* results) {
  bool ended = false;
  for (auto it = running_.begin(); it != running_.end();) {
    std::optional<http::Response> response;
    const bool wanted = source.is_wanted(it->work);
    try {
      if (wanted) response = it->pending->poll();
    } catch (const std::exception& error) {
      spdlog::error("a batch's line threw: {}", error.what());
      response =
          api::openai_error(absl::InternalError("internal error; the server's log says more"));
    }
    if (wanted && !response.has_value()) {
      ++it;
      continue;
    }
    it->wakeup.disarm();
    if (wanted && response->stream != nullptr) *response = no_stream();
    if (wanted) settle(std::move(it->work), it->request_id, *response, results);
    it = running_.erase(it);
    ended = true;
  }
  return ended;
}

// No room now is no result.
void LineRunner::settle(LineWork work, const std::string& request_id,
                        const http::Response& response, std::vector<LineResult>* results) {
  if (response.status != 429 && response.status != 503) {
    results->push_back(make_result(work, response, request_id));
    return;
  }
  refused_.push_back(std::move(work));
  pause_until_ = {clock_.now().ns + static_cast<int64_t>(kRetrySeconds * 1e9)};
}

}  // namespace brisk::batch
