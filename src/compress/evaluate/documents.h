// Texts that models are measured on and calibrated with.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "compress/evaluate/chat_encoder.h"

namespace brisk {

struct Document {
  Document() = default;
  Document(std::string plain) : text(std::move(plain)) {}  // NOLINT(google-explicit-constructor)
  Document(const char* plain) : text(plain) {}             // NOLINT(google-explicit-constructor)

  std::string text;  // of a conversation: the JSON of its messages
  bool is_conversation = false;
};

// The documents of a file: the "text" (or "story", "content") or the conversation ("messages") of
// every line of a .jsonl, else the whole file as one. Errors: as MappedFile::open; InvalidArgument
// naming the line.
absl::StatusOr<std::vector<Document>> read_documents(const std::string& path);

// Documents as a model sees them.
class DocumentEncoder {
 public:
  // The model outlives it. Errors: InvalidArgument where the model has no tokenizer, or some are
  // conversations and it cannot chat.
  static absl::StatusOr<DocumentEncoder> create(const Model& model,
                                                const std::vector<Document>& documents);

  // Without a BOS token in front. Of a text, its first `bytes_max` bytes.
  absl::StatusOr<std::vector<int32_t>> encode(const Document& document, size_t bytes_max) const;

 private:
  explicit DocumentEncoder(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}

  const Tokenizer& tokenizer_;
  std::optional<ChatEncoder> chat_;  // where it is needed
};

}  // namespace brisk
