#include "plan/load/load_stream.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "plan/load/http_stream.h"
#include "plan/load/sse_reader.h"
#include "plan/load/stream_event.h"

namespace brisk {
namespace {

constexpr int kStatusOk = 200;
constexpr int kStatusRefused = 429;
constexpr size_t kErrorBodyBytesMax = 4096;

class HttpLoadStream final : public LoadStream, public HttpStreamHandler {
 public:
  HttpLoadStream(const LoadStreamOptions& options, std::shared_ptr<HttpStream> http,
                 LoadStreamOwner& owner)
      : options_(options), http_(std::move(http)), owner_(owner) {}

  void send(const OutgoingRequest& outgoing) override {
    now_ = {};
    now_.index = outgoing.index;
    now_.arrived_s = outgoing.arrived_s;
    now_.sent_s = owner_.now_s();
    now_.result.scheduled_s = outgoing.arrived_s;
    now_.result.wait_s = now_.sent_s - outgoing.arrived_s;
    now_.result.prompt_tokens = prompt_tokens(*outgoing.request);
    busy_ = true;
    sse_.reset();
    const bool chat = options_.endpoint == LoadEndpoint::kChat;
    http_->send(format_request(options_.target, chat ? "/v1/chat/completions" : "/v1/completions",
                               outgoing.body),
                *this);
  }

  size_t request_index() const override { return now_.index; }

  void end_if_older_than(double timeout_s, double now_s) override {
    if (!busy_ || now_s - now_.sent_s <= timeout_s) return;
    http_->abandon(fmt::format("no end within {:g} s", timeout_s));
  }

  void close() override { http_->close(); }

  void on_head(int status) override { now_.status = status; }

  void on_body(std::string_view bytes) override {
    if (now_.status != kStatusOk) {
      now_.error_body += bytes.substr(0, kErrorBodyBytesMax - now_.error_body.size());
      return;
    }
    const double at_s = owner_.now_s();
    if (!sse_.push(bytes, [&](std::string_view data) { take_event(data, at_s); })) {
      http_->abandon("an event of the stream is too long");
    }
  }

  void on_end(const std::string& error) override {
    busy_ = false;
    StreamEnd end;
    end.error = problem(error);
    end.result = now_.result;
    const bool refused = error.empty() && now_.status == kStatusRefused;
    if (end.error.empty()) {
      end.result.outcome = LoadOutcome::kServed;
      end.result.ttft_s = now_.first_s - now_.arrived_s;
      end.result.e2e_s = now_.last_s - now_.arrived_s;
      if (!now_.usage_seen) end.result.output_tokens = now_.outputs;
    } else {
      end.result.outcome = refused ? LoadOutcome::kRefused : LoadOutcome::kFailed;
      end.result.e2e_s = owner_.now_s() - now_.arrived_s;
    }
    owner_.on_end(*this, end);
  }

 private:
  // What is known of the request under way.
  struct Exchange {
    size_t index = 0;
    double arrived_s = 0;
    double sent_s = 0;
    double first_s = 0;  // output
    double last_s = 0;
    int64_t outputs = 0;
    int status = 0;
    bool done = false;
    bool usage_seen = false;
    std::string error_body;
    std::string stream_error;
    RequestResult result;
  };

  void take_event(std::string_view data, double at_s) {
    const StreamEvent event = read_stream_event(data);
    if (event.output) {
      owner_.on_output(at_s, now_.outputs == 0 ? -1 : at_s - now_.last_s);
      if (now_.outputs == 0) now_.first_s = at_s;
      now_.last_s = at_s;
      ++now_.outputs;
    }
    if (event.usage) {
      now_.usage_seen = true;
      now_.result.prompt_tokens = event.usage->prompt_tokens;
      now_.result.output_tokens = event.usage->output_tokens;
      now_.result.cached_tokens = event.usage->cached_tokens;
    }
    if (!event.error.empty()) now_.stream_error = event.error;
    now_.done = now_.done || event.done;
  }

  // Why the request under way was not served; empty when it was.
  std::string problem(const std::string& error) const {
    if (!error.empty()) return error;
    if (now_.status != kStatusOk) {
      return fmt::format("HTTP {}: {}", now_.status, error_message(now_.error_body));
    }
    if (!now_.stream_error.empty()) return "the stream ended with an error: " + now_.stream_error;
    if (!now_.done) return "the stream ended without [DONE]";
    if (now_.outputs == 0) return "the stream had no output";
    return "";
  }

  const LoadStreamOptions options_;
  const std::shared_ptr<HttpStream> http_;
  LoadStreamOwner& owner_;
  SseReader sse_;
  Exchange now_;
  bool busy_ = false;
};

}  // namespace

std::unique_ptr<LoadStream> make_load_stream(const LoadStreamOptions& options,
                                             boost::asio::io_context& context,
                                             const boost::asio::ip::tcp::endpoint& endpoint,
                                             LoadStreamOwner& owner) {
  return std::make_unique<HttpLoadStream>(options, make_http_stream(context, endpoint), owner);
}

}  // namespace brisk
