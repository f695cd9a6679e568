// Texts and conversations as tokens in memory: read once, tokenised once, any document at hand.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "model/template/chat_template.h"
#include "model/tokenizer/tokenizer.h"

namespace brisk::train {

// --data FILE[:weight].
struct DataSource {
  std::string path;
  double weight = 1;  // passes over the file in one epoch
};

// Errors: InvalidArgument for a weight that is no positive number.
absl::StatusOr<DataSource> parse_data_source(const std::string& text);

struct Document {
  uint64_t begin = 0;  // its tokens in the corpus
  uint32_t length = 0;
  uint16_t source = 0;   // index of its DataSource
  uint16_t is_text = 1;  // all of it is learned: it may be cut anywhere
};

// Immutable once read; any thread may read it.
class Corpus {
 public:
  struct Options {
    const Tokenizer* tokenizer = nullptr;
    const ChatTemplate* chat_template = nullptr;
    bool learn_prompts = false;                                             // in conversations too
    std::function<void(uint64_t bytes, uint64_t bytes_total)> on_progress;  // may be null
  };

  // .jsonl: a document a line, {"text": "..."} or {"messages": [{"role", "content"}, ...]}, other
  // keys ignored. Anything else: text, whose documents are separated by lines of <|endoftext|> or,
  // where there are none, is one document. Errors name the file and the line; InvalidArgument for a
  // file without documents.
  static absl::StatusOr<Corpus> read(const std::vector<DataSource>& sources,
                                     const Options& options);

  const std::vector<Document>& documents() const { return documents_; }
  const std::vector<DataSource>& sources() const { return sources_; }
  uint64_t tokens() const { return low_.size(); }
  uint64_t learned_tokens() const { return learned_tokens_; }

  int32_t token(uint64_t at) const {
    return low_[at] | (high_.empty() ? 0 : int32_t{high_[at]} << 16);
  }
  // Whether predicting the token at `at` counts.
  bool is_learned(uint64_t at) const { return learned_[at]; }

  // Identifies the tokens, for resuming with the same data.
  uint64_t fingerprint() const;

 private:
  struct Reader;

  void add(const std::vector<int32_t>& tokens, const std::vector<bool>& learned, uint16_t source);

  std::vector<DataSource> sources_;
  std::vector<uint16_t> low_;
  std::vector<uint16_t> high_;  // empty where vocabularies are small
  std::vector<bool> learned_;
  std::vector<Document> documents_;
  uint64_t learned_tokens_ = 0;
};

}  // namespace brisk::train
