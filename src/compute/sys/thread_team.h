// A persistent team of threads that runs one function in lock step: every member executes the same
// code on its own share of the work and meets the others at barriers (SPMD). A whole forward pass
// is one such function.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

namespace brisk {

// Members wait for each other: spinning briefly, because the next share of work is usually a few
// microseconds away, then sleeping in the kernel, because the machine may be shared.
class Barrier {
 public:
  explicit Barrier(int members) : members_(members) {}
  void wait();

 private:
  const int members_;
  std::atomic<int> arrived_{0};
  std::atomic<uint32_t> generation_{0};
};

// A half-open range of indices.
struct Range {
  int64_t begin = 0;
  int64_t end = 0;
};

// One member's place in the team, passed down by value.
struct Worker {
  int index = 0;
  int count = 1;
  Barrier* barrier = nullptr;

  // Every member must call it the same number of times. What was written before is visible after.
  void sync() const {
    if (count > 1) barrier->wait();
  }

  // This member's contiguous share of [0, total), cut at multiples of `unit`.
  Range share(int64_t total, int64_t unit = 1) const {
    const int64_t units = (total + unit - 1) / unit;
    const int64_t begin = units * index / count * unit;
    const int64_t end = units * (index + 1) / count * unit;
    return {begin < total ? begin : total, end < total ? end : total};
  }
};

class ThreadTeam {
 public:
  // `members` includes the thread that calls run(). REQUIRES: members >= 1.
  explicit ThreadTeam(int members);
  ~ThreadTeam();
  ThreadTeam(const ThreadTeam&) = delete;
  ThreadTeam& operator=(const ThreadTeam&) = delete;

  // Runs `body` on every member and returns when all are done. One caller at a time; `body` must
  // not throw and must not call run().
  void run(const std::function<void(Worker)>& body);

  int size() const { return members_; }

 private:
  void serve(int index);

  const int members_;
  Barrier barrier_;
  std::atomic<uint32_t> round_{0};
  std::atomic<int> running_{0};
  std::atomic<bool> stop_{false};
  const std::function<void(Worker)>* body_ = nullptr;  // published by round_
  std::vector<std::thread> threads_;
};

// Threads this process may run on (its CPU affinity), at least 1.
int usable_threads();

}  // namespace brisk
