#include "model/checkpoint/tensor_file_writer.h"

#include "base/check.h"
#include "base/status.h"

namespace brisk {

absl::Status TensorFileWriter::append(std::span<const std::byte> bytes) {
  BRISK_CHECK(current_ < sizes_.size());
  BRISK_CHECK(bytes.size() <= sizes_[current_] - written_);
  BRISK_RETURN_IF_ERROR(file_.append(bytes));
  written_ += bytes.size();
  if (written_ < sizes_[current_]) return absl::OkStatus();
  ++current_;
  written_ = 0;
  return pad();
}

absl::Status TensorFileWriter::finish() {
  BRISK_CHECK(current_ == sizes_.size());
  return file_.finish();
}

absl::Status TensorFileWriter::pad() {
  const uint64_t past = file_.bytes_written() % alignment_;
  if (past == 0) return absl::OkStatus();
  return file_.append(std::string(static_cast<size_t>(alignment_ - past), '\0'));
}

}  // namespace brisk
