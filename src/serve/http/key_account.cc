#include "serve/http/key_account.h"

#include <fmt/format.h>

#include <algorithm>

namespace brisk::http {
namespace {

constexpr std::string_view kRateExceeded = "rate_limit_exceeded";
constexpr std::string_view kNoQuota = "insufficient_quota";
constexpr double kSecondsOfMinute = 60;

}  // namespace

void KeyAccount::Bucket::fill(int64_t per_minute, Instant now) {
  const auto most = static_cast<double>(per_minute);
  left = std::min(most, left + seconds_between(filled, now) * most / kSecondsOfMinute);
  filled = now;
}

double KeyAccount::Bucket::seconds_until_one(int64_t per_minute) const {
  return (1 - left) * kSecondsOfMinute / static_cast<double>(per_minute);
}

KeyAccount::KeyAccount(int the_id, const KeyLimits& limits, Instant now)
    : id(the_id),
      limits_(limits),
      requests_{.left = static_cast<double>(limits.requests_per_minute), .filled = now},
      tokens_{.left = static_cast<double>(limits.tokens_per_minute), .filled = now} {}

std::optional<QuotaRefusal> KeyAccount::begin(Instant now) {
  absl::MutexLock lock(&mutex_);
  if (limits_.concurrent > 0 && active_ >= limits_.concurrent) {
    return QuotaRefusal{.message = fmt::format("this key may have {} requests running at once; "
                                               "wait for one to end",
                                               limits_.concurrent),
                        .code = kRateExceeded};
  }
  if (std::optional<QuotaRefusal> refusal = check_tokens_locked(now)) return refusal;
  if (limits_.requests_per_minute > 0) {
    requests_.fill(limits_.requests_per_minute, now);
    if (requests_.left < 1) {
      return QuotaRefusal{.message = fmt::format("this key may send {} requests a minute",
                                                 limits_.requests_per_minute),
                          .code = kRateExceeded,
                          .retry_after = requests_.seconds_until_one(limits_.requests_per_minute)};
    }
    requests_.left -= 1;
  }
  ++active_;
  return std::nullopt;
}

std::optional<QuotaRefusal> KeyAccount::check_tokens(Instant now) {
  absl::MutexLock lock(&mutex_);
  return check_tokens_locked(now);
}

std::optional<QuotaRefusal> KeyAccount::check_tokens_locked(Instant now) {
  if (limits_.tokens_total > 0 && tokens_used_ >= limits_.tokens_total) {
    return QuotaRefusal{
        .message = fmt::format("this key has used up its {} tokens; ask whoever runs "
                               "the server for more",
                               limits_.tokens_total),
        .code = kNoQuota};
  }
  if (limits_.tokens_per_minute > 0) {
    tokens_.fill(limits_.tokens_per_minute, now);
    if (tokens_.left < 1) {
      return QuotaRefusal{
          .message = fmt::format("this key may use {} tokens a minute", limits_.tokens_per_minute),
          .code = kRateExceeded,
          .retry_after = tokens_.seconds_until_one(limits_.tokens_per_minute)};
    }
  }
  return std::nullopt;
}

void KeyAccount::end() {
  absl::MutexLock lock(&mutex_);
  --active_;
}

void KeyAccount::charge(int64_t tokens, Instant now) {
  absl::MutexLock lock(&mutex_);
  tokens_used_ += tokens;
  if (limits_.tokens_per_minute == 0) return;
  tokens_.fill(limits_.tokens_per_minute, now);
  tokens_.left -= static_cast<double>(tokens);
}

void KeyAccount::set_limits(const KeyLimits& limits) {
  absl::MutexLock lock(&mutex_);
  if (limits == limits_) return;
  if (limits_.requests_per_minute == 0)
    requests_.left = static_cast<double>(limits.requests_per_minute);
  if (limits_.tokens_per_minute == 0) tokens_.left = static_cast<double>(limits.tokens_per_minute);
  limits_ = limits;
}

int64_t KeyAccount::tokens_used() const {
  absl::MutexLock lock(&mutex_);
  return tokens_used_;
}

void KeyAccount::set_tokens_used(int64_t tokens) {
  absl::MutexLock lock(&mutex_);
  tokens_used_ = tokens;
}

}  // namespace brisk::http
