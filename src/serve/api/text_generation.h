// One API call's work: the generations of its prompts, and the text of all their choices. What the
// answer looks like is the caller's business.
#pragma once

#include <absl/status/statusor.h>

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "base/clock.h"
#include "engine/engine.h"
#include "engine/text_stream.h"
#include "serve/api/generation_spec.h"
#include "serve/api/running_requests.h"
#include "serve/api/served_model.h"
#include "serve/http/message.h"

namespace brisk::api {

// News of one choice. Choices are numbered through: prompt * n + choice.
struct ChoiceDelta {
  int choice = 0;
  TextDelta delta;
  std::optional<FinishReason> finish;  // kStop or kLength; then nothing more comes
  std::string stop_string;             // that ended it, if one did
};

struct Usage {
  int64_t prompt_tokens = 0;
  int64_t cached_tokens = 0;
  int64_t completion_tokens = 0;
};

// Used by one thread at a time. Its end cancels what still runs. It holds the model's lease.
class TextGeneration {
 public:
  struct Options {
    std::shared_ptr<const StopStrings> stops;
    bool include_stop = false;
    bool special = false;
    bool keep_tokens = false;
    std::shared_ptr<RunningRequests> listed_in = nullptr;  // null: nowhere
    RunningRequests::Description listed_as{};
    std::shared_ptr<http::KeyAccount> account{};  // that tokens are charged to; may be null
  };

  // Submits all `requests`, or none when one is refused (the engine's errors). `wakeup` is woken
  // when `poll` has something new.
  static absl::StatusOr<std::unique_ptr<TextGeneration>> start(ModelLease model,
                                                               std::vector<Request> requests,
                                                               const Options& options,
                                                               const http::Wakeup& wakeup);
  ~TextGeneration();

  // What is new since the last call. Not OK: a step of the engine failed, someone cancelled it
  // (Cancelled), or the server is stopping; nothing more comes.
  absl::StatusOr<std::vector<ChoiceDelta>> poll();

  // Every choice has ended and `usage` is final.
  bool done() const;
  Usage usage() const;
  int choices() const;

  // Of the prompt of a choice; complete with the first delta of one of its choices.
  std::vector<PromptLogprob> prompt_logprobs(int choice) const;
  // Mean log-probability of its tokens so far, the one that stopped it among them; 0: it has none.
  double mean_logprob(int choice) const;

 private:
  struct Part;  // one prompt's generation

  TextGeneration(ModelLease model, std::shared_ptr<http::KeyAccount> account);
  void charge(int64_t tokens);
  const Part& part_of(int choice) const;
  absl::Status cancelled_status() const;
  absl::Status poll_part(Part& part, std::vector<ChoiceDelta>& deltas);
  void observe_tokens(Part& part, const std::vector<TokenEvent>& events);

  const ModelLease model_;
  const std::shared_ptr<http::KeyAccount> account_;
  const SteadyClock clock_;
  std::vector<std::unique_ptr<Part>> parts_;
  std::shared_ptr<RunningRequests> listed_in_;
  std::unique_ptr<RunningRequests::Ticket> ticket_;  // null: it is listed nowhere
};

}  // namespace brisk::api
