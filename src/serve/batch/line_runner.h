// Answers the lines of batches by the same handlers that answer HTTP, many at once.
#pragma once

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>

#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "serve/batch/batch_input.h"
#include "serve/batch/journal.h"
#include "serve/http/message.h"
#include "serve/http/router.h"

namespace brisk::batch {

// A line to be answered.
struct LineWork {
  std::string batch{};
  int64_t line = 0;
  InputLine input{};
  http::Caller caller{};
};

// Where lines come from and where their results go. Called by the thread that calls `step`.
class LineSource {
 public:
  virtual ~LineSource() = default;
  virtual std::optional<LineWork> next() = 0;              // nothing: none for now
  virtual bool is_wanted(const LineWork& work) const = 0;  // false: its answer would be thrown away
  virtual void put(std::vector<LineResult> results) = 0;   // not empty
};

// What the result files say of a line.
LineResult make_result(const LineWork& work, const http::Response& response,
                       const std::string& request_id);
LineResult make_failure(const LineWork& work, std::string_view code, std::string_view message);

// One thread, but for `wake`.
class LineRunner {
 public:
  // The endpoints of batches among `routes` are used. At most `width` lines are answered at once.
  LineRunner(std::vector<http::Route> routes, int width);

  // Which urls lines may have.
  std::vector<std::string> endpoints() const;

  // Begins lines while there is room, and looks at those that run. When there was nothing to do it
  // waits for news, `seconds` at most. A line that the engine has no room for is tried again later.
  void step(LineSource& source, double seconds);
  bool idle() const { return running_.empty() && refused_.empty(); }
  // Whether a line of `batch` runs, or waits to be tried again.
  bool is_running(const std::string& batch) const;
  // Forgets what runs: it has no result.
  void cancel_all();
  // Ends the wait of `step`. Any thread.
  void wake();

 private:
  struct Running {
    LineWork work;
    std::string request_id;
    http::Wakeup wakeup;
    std::unique_ptr<http::PendingResponse> pending;
  };
  // What wakeups of lines may still call when the runner has gone.
  struct News {
    absl::Mutex mutex;
    bool any ABSL_GUARDED_BY(mutex) = false;
    void tell();
    void wait(double seconds);
  };

  bool begin_lines(LineSource& source, std::vector<LineResult>* results);
  void begin(LineWork work, std::vector<LineResult>* results);
  bool poll_lines(const LineSource& source, std::vector<LineResult>* results);
  void settle(LineWork work, const std::string& request_id, const http::Response& response,
              std::vector<LineResult>* results);

  const int width_;
  const SteadyClock clock_;
  std::map<std::string, http::Handler> handlers_;  // by url
  const std::shared_ptr<News> news_ = std::make_shared<News>();
  std::list<Running> running_;
  std::list<LineWork> refused_;  // for want of room
  Instant pause_until_{};
};

}  // namespace brisk::batch
