// How much memory the machine has to give.
#pragma once

#include <absl/status/statusor.h>

#include <cstddef>
#include <cstdint>
#include <span>

namespace brisk {

// Zeroed pages of the process's own, in huge pages where the kernel grants them. A page is placed
// on the memory node of the thread that first writes to it.
class Pages {
 public:
  // Errors: ResourceExhausted.
  static absl::StatusOr<Pages> allocate(int64_t bytes);

  Pages(Pages&& other) noexcept;
  Pages& operator=(Pages&& other) noexcept;
  ~Pages();

  std::span<std::byte> bytes() const { return bytes_; }

 private:
  explicit Pages(std::span<std::byte> bytes) : bytes_(bytes) {}

  std::span<std::byte> bytes_;
};

// Tells the system that a mapped file's pages are not needed for now; they are read again from the
// file (or its cache) when they are.
void drop_mapped_pages(std::span<const std::byte> bytes);

// Bytes that can be used without pushing others out (MemAvailable), within the process's cgroup
// limit; 0 when the system does not say.
int64_t available_memory_bytes();

}  // namespace brisk
