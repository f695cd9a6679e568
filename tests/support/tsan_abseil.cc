// Debian's Abseil is not built for the thread sanitizer, which therefore does not see its mutexes
// and takes everything that they guard for a race. These stand in front of the functions that we
// use and tell it. Linked into tests of the tsan preset only.
#include <absl/synchronization/mutex.h>
#include <dlfcn.h>
#include <sanitizer/tsan_interface.h>

namespace {

template <class Function>
Function original(const char* name) {
  return reinterpret_cast<Function>(::dlsym(RTLD_NEXT, name));
}

}  // namespace

// Who unlocks looks at the conditions of those who wait, after it has let go as far as we can tell.
extern "C" const char* __tsan_default_suppressions() {  // NOLINT: the sanitizer's name
  return "race:absl::*::Condition\nrace:CastAndCall\n";
}

namespace absl {

void Mutex::Lock() {
  static const auto lock = original<void (*)(Mutex*)>("_ZN4absl7debian35Mutex4LockEv");
  lock(this);
  __tsan_acquire(this);
}

void Mutex::Unlock() {
  static const auto unlock = original<void (*)(Mutex*)>("_ZN4absl7debian35Mutex6UnlockEv");
  __tsan_release(this);
  unlock(this);
}

void Mutex::Await(const Condition& condition) {
  static const auto await = original<void (*)(Mutex*, const Condition&)>(
      "_ZN4absl7debian35Mutex5AwaitERKNS0_9ConditionE");
  __tsan_release(this);
  await(this, condition);
  __tsan_acquire(this);
}

bool Mutex::AwaitWithTimeout(const Condition& condition, Duration timeout) {
  static const auto await = original<bool (*)(Mutex*, const Condition&, Duration)>(
      "_ZN4absl7debian35Mutex16AwaitWithTimeoutERKNS0_9ConditionENS0_8DurationE");
  __tsan_release(this);
  const bool holds = await(this, condition, timeout);
  __tsan_acquire(this);
  return holds;
}

}  // namespace absl
