#include "plan/load/load_run.h"

#include <sys/resource.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <map>
#include <memory>
#include <vector>

#include "base/check.h"
#include "base/json.h"
#include "base/status.h"
#include "model/tokenizer/utf8.h"
#include "plan/load/http_stream.h"
#include "plan/load/load_stream.h"
#include "plan/load/server_probe.h"

namespace brisk {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;
using std::chrono::steady_clock;

constexpr std::chrono::milliseconds kTick(100);  // for progress and timeouts
constexpr size_t kGapsMax = 8 << 20;
constexpr size_t kTimelineMax = 24 * 36000;  // a day; what comes later counts as its last moment
constexpr size_t kErrorKindsMax = 16;
constexpr size_t kErrorBytesMax = 300;

std::string without_digits(std::string text) {
  std::erase_if(text, [](char c) { return c >= '0' && c <= '9'; });
  return text;
}

double thread_cpu_s() {
  rusage usage{};
  getrusage(RUSAGE_THREAD, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// Each request in flight is an open file.
absl::Status allow_connections(int count) {
  constexpr rlim_t kOtherFiles = 64;
  const rlim_t wanted = static_cast<rlim_t>(count) + kOtherFiles;
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_cur >= wanted) return absl::OkStatus();
  if (limit.rlim_max >= wanted) {
    limit.rlim_cur = wanted;
    if (setrlimit(RLIMIT_NOFILE, &limit) == 0) return absl::OkStatus();
  }
  return system_error(
      "{} connections need {} open files, and this process may have {}; raise it with ulimit -n, "
      "or "
      "lower --concurrency",
      count, wanted, limit.rlim_max);
}

// One run over a workload, from its first request to its last answer.
class LoadRun final : public LoadStreamOwner {
 public:
  LoadRun(const LoadRunOptions& options, const Workload& workload, const tcp::endpoint& endpoint)
      : options_(options),
        workload_(workload),
        endpoint_(endpoint),
        arrival_timer_(context_),
        tick_timer_(context_),
        gaps_(kGapsMax) {
    record_.results.resize(workload.requests.size());
  }
  ~LoadRun() override {
    for (const auto& stream : streams_) stream->close();
  }
  LoadRun(const LoadRun&) = delete;
  LoadRun& operator=(const LoadRun&) = delete;

  LoadRecord run(const std::function<void(int64_t)>& on_progress) {
    const double cpu_before_s = thread_cpu_s();
    start_ = steady_clock::now();
    tick(on_progress);
    send_arrived();
    context_.run();
    record_.duration_s = last_end_s_;
    record_.client_cpu_s = thread_cpu_s() - cpu_before_s;
    record_.gaps_s = gaps_.values();
    return std::move(record_);
  }

  double now_s() const override {
    return std::chrono::duration<double>(steady_clock::now() - start_).count();
  }

  void on_output(double at_s, double gap_s) override {
    const auto moment = std::min(static_cast<size_t>(at_s / kTimelineSeconds), kTimelineMax);
    if (record_.timeline.size() <= moment) record_.timeline.resize(moment + 1);
    ++record_.timeline[moment];
    if (gap_s >= 0) gaps_.add(gap_s);
  }

  void on_end(LoadStream& stream, const StreamEnd& end) override {
    record_.results[stream.request_index()] = end.result;
    if (end.result.outcome == LoadOutcome::kFailed) count_error(end.error);
    ++ended_;
    last_end_s_ = now_s();
    free_.push_back(&stream);
    send_arrived();
    if (ended_ < total()) return;
    tick_timer_.cancel();
    for (const auto& each : streams_) each->close();
  }

 private:
  int64_t total() const { return static_cast<int64_t>(workload_.requests.size()); }

  // Sends what has arrived and has room, and sees to it that the next arrival is not missed.
  void send_arrived() {
    while (next_ < workload_.requests.size()) {
      const LoadRequest& request = workload_.requests[next_];
      const double now = now_s();
      if (workload_.open_loop && request.at_s > now) {
        arm_arrival(request.at_s);
        return;
      }
      LoadStream* const stream = take_stream();
      if (stream == nullptr) return;  // full: the end of another sends it
      stream->send({.index = next_,
                    .arrived_s = workload_.open_loop ? request.at_s : now,
                    .request = &request,
                    .body = request_body(options_, request, workload_.seed)});
      ++next_;
    }
  }

  void arm_arrival(double at_s) {
    arrival_timer_.expires_at(start_ + std::chrono::duration_cast<steady_clock::duration>(
                                           std::chrono::duration<double>(at_s)));
    arrival_timer_.async_wait([this](const error_code& error) {
      if (!error) send_arrived();
    });
  }

  // One that is free, or a new one while there may be more; null when all are busy.
  LoadStream* take_stream() {
    if (free_.empty()) {
      if (static_cast<int>(streams_.size()) >= options_.concurrency_max) return nullptr;
      streams_.push_back(make_load_stream(
          {.target = options_.target, .endpoint = options_.endpoint}, context_, endpoint_, *this));
      free_.push_back(streams_.back().get());
    }
    LoadStream* const stream = free_.back();
    free_.pop_back();
    const auto in_flight = static_cast<int>(streams_.size() - free_.size());
    record_.in_flight_max = std::max(record_.in_flight_max, in_flight);
    return stream;
  }

  void tick(const std::function<void(int64_t)>& on_progress) {
    on_progress(ended_);
    const double now = now_s();
    for (const auto& stream : streams_) stream->end_if_older_than(options_.timeout_s, now);
    tick_timer_.expires_after(kTick);
    tick_timer_.async_wait([this, &on_progress](const error_code& error) {
      if (!error && ended_ < total()) tick(on_progress);
    });
  }

  // Errors that differ only in their numbers are of one kind, told by the first of them.
  void count_error(const std::string& error) {
    const std::string kind = without_digits(error);
    if (error_kinds_.size() >= kErrorKindsMax && !error_kinds_.contains(kind)) {
      ++record_.errors["other errors"];
      return;
    }
    const auto example =
        error_kinds_.try_emplace(kind, utf8_printable(error, kErrorBytesMax)).first;
    ++record_.errors[example->second];
  }

  // Constant after construction.
  const LoadRunOptions& options_;
  const Workload& workload_;
  const tcp::endpoint endpoint_;
  steady_clock::time_point start_;

  asio::io_context context_{1};  // one thread
  asio::steady_timer arrival_timer_;
  asio::steady_timer tick_timer_;
  std::vector<std::unique_ptr<LoadStream>> streams_;
  std::vector<LoadStream*> free_;
  size_t next_ = 0;
  int64_t ended_ = 0;
  double last_end_s_ = 0;
  Reservoir gaps_;
  std::map<std::string, std::string> error_kinds_;  // kind -> the first of its kind
  LoadRecord record_;
};

}  // namespace

std::string request_body(const LoadRunOptions& options, const LoadRequest& request, uint64_t seed) {
  const bool chat = options.endpoint == LoadEndpoint::kChat;
  std::string body = R"({"model":)" + to_text(Json(options.model));
  body += chat ? R"(,"messages":[{"role":"user","content":)" : R"(,"prompt":)";
  options.alphabet.append(body, request.prompt, seed);
  if (chat) body += "}]";
  body += fmt::format(R"(,"max_tokens":{},"temperature":0)", request.output_tokens);
  if (options.ignore_eos) body += R"(,"ignore_eos":true)";
  body += R"(,"stream":true,"stream_options":{"include_usage":true}})";
  return body;
}

absl::StatusOr<LoadReport> run_load(const LoadRunOptions& options, const Workload& workload,
                                    const std::function<void(const LoadProgress&)>& progress) {
  BRISK_CHECK(options.concurrency_max > 0);
  BRISK_CHECK(!workload.requests.empty());
  BRISK_RETURN_IF_ERROR(allow_connections(options.concurrency_max));
  BRISK_ASSIGN_OR_RETURN(const tcp::endpoint endpoint, find_endpoint(options.target));
  const auto run_once = [&](const Workload& each, bool warmup) {
    const auto total = static_cast<int64_t>(each.requests.size());
    LoadRun run(options, each, endpoint);
    return run.run([&](int64_t ended) {
      if (progress) progress({.ended = ended, .total = total, .warmup = warmup});
    });
  };
  if (options.warmup > 0) run_once(make_warmup(workload, options.warmup), true);
  return make_load_report(run_once(workload, false), options.slo);
}

}  // namespace brisk
