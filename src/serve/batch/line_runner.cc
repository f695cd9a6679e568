#include "serve/batch/line_runner.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/json.h"
#include "base/log.h"
#include "base/status.h"
#include "serve/api/errors.h"
#include "serve/api/model_endpoint.h"
#include "serve/http/key_account.h"
#include "serve/http/sha256.h"
#include "serve/http/wire.h"

namespace brisk::batch {
namespace {

constexpr std::array<std::string_view, 4> kEndpoints = {"/v1/chat/completions", "/v1/completions",
                                                        "/v1/embeddings", "/v1/responses"};
constexpr double kPauseSecondsMin = 0.25;
constexpr double kPauseSecondsMax = 30;
constexpr double kBusyPauseSecondsMax = 2;  // room may come at any moment
constexpr int kFaultsMax = 10;              // about a minute and a half
constexpr double kGivenUpSeconds = 300;

// The same for a line whenever it is asked for.
std::string result_id(const LineWork& work) {
  const std::string digest =
      http::to_hex(http::sha256(fmt::format("{} {}", work.batch, work.line)));
  return "batch_req_" + digest.substr(0, 24);
}

http::Response internal_error(const std::exception& error) {
  spdlog::error("a batch's line threw: {}", error.what());
  return api::openai_error(absl::InternalError("internal error; the server's log says more"));
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

LineRunner::LineRunner(std::vector<http::Route> routes, int width, const Clock& clock)
    : width_(width), clock_(clock) {
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
  const auto is_of = [&batch](const Line& line) { return line.work.batch == batch; };
  return std::ranges::any_of(running_, is_of, &Running::line) ||
         std::ranges::any_of(refused_, is_of);
}

void LineRunner::cancel_all() {
  for (const Running& each : running_) each.wakeup.disarm();
  running_.clear();
  refused_.clear();
}

void LineRunner::step(LineSource& source, double seconds) {
  std::vector<LineResult> results;
  std::erase_if(refused_, [&](const Line& line) { return !source.is_wanted(line.work); });
  const bool begun = begin_lines(source, &results);
  const bool ended = poll_lines(source, &results);
  if (!results.empty()) source.put(std::move(results));
  if (!begun && !ended) news_->wait(std::min(seconds, seconds_until_retry()));
}

double LineRunner::seconds_until_retry() const {
  double seconds = kPauseSecondsMax;
  if (std::ssize(running_) >= width_) return seconds;
  for (const Line& line : refused_) {
    seconds = std::min(seconds, std::max(0.0, seconds_between(clock_.now(), line.not_before)));
  }
  return seconds;
}

bool LineRunner::begin_lines(LineSource& source, std::vector<LineResult>* results) {
  bool begun = false;
  while (std::ssize(running_) < width_) {
    std::optional<Line> line = next_line(source);
    if (!line.has_value()) break;
    begin(std::move(*line), results);
    begun = true;
  }
  return begun;
}

std::optional<LineRunner::Line> LineRunner::next_line(LineSource& source) {
  const Instant now = clock_.now();
  const auto due =
      std::ranges::find_if(refused_, [now](const Line& line) { return line.not_before <= now; });
  if (due != refused_.end()) {
    Line line = std::move(*due);
    refused_.erase(due);
    return line;
  }
  std::optional<LineWork> work =
      source.next([this](const std::string& batch) { return admits(batch); });
  if (!work.has_value()) return std::nullopt;
  return Line{.work = std::move(*work)};
}

bool LineRunner::admits(const std::string& batch) const {
  const auto refused = std::ranges::count_if(
      refused_, [&batch](const Line& line) { return line.work.batch == batch; });
  // What runs may all be refused at once: one batch alone does not fill the room.
  return std::ssize(refused_) < 2 * width_ && refused < std::max(1, width_ / 8);
}

void LineRunner::begin(Line line, std::vector<LineResult>* results) {
  const LineWork& work = line.work;
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
      if (refusal->code == "insufficient_quota") {
        results->push_back(make_failure(work, refusal->code, refusal->message));
        return;
      }
      http::Response response;
      response.status = 429;
      return settle(std::move(line), {.request_id = request.id, .response = std::move(response)},
                    results);
    }
  }
  const http::Wakeup wakeup([news = news_] { news->tell(); });
  http::Reply reply = ask(request, wakeup);
  if (auto* pending = std::get_if<std::unique_ptr<http::PendingResponse>>(&reply)) {
    running_.push_back({.line = std::move(line),
                        .request_id = request.id,
                        .wakeup = wakeup,
                        .pending = std::move(*pending)});
    return;
  }
  settle(std::move(line),
         {.request_id = request.id, .response = std::get<http::Response>(std::move(reply))},
         results);
}

http::Reply LineRunner::ask(const http::Request& request, const http::Wakeup& wakeup) const {
  const auto handler = handlers_.find(request.path);
  if (handler == handlers_.end()) {
    return api::openai_error(unsupported("there is no endpoint {} here", request.path));
  }
  try {
    return handler->second(request, wakeup);
  } catch (const std::exception& error) {
    return internal_error(error);
  }
}

bool LineRunner::poll_lines(const LineSource& source, std::vector<LineResult>* results) {
  bool ended = false;
  for (auto it = running_.begin(); it != running_.end();) {
    std::optional<http::Response> response;
    const bool wanted = source.is_wanted(it->line.work);
    try {
      if (wanted) response = it->pending->poll();
    } catch (const std::exception& error) {
      response = internal_error(error);
    }
    if (wanted && !response.has_value()) {
      ++it;
      continue;
    }
    it->wakeup.disarm();
    if (wanted) {
      settle(std::move(it->line),
             {.request_id = it->request_id, .response = std::move(*response), .has_run = true},
             results);
    }
    it = running_.erase(it);
    ended = true;
  }
  return ended;
}

void LineRunner::settle(Line line, Answer answer, std::vector<LineResult>* results) {
  if (answer.response.stream != nullptr) answer.response = no_stream();
  const int status = answer.response.status;
  if ((status != 429 && status != 503) || is_given_up(line, answer)) {
    if (status == 200) given_up_.erase(api::model_named_in(line.work.input.body));
    results->push_back(make_result(line.work, answer.response, answer.request_id));
    return;
  }
  const bool is_busy = status == 429 && !answer.has_run;
  line.pause_seconds = std::clamp(2 * line.pause_seconds, kPauseSecondsMin,
                                  is_busy ? kBusyPauseSecondsMax : kPauseSecondsMax);
  line.not_before = {clock_.now().ns + static_cast<int64_t>(line.pause_seconds * 1e9)};
  refused_.push_back(std::move(line));
}

// Of an answer that is a refusal. Counts it.
bool LineRunner::is_given_up(Line& line, const Answer& answer) {
  const bool is_unavailable = answer.response.status == 503;
  if (!is_unavailable && !answer.has_run) return false;
  ++line.faults;
  if (!is_unavailable) return line.faults >= kFaultsMax;
  const std::string model = api::model_named_in(line.work.input.body);
  const auto since = given_up_.find(model);
  const bool is_known =
      since != given_up_.end() && seconds_between(since->second, clock_.now()) < kGivenUpSeconds;
  if (line.faults >= kFaultsMax && !is_known) given_up_[model] = clock_.now();
  return line.faults >= kFaultsMax || is_known;
}

}  // namespace brisk::batch
