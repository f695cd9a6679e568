#include "model/tokenizer/train/word_counts.h"

#include <algorithm>

#include "base/status.h"
#include "compute/sys/mapped_file.h"
#include "model/tokenizer/json_view.h"

namespace brisk {
namespace {

constexpr size_t kBlockBytes = size_t{1} << 20;

// The texts of one line. False: it has none.
bool add_line(JsonView line, const std::function<void(std::string_view)>& add) {
  if (line["text"].is_string()) {
    add(line["text"].text());
    return true;
  }
  if (!line["messages"].is_array()) return false;
  bool whole = true;
  line["messages"].for_each_item([&](JsonView message) {
    if (message["content"].is_string()) {
      add(message["content"].text());
    } else {
      whole = false;
    }
  });
  return whole;
}

absl::Status read_lines(const std::string& path, std::string_view text,
                        const std::function<void(std::string_view)>& add,
                        const std::function<void(size_t, size_t)>& progress) {
  JsonDocument document;
  size_t done = 0;
  for (int64_t number = 1; done < text.size(); ++number) {
    const size_t end = std::min(text.find('\n', done), text.size());
    const std::string_view line = text.substr(done, end - done);
    done = end + 1;
    if (line.find_first_not_of(" \r\t") == std::string_view::npos) continue;
    const JsonView root = document.parse(line);
    if (!root.exists()) {
      return invalid_input("{}, line {}: not JSON: {}", path, number, document.error());
    }
    if (!add_line(root, add)) {
      return invalid_input(
          "{}, line {}: expected an object with a string \"text\" or with \"messages\" that have a "
          "\"content\"",
          path, number);
    }
    if (number % 1024 == 0) progress(done, text.size());
  }
  return absl::OkStatus();
}

}  // namespace

void WordCounter::add_text(std::string_view text) {
  words_.clear();
  pre_tokenizer_.split(text, &words_);
  for (const std::string_view word : words_) ++counts_[word];
  bytes_ += static_cast<int64_t>(text.size());
  ++texts_;
}

std::vector<WordCount> WordCounter::counts() const {
  std::vector<WordCount> sorted;
  sorted.reserve(counts_.size());
  for (const auto& [word, count] : counts_) sorted.push_back({word, count});
  std::sort(sorted.begin(), sorted.end(),
            [](const WordCount& a, const WordCount& b) { return a.word < b.word; });
  return sorted;
}

absl::Status read_corpus(const std::string& path, const std::function<void(std::string_view)>& add,
                         const std::function<void(size_t, size_t)>& progress) {
  BRISK_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::open(path));
  const std::string_view text = file.text();
  if (path.ends_with(".jsonl")) return read_lines(path, text, add, progress);
  // Blocks end with a line, so that only words which hold a line break see a difference.
  for (size_t done = 0; done < text.size();) {
    size_t end = std::min(done + kBlockBytes, text.size());
    if (const size_t line = text.find('\n', end); line != std::string_view::npos) end = line + 1;
    if (end == done + kBlockBytes) end = text.size();
    add(text.substr(done, end - done));
    progress(done = end, text.size());
  }
  return absl::OkStatus();
}

}  // namespace brisk
