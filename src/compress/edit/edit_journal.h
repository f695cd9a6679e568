// What a long edit of a checkpoint has made, kept in files beside its output: memory need not hold
// it, and a run that was killed goes on where it was.
//
// A directory of two files. `data`: the bytes of tensors, one region after the other, each at a
// whole page. `steps`: a line for each step that is complete, "HASH JSON", HASH being that of the
// JSON; the first line has the key, the others what the step is ("step"), where the data ended
// ("end") and a hash of what the step added ("hash"). A step is data on the disk first, its line
// second: a line that is torn, or whose data is not what it was, ends what counts.
#pragma once

#include <absl/status/statusor.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/json.h"

namespace brisk {

// One thread at a time.
class EditJournal {
 public:
  // `key`: names everything that the steps depend on; steps under another key are thrown away.
  // Errors: Unavailable (the system's reason, or another process is at it);
  // InvalidArgument where the directory has other files.
  static absl::StatusOr<std::unique_ptr<EditJournal>> open(const std::string& directory,
                                                           const std::string& key);
  // Removes such a directory, if it is there.
  static void remove(const std::string& directory);
  ~EditJournal();
  EditJournal(const EditJournal&) = delete;
  EditJournal& operator=(const EditJournal&) = delete;

  // The steps that were complete when it was opened, in order.
  const std::vector<Json>& steps() const { return steps_; }

  // Zeroed memory that lies in the data file, until this object is destroyed. Empty: the disk has
  // no room, which commit will say.
  std::span<std::byte> allocate(size_t bytes);

  // Where that memory lies in the data file, and the memory there.
  int64_t offset_of(const std::byte* at) const;
  // Errors: InvalidArgument where no step has such bytes.
  absl::StatusOr<std::span<std::byte>> at(int64_t offset, size_t bytes) const;

  // All memory since the last commit is what this step has made; it is on the disk when this
  // returns. Errors: Unavailable.
  absl::Status commit(const Json& step);

  // Lets go of the pages of all memory; they are read again from the file when they are used.
  void release();

 private:
  struct Region {
    int64_t offset;
    std::span<std::byte> bytes;
  };

  EditJournal(int data, int log) : data_(data), log_(log) {}
  absl::Status recover(const std::string& key, std::string_view log);
  absl::Status map(int64_t offset, size_t bytes);
  absl::Status append_line(const Json& line);

  const int data_;  // file descriptors
  const int log_;
  std::vector<Json> steps_;
  std::vector<Region> regions_;
  int64_t end_ = 0;        // of the data
  int64_t committed_ = 0;  // of that, belongs to steps
  absl::Status failed_;    // of allocate
};

}  // namespace brisk
