// Counts what a step allocates while sequences only decode: nothing.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "base/rng.h"
#include "compute/kernels/cpu/dispatch.h"
#include "compute/sys/mapped_file.h"
#include "engine/engine.h"
#include "engine/sample/sampler.h"
#include "engine/sched/scheduler.h"
#include "model/decoder.h"
#include "tests/support/runner_in_front.h"
#include "tests/support/small_model.h"

namespace {

std::atomic<int64_t> allocations = 0;
thread_local bool is_counted = true;

void* allocate(size_t size) noexcept {
  if (is_counted) allocations.fetch_add(1, std::memory_order_relaxed);
  return std::malloc(size);
}

}  // namespace

// Never inlined: gcc would see malloc's memory go to delete, or new's to free.
[[gnu::noinline]] void* operator new(size_t size) {
  void* memory = allocate(size);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
[[gnu::noinline]] void* operator new(size_t size, const std::nothrow_t&) noexcept {
  return allocate(size);
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, size_t) noexcept { std::free(memory); }

namespace brisk {
namespace {

TEST(Scheduler, AllocatesNothingInASteadyStep) {
  Scheduler scheduler({.context_max = 4096, .blocks = 2000});
  for (int32_t i = 0; i < 32; ++i) {
    SequenceSpec spec;
    spec.prompt.assign(100, i);
    spec.max_tokens = 1000;
    ASSERT_TRUE(scheduler.submit(spec).ok());
  }
  std::vector<int32_t> drawn;
  const auto run_steps = [&](int steps) {
    for (int i = 0; i < steps; ++i) {
      drawn.assign(scheduler.plan().samples.size(), 7 + i % 5);
      ASSERT_FALSE(scheduler.commit(drawn).empty());
    }
  };
  // Tables and token lists double now and then; from 532 to 732 tokens neither does.
  run_steps(440);
  const int64_t before = allocations;
  run_steps(200);
  EXPECT_EQ(allocations - before, 0);
  EXPECT_EQ(scheduler.stats().running, 32);
}

TEST(Sampler, AllocatesNothingOnceItHasSeenTheVocabulary) {
  Rng rng(4);
  std::vector<float> logits(5000);
  for (float& logit : logits) logit = static_cast<float>(rng.next_gaussian());
  SamplingHistory history;
  for (int32_t i = 0; i < 100; ++i) history.add_output(i);
  const SamplingParams params = {.top_k = 2000,
                                 .top_p = 0.9,
                                 .min_p = 0.01,
                                 .typical_p = 0.9,
                                 .frequency_penalty = 0.1,
                                 .logit_bias = {{7, 1.0f}},
                                 .bad_words = {{4000}, {3, 4}},
                                 .logprobs = 5};
  SamplerScratch scratch;
  const auto draw = [&](int64_t position) {
    return sample({.logits = logits, .params = &params, .history = &history, .position = position},
                  &scratch)
        ->token;
  };
  int32_t largest = draw(0);
  const int64_t before = allocations;
  for (int64_t i = 1; i < 50; ++i) largest = std::max(largest, draw(i));
  EXPECT_EQ(allocations - before, 0);
  EXPECT_GT(largest, 0);
}

// Three sequences decode side by side on two threads.
TEST(Decoder, AllocatesNothingInAStep) {
  int models = 0;
  for (const auto& file :
       std::filesystem::directory_iterator(BRISK_SOURCE_DIR "/fuzz/corpus/gguf")) {
    const SmallModel small = small_model(file.path().string(), 4);
    ThreadTeam team(2);
    const auto kv = KvMemory::create(small.model->spec, KvElement::kF32, 3).value();
    Decoder decoder(*small.model, *usable_kernels().front(), team, *kv,
                    {.rows_max = 3, .logits_rows_max = 3});
    const int32_t blocks[] = {0, 1, 2}, tokens[] = {0, 1, 2}, rows[] = {0, 1, 2};
    SliceView slices[3];
    const auto step = [&](int64_t position) {
      for (int64_t i = 0; i < 3; ++i) {
        slices[i] = {.row_begin = i,
                     .row_end = i + 1,
                     .first_position = position,
                     .blocks = {blocks + i, 1}};
      }
      decoder.forward({.tokens = tokens, .slices = slices, .logits_rows = rows});
    };
    step(0);
    const int64_t before = allocations;
    for (int64_t position = 1; position < 4; ++position) step(position);
    EXPECT_EQ(allocations - before, 0) << small.name;
    ++models;
  }
  EXPECT_GE(models, 9);
}

// The same with adapters, once the one of the largest rank has been used.
TEST(Decoder, AllocatesNothingInAStepWithAdapters) {
  const SmallModel small = small_model(BRISK_SOURCE_DIR "/fuzz/corpus/gguf/llama", 16);
  const std::string bytes = read_file(BRISK_SOURCE_DIR "/fuzz/corpus/lora/gguf", 1 << 20).value();
  const auto adapter =
      bind_lora(read_gguf_lora(std::as_bytes(std::span(bytes))).value(), *small.model).value();
  ThreadTeam team(2);
  const auto kv = KvMemory::create(small.model->spec, KvElement::kF32, 2).value();
  Decoder decoder(*small.model, *usable_kernels().front(), team, *kv,
                  {.rows_max = 2, .logits_rows_max = 2});
  const int32_t blocks[] = {0, 1}, tokens[] = {0, 1}, rows[] = {0, 1};
  const auto step = [&](int64_t position, const LoraAdapter* first, const LoraAdapter* second) {
    SliceView slices[2];
    for (int64_t i = 0; i < 2; ++i) {
      slices[i] = {
          .row_begin = i, .row_end = i + 1, .first_position = position, .blocks = {blocks + i, 1}};
    }
    const LoraAdapter* const adapters[] = {first, second};
    decoder.forward(
        {.tokens = tokens, .slices = slices, .logits_rows = rows, .adapters = adapters});
  };
  step(0, adapter.get(), nullptr);
  step(1, nullptr, adapter.get());
  step(2, adapter.get(), adapter.get());
  const int64_t before = allocations;
  step(3, adapter.get(), adapter.get());
  step(4, nullptr, adapter.get());
  step(5, nullptr, nullptr);
  EXPECT_EQ(allocations - before, 0);
}

// Makes no step before it may: requests submitted until then run in lock step. One thread draws,
// and from some moment on another one, as a machine with other work might have it.
class GatedRunner final : public RunnerInFront {
 public:
  struct Control {
    std::atomic<bool> open = false;
    std::atomic<int> thread = 0;
  };

  GatedRunner(std::unique_ptr<StepRunner> real, const Control* control)
      : RunnerInFront(std::move(real)), control_(control) {}
  absl::StatusOr<MatView> run(const StepPlan& plan) override {
    control_->open.wait(false);
    return RunnerInFront::run(plan);
  }
  void for_each(int64_t count, const std::function<void(int64_t, int)>& body) override {
    for (int64_t i = 0; i < count; ++i) body(i, control_->thread);
  }

 private:
  const Control* const control_;
};

// The engine's thread and its workers count, the clients' one does not.
TEST(Engine, AllocatesNothingInASteadyStep) {
  const SmallModel small = small_model(BRISK_SOURCE_DIR "/fuzz/corpus/gguf/llama", 4096);
  EngineOptions options;
  options.threads = 2;
  options.kv_tokens = 16384;
  GatedRunner::Control control;
  options.wrap_runner = [&](std::unique_ptr<StepRunner> real) {
    return std::make_unique<GatedRunner>(std::move(real), &control);
  };
  const auto engine = Engine::create(small.model, options).value();
  std::vector<std::shared_ptr<Generation>> generations;
  for (int32_t i = 0; i < 4; ++i) {
    Request request;
    // Every token, since a history grows by those that it has not seen.
    for (int32_t t = 0; t < 100; ++t) request.prompt.push_back((t + i) % 5);
    request.max_tokens = 900;
    request.ignore_eos = true;
    request.sampling.temperature = 1;
    request.sampling.repetition_penalty = 1.1;
    request.sampling.top_p = i % 2 == 0 ? 0.9 : 1;
    request.sampling.bad_words = {{1, 2, 3}};
    request.sampling.seed = static_cast<uint64_t>(i);
    generations.push_back(engine->submit(request).value());
  }
  const auto decoded = [&] { return generations.back()->stats().completion_tokens; };
  is_counted = false;
  // Until all threads of the engine have begun: what they allocate then is no step's.
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  control.open = true;
  control.open.notify_all();
  const auto take_all = [&] {
    for (const auto& generation : generations) generation->take();
  };
  // Events are taken seldom, so that their queues become larger than any that is needed later,
  // however long this thread is kept waiting.
  for (const int64_t tokens : {220, 440}) {
    while (decoded() < tokens) std::this_thread::yield();
    take_all();
  }
  // Tables and token lists double now and then; from 540 to 740 tokens neither does.
  const int64_t before = allocations;
  control.thread = 1;
  int64_t last = before;
  for (int64_t now = before; decoded() < 640; now = allocations) {
    last = now;
    take_all();
  }
  is_counted = true;
  EXPECT_EQ(last - before, 0);
}

}  // namespace
}  // namespace brisk
