// How often each word of a corpus occurs: all that a BPE trainer needs to know of it.
#pragma once

#include <absl/container/flat_hash_map.h>
#include <absl/status/statusor.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "model/tokenizer/pre_tokenizer.h"

namespace brisk {

struct WordCount {
  std::string word;
  int64_t count = 0;
};

// One thread at a time.
class WordCounter {
 public:
  // Words are what `pre_tokenizer`, which must outlive this, cuts a text into.
  explicit WordCounter(const PreTokenizer& pre_tokenizer) : pre_tokenizer_(pre_tokenizer) {}

  void add_text(std::string_view text);

  int64_t bytes() const { return bytes_; }
  int64_t texts() const { return texts_; }

  // Ordered by word, so that what is made of it does not depend on a hash.
  std::vector<WordCount> counts() const;

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view word) const { return std::hash<std::string_view>()(word); }
  };

  const PreTokenizer& pre_tokenizer_;
  absl::flat_hash_map<std::string, int64_t, Hash, std::equal_to<>> counts_;
  std::vector<std::string_view> words_;  // of the text at hand
  int64_t bytes_ = 0;
  int64_t texts_ = 0;
};

// Calls add(text) for every text of a file: of a .jsonl the "text" of each line and the contents of
// its "messages", of any other file the whole. progress(done, total) is told how far it is, in
// bytes. Errors: as MappedFile::open; InvalidArgument naming the line that is not such an object.
absl::Status read_corpus(const std::string& path, const std::function<void(std::string_view)>& add,
                         const std::function<void(size_t, size_t)>& progress);

}  // namespace brisk
