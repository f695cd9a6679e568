// Answers the lines of batches by the same handlers that answer HTTP, many at once.
#pragma once

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>

#include <cstdint>
#include <functional>
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

// Whether a batch may begin another line.
using Admits = std::function<bool(const std::string& batch)>;

// Where lines come from and where their results go. Called by the thread that calls `step`.
class LineSource {
 public:
  virtual ~LineSource() = default;
  // A line of a batch that `admits` allows; nothing: none for now.
  virtual std::optional<LineWork> next(const Admits& admits) = 0;
  virtual bool is_wanted(const LineWork& work) const = 0;  // false: its answer would be thrown away
  virtual void put(std::vector<LineResult> results) = 0;   // not empty
};

// What the result files say of a line.
LineResult make_result(const LineWork& work, const http::Response& response,
                       const std::string& request_id);
LineResult make_failure(const LineWork& work, std::string_view code, std::string_view message);

// One thread, but for `wake`.
//
// A line that is refused (429, 503) is tried again, after pauses that grow. It is nobody else's
// trouble: what is refused takes no place of what runs, and a batch with many refused lines
// begins no more, while the others go on. Where there is no room (429 at once) a line is tried
// until there is. What stays unavailable, or is refused after it ran, is given up after some tries,
// and the last refusal is its result; the lines of a model given up so are tried once.
class LineRunner {
 public:
  // The endpoints of batches among `routes` are used. At most `width` lines are answered at once,
  // and a few times as many wait to be tried again. `clock` must outlive this.
  LineRunner(std::vector<http::Route> routes, int width, const Clock& clock);

  // Which urls lines may have.
  std::vector<std::string> endpoints() const;

  // Begins lines while there is room, and looks at those that run. When there was nothing to do it
  // waits for news, `seconds` at most.
  void step(LineSource& source, double seconds);
  bool idle() const { return running_.empty() && refused_.empty(); }
  // Whether a line of `batch` runs, or waits to be tried again.
  bool is_running(const std::string& batch) const;
  // Forgets what runs: it has no result.
  void cancel_all();
  // Ends the wait of `step`. Any thread.
  void wake();

 private:
  struct Line {
    LineWork work;
    int faults = 0;            // refusals other than for want of room
    double pause_seconds = 0;  // before it was tried last
    Instant not_before{};
  };
  struct Running {
    Line line;
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

  // What came of a try.
  struct Answer {
    std::string request_id;
    http::Response response;
    bool has_run = false;  // it did not come at once
  };

  bool begin_lines(LineSource& source, std::vector<LineResult>* results);
  std::optional<Line> next_line(LineSource& source);
  bool admits(const std::string& batch) const;
  void begin(Line line, std::vector<LineResult>* results);
  http::Reply ask(const http::Request& request, const http::Wakeup& wakeup) const;
  bool poll_lines(const LineSource& source, std::vector<LineResult>* results);
  void settle(Line line, Answer answer, std::vector<LineResult>* results);
  bool is_given_up(Line& line, const Answer& answer);
  double seconds_until_retry() const;

  // Constant after construction
  const int width_;
  const Clock& clock_;
  std::map<std::string, http::Handler> handlers_;  // by url

  const std::shared_ptr<News> news_ = std::make_shared<News>();
  std::list<Running> running_;
  std::list<Line> refused_;
  std::map<std::string, Instant> given_up_;  // models, since when; of those that the server has
};

}  // namespace brisk::batch
