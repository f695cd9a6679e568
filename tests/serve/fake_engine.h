// An engine without a model. It repeats the prompt's bytes, one token a step, so that every answer
// can be foretold; and it can be slow, stuck, full or failing on demand.
//
// "abc" gives "abcabca..."; choice i begins i bytes later; "$" ends the turn. In an answer
// "z" has the logprob -0.25 and all else -0.5; in a prompt the token at position p has -p and rank
// p.
#pragma once

#include <condition_variable>
#include <list>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "base/status.h"
#include "engine/engine.h"
#include "tests/engine/fake_tokenizer.h"

namespace brisk::test {

struct FakeEngineOptions {
  std::chrono::microseconds step{0};
  int queue_max = 1024;  // requests alive at once
  int64_t context_max = 512;
  int fail_after = -1;  // tokens of a choice; then kError
};

class FakeEngine final : public Engine {
 public:
  explicit FakeEngine(const FakeEngineOptions& options) : options_(options) {
    model_.name = "fake";
    model_.tokenizer = std::make_unique<FakeTokenizer>();
    thread_ = std::thread([this] { loop(); });
  }

  ~FakeEngine() override {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      stop_ = true;
    }
    news_.notify_all();
    thread_.join();
  }

  absl::StatusOr<std::shared_ptr<Generation>> submit(Request request,
                                                     std::function<void()> on_events) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (draining_) return system_error("the engine is draining");
    if (!refusal_.ok()) return refusal_;
    if (static_cast<int>(live_.size()) >= options_.queue_max) return exhausted("the queue is full");
    auto work = std::make_shared<Work>(*this, std::move(request), std::move(on_events));
    live_.push_back(work);
    ++submitted_;
    news_.notify_all();
    return work;
  }

  void drain(double seconds) override {
    std::unique_lock<std::mutex> lock(mutex_);
    draining_ = true;
    news_.wait_for(lock, std::chrono::duration<double>(seconds), [this] { return live_.empty(); });
    for (const auto& work : live_) work->cancelled.assign(work->cancelled.size(), true);
    stuck_ = false;
    news_.notify_all();
    news_.wait(lock, [this] { return live_.empty(); });
  }

  EngineStats stats() const override {
    const std::lock_guard<std::mutex> lock(mutex_);
    EngineStats stats;
    stats.running = static_cast<int>(live_.size());
    stats.kv_blocks = 100;
    stats.kv_blocks_used = static_cast<int64_t>(live_.size());
    stats.generation_tokens = tokens_;
    stats.stuck_seconds = stuck_seconds_;
    return stats;
  }

  AdapterRegistry& adapters() override { return adapters_; }
  const Model& model() const override { return model_; }
  int64_t context_max() const override { return options_.context_max; }

  // No step is made until told otherwise.
  void set_stuck(bool stuck) {
    const std::lock_guard<std::mutex> lock(mutex_);
    stuck_ = stuck;
    news_.notify_all();
  }

  // What every request is refused with from now on.
  void refuse_with(absl::Status refusal) {
    const std::lock_guard<std::mutex> lock(mutex_);
    refusal_ = std::move(refusal);
  }

  // What the watchdog says from now on.
  void set_stuck_seconds(double seconds) {
    const std::lock_guard<std::mutex> lock(mutex_);
    stuck_seconds_ = seconds;
  }

  // The last request that came in whole.
  Request last_request() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return last_request_;
  }

  int submitted() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return submitted_;
  }

  bool idle_within(double seconds) const {
    std::unique_lock<std::mutex> lock(mutex_);
    return news_.wait_for(lock, std::chrono::duration<double>(seconds),
                          [this] { return live_.empty(); });
  }

 private:
  struct Work final : Generation {
    Work(FakeEngine& the_engine, Request the_request, std::function<void()> the_callback)
        : engine(the_engine),
          request(std::move(the_request)),
          on_events(std::move(the_callback)),
          produced(static_cast<size_t>(request.choices), 0),
          ended(static_cast<size_t>(request.choices), false),
          cancelled(static_cast<size_t>(request.choices), false) {
      engine.last_request_ = request;
      stats_.prompt_tokens = static_cast<int>(request.prompt.size());
      for (const int32_t token : request.prompt) {
        if (token < kBos) bytes.push_back(token);
      }
      if (bytes.empty()) bytes.push_back('?');
    }

    std::vector<TokenEvent> take() override {
      const std::lock_guard<std::mutex> lock(engine.mutex_);
      return std::exchange(events, {});
    }
    std::vector<TokenEvent> wait_and_take() override {
      std::unique_lock<std::mutex> lock(engine.mutex_);
      engine.news_.wait(lock, [this] { return !events.empty() || all_ended; });
      return std::exchange(events, {});
    }
    bool done() const override {
      const std::lock_guard<std::mutex> lock(engine.mutex_);
      return all_ended && events.empty();
    }
    absl::Status status() const override {
      const std::lock_guard<std::mutex> lock(engine.mutex_);
      return status_;
    }
    GenerationStats stats() const override {
      const std::lock_guard<std::mutex> lock(engine.mutex_);
      return stats_;
    }
    std::vector<PromptLogprob> prompt_logprobs() const override {
      std::vector<PromptLogprob> all;
      for (const int32_t token : request.prompt) {
        const auto p = static_cast<int32_t>(all.size());
        all.push_back({.token = token, .logprob = static_cast<float>(-p), .rank = p});
        for (int32_t k = 0; p > 0 && k < request.prompt_logprobs; ++k) {
          all.back().top.push_back({.token = 'p' + k, .logprob = -0.125f * static_cast<float>(k)});
        }
      }
      return request.prompt_logprobs < 0 ? std::vector<PromptLogprob>() : all;
    }
    void cancel() override {
      const std::lock_guard<std::mutex> lock(engine.mutex_);
      cancelled.assign(cancelled.size(), true);
      engine.news_.notify_all();
    }
    void cancel_choice(int choice) override {
      const std::lock_guard<std::mutex> lock(engine.mutex_);
      cancelled[static_cast<size_t>(choice)] = true;
      engine.news_.notify_all();
    }

    FakeEngine& engine;
    const Request request;
    const std::function<void()> on_events;
    std::vector<int32_t> bytes;   // of the prompt
    std::vector<int> produced;    // (choices)
    std::vector<bool> ended;      // (choices)
    std::vector<bool> cancelled;  // (choices)
    std::vector<TokenEvent> events;
    bool all_ended = false;
    absl::Status status_;
    GenerationStats stats_;
  };

  void loop() {
    std::unique_lock<std::mutex> lock(mutex_);
    while (!stop_ || !live_.empty()) {
      news_.wait(lock,
                 [this] { return stop_ || (!live_.empty() && (!stuck_ || any_cancelled())); });
      std::vector<std::shared_ptr<Work>> to_wake;
      for (auto it = live_.begin(); it != live_.end();) {
        const std::shared_ptr<Work> work = *it;
        const bool was_empty = work->events.empty();
        step(*work);
        if (was_empty && !work->events.empty()) to_wake.push_back(work);
        it = work->all_ended ? live_.erase(it) : std::next(it);
      }
      news_.notify_all();
      lock.unlock();
      for (const auto& work : to_wake) {
        if (work->on_events) work->on_events();
      }
      to_wake.clear();
      if (options_.step.count() > 0) std::this_thread::sleep_for(options_.step);
      lock.lock();
    }
  }

  bool any_cancelled() const {
    for (const auto& work : live_) {
      for (size_t i = 0; i < work->cancelled.size(); ++i) {
        if (work->cancelled[i] && !work->ended[i]) return true;
      }
    }
    return false;
  }

  void step(Work& work) {
    bool all_ended = true;
    for (size_t i = 0; i < work.ended.size(); ++i) {
      if (!work.ended[i]) step_choice(work, i);
      all_ended = all_ended && work.ended[i];
    }
    work.all_ended = all_ended;
  }

  void step_choice(Work& work, size_t choice) {
    TokenEvent event{.choice = static_cast<int>(choice)};
    int& produced = work.produced[choice];
    if (work.cancelled[choice] || stop_) {
      event.finish = FinishReason::kCancelled;
    } else if (stuck_) {
      return;
    } else if (produced == options_.fail_after) {
      event.finish = FinishReason::kError;
      work.status_ = absl::InternalError("the step failed");
    } else {
      const size_t at = (static_cast<size_t>(produced) + choice) % work.bytes.size();
      event.token = work.bytes[at] == '$' ? kEnd : work.bytes[at];
      event.logprob = event.token == 'z' ? -0.25f : -0.5f;
      for (int k = 0; k < work.request.sampling.logprobs; ++k) {
        event.top.push_back(
            {.token = (event.token + k) % 256, .logprob = -0.5f - static_cast<float>(k)});
      }
      ++produced;
      ++tokens_;
      ++work.stats_.completion_tokens;
      const auto& stops = work.request.stop_tokens;
      const bool stopped = (event.token == kEnd && !work.request.ignore_eos) ||
                           std::find(stops.begin(), stops.end(), event.token) != stops.end();
      if (stopped) {
        event.finish = FinishReason::kStop;
      } else if (produced >= work.request.max_tokens) {
        event.finish = FinishReason::kLength;
      }
    }
    work.ended[choice] = event.finish.has_value();
    work.events.push_back(std::move(event));
  }

  const FakeEngineOptions options_;
  Model model_;
  AdapterRegistry adapters_{model_, 0};
  mutable std::mutex mutex_;
  mutable std::condition_variable news_;
  std::list<std::shared_ptr<Work>> live_;
  Request last_request_;
  int submitted_ = 0;
  absl::Status refusal_;
  double stuck_seconds_ = 0;
  int64_t tokens_ = 0;
  bool stuck_ = false;
  bool draining_ = false;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace brisk::test
