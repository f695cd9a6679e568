// Unfinished work of an edit: whatever lies in its two files, opening it gives steps that can be
// gone on from, or an error. The input is lines, and after a zero byte the data. Lines that begin
// with '+' get the hashes that they need to count; others are as they are.
#include <unistd.h>
#include <xxhash.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "compress/edit/resumed_edit.h"
#include "compute/quant/format.h"

namespace {

namespace fs = std::filesystem;

std::string hash_of(std::string_view text) {
  return fmt::format("{:016x}", XXH3_64bits(text.data(), text.size()));
}

// The line with the hash of itself, and that of its data, from `begin` on.
std::string made_whole(std::string_view line, std::string_view data, size_t* begin) {
  absl::StatusOr<brisk::Json> json = brisk::parse_json(line, {});
  if (!json.ok() || !json->is_object()) return hash_of(line) + " " + std::string(line);
  const brisk::Json end = json->value("end", brisk::Json());
  if (end.is_number_unsigned() && end.get<uint64_t>() >= *begin &&
      end.get<uint64_t>() <= data.size()) {
    (*json)["hash"] = hash_of(data.substr(*begin, end.get<size_t>() - *begin));
    *begin = end.get<size_t>();
  }
  const std::string text = brisk::to_text(*json);
  return hash_of(text) + " " + text;
}

std::shared_ptr<const brisk::Checkpoint> small_checkpoint() {
  static float values[4 * 32] = {};
  auto checkpoint = std::make_shared<brisk::Checkpoint>();
  checkpoint->tensors.push_back(
      {"w",
       {.dtype = brisk::DType::kF32, .shape = {4, 32}, .data = std::as_bytes(std::span(values))}});
  checkpoint->index["w"] = 0;
  return checkpoint;
}

void write(const fs::path& path, std::string_view bytes) {
  std::ofstream(path, std::ios::binary)
      .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const fs::path directory =
      fs::temp_directory_path() / ("brisk_journal_fuzz_" + std::to_string(::getpid()));
  static const std::shared_ptr<const brisk::Checkpoint> source = small_checkpoint();
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  std::string_view lines = input.substr(0, input.find('\0'));
  // Data comes in whole pages; so small inputs have some.
  std::string rest(lines.size() < input.size() ? input.substr(lines.size() + 1) : "");
  rest.resize((rest.size() + 4095) / 4096 * 4096, 'x');
  std::string steps;
  for (size_t begin = 0; !lines.empty();) {
    const std::string_view line = lines.substr(0, lines.find('\n'));
    lines.remove_prefix(std::min(lines.size(), line.size() + 1));
    steps += line.starts_with('+') ? made_whole(line.substr(1), rest, &begin) : std::string(line);
    steps += '\n';
  }
  fs::create_directories(directory);
  write(directory / "steps", steps);
  write(directory / "data", rest);
  size_t found = 0;
  {
    const auto resumed = brisk::resume_edit(source, directory.string(), "key");
    if (resumed.ok()) {
      found = resumed->steps.size();
      for (const brisk::NamedTensor& named : resumed->checkpoint->tensors) {
        std::vector<float> values(static_cast<size_t>(named.tensor.values()));
        brisk::decode_values(named.tensor, 0, named.tensor.values(), values.data());
      }
      // What comes next finds its place behind what was there.
      if (resumed->journal->allocate(10).empty()) std::abort();
      const brisk::Json none = brisk::Json::array();
      const brisk::Json step = {
          {"tensors", none}, {"added", none}, {"removed", none}, {"details", 1}};
      if (!resumed->journal->commit(step).ok()) std::abort();
    }
  }
  const auto again = brisk::resume_edit(source, directory.string(), "key");
  if (found > 0 && (!again.ok() || again->steps.size() != found + 1)) std::abort();
  fs::remove_all(directory);
  return 0;
}
