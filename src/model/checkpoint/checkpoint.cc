#include "model/checkpoint/checkpoint.h"

#include <sys/stat.h>

#include <utility>

#include "base/status.h"
#include "model/checkpoint/gguf_model.h"
#include "model/checkpoint/llama2c.h"

namespace brisk {
namespace {

bool is_directory(const std::string& path) {
  struct stat info = {};
  return ::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

bool begins_with(std::span<const std::byte> bytes, std::string_view magic) {
  return bytes.size() >= magic.size() && std::memcmp(bytes.data(), magic.data(), magic.size()) == 0;
}

absl::Status read_file_into(const std::string& path, Checkpoint& checkpoint) {
  BRISK_ASSIGN_OR_RETURN(MappedFile file, MappedFile::open(path));
  checkpoint.files.push_back(std::move(file));
  const std::span<const std::byte> bytes = checkpoint.files.back().bytes();
  if (begins_with(bytes, "GGUF")) return annotate(read_gguf(bytes, checkpoint), path);
  if (is_llama2c(bytes)) return annotate(read_llama2c(bytes, checkpoint), path);
  return invalid_input("{}: not a checkpoint that brisk reads", path);
}

}  // namespace

absl::StatusOr<std::shared_ptr<const Checkpoint>> open_checkpoint(const std::string& path,
                                                                  const OpenOptions& options) {
  auto checkpoint = std::make_shared<Checkpoint>();
  (void)options;
  if (is_directory(path)) return invalid_input("{}: a directory", path);
  BRISK_RETURN_IF_ERROR(read_file_into(path, *checkpoint));
  return checkpoint;
}

}  // namespace brisk
