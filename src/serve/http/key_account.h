// What one API key has used, held against its limits. Rates are token buckets of one minute's
// worth: a request is admitted while its buckets hold something, and what it really used is taken
// off as it comes, so that a bucket may go below nothing and is then waited for.
#pragma once

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"

namespace brisk::http {

// 0: without limit.
struct KeyLimits {
  int64_t requests_per_minute = 0;
  int64_t tokens_per_minute = 0;  // of prompts and answers
  int64_t concurrent = 0;         // requests being answered at once
  int64_t tokens_total = 0;       // ever
  bool operator==(const KeyLimits&) const = default;
};

// Why a key may not begin a request now.
struct QuotaRefusal {
  std::string message;
  std::string_view code;   // OpenAI's: "rate_limit_exceeded", "insufficient_quota"
  double retry_after = 1;  // seconds; meaningless for insufficient_quota
};

// Any thread may call anything.
class KeyAccount {
 public:
  KeyAccount(int the_id, const KeyLimits& limits, Instant now);

  // Counts a request that begins, which must `end`; or says why it may not.
  std::optional<QuotaRefusal> begin(Instant now);
  void end();
  // Takes off what a request has used. Never refuses: the work is done.
  void charge(int64_t tokens, Instant now);
  // Nothing when a request without a client that waits may begin; it is not counted as one.
  std::optional<QuotaRefusal> check_tokens(Instant now);

  void set_limits(const KeyLimits& limits);
  int64_t tokens_used() const;
  void set_tokens_used(int64_t tokens);

  const int id;  // of the key as a tenant; stays its own as long as the server runs

 private:
  // What is left of a minute's worth.
  struct Bucket {
    double left = 0;
    Instant filled{};
    void fill(int64_t per_minute, Instant now);
    double seconds_until_one(int64_t per_minute) const;
  };

  std::optional<QuotaRefusal> check_tokens_locked(Instant now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  mutable absl::Mutex mutex_;
  KeyLimits limits_ ABSL_GUARDED_BY(mutex_);
  Bucket requests_ ABSL_GUARDED_BY(mutex_);
  Bucket tokens_ ABSL_GUARDED_BY(mutex_);
  int64_t active_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t tokens_used_ ABSL_GUARDED_BY(mutex_) = 0;
};

// A request that `begin` has counted, until it ends.
class CountedRequest {
 public:
  explicit CountedRequest(std::shared_ptr<KeyAccount> account) : account_(std::move(account)) {}
  ~CountedRequest() { account_->end(); }
  CountedRequest(const CountedRequest&) = delete;
  CountedRequest& operator=(const CountedRequest&) = delete;

 private:
  const std::shared_ptr<KeyAccount> account_;
};

}  // namespace brisk::http
