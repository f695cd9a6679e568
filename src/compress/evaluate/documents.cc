#include "compress/evaluate/documents.h"

#include <algorithm>
#include <string_view>

#include "base/json.h"
#include "base/lines.h"
#include "base/status.h"
#include "compute/sys/mapped_file.h"

namespace brisk {
namespace {

constexpr size_t kFileBytesMax = size_t{4} << 30;

absl::StatusOr<Document> document_of_line(std::string_view line) {
  BRISK_ASSIGN_OR_RETURN(const Json json, parse_json(line));
  for (const char* key : {"text", "story", "content"}) {
    if (json.is_object() && json.contains(key) && json[key].is_string()) {
      return Document(json[key].get<std::string>());
    }
  }
  if (!json.is_object() || !json.contains("messages") || !json["messages"].is_array()) {
    return invalid_input(
        "expected an object with a string \"text\", \"story\" or \"content\", or an array "
        "\"messages\"");
  }
  // As it stands there: a template may look at the order of keys.
  BRISK_ASSIGN_OR_RETURN(const OrderedJson ordered, parse_ordered_json(line));
  Document document(ordered["messages"].dump());
  document.is_conversation = true;
  return document;
}

}  // namespace

absl::StatusOr<std::vector<Document>> read_documents(const std::string& path) {
  BRISK_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::open(path));
  const std::string_view text = file.text();
  if (text.size() > kFileBytesMax) return exhausted("{}: larger than 4 GiB", path);
  if (!path.ends_with(".jsonl")) return std::vector<Document>{std::string(text)};
  std::vector<Document> documents;
  const absl::Status read = for_each_line(text, [&](std::string_view line) -> absl::Status {
    BRISK_ASSIGN_OR_RETURN(documents.emplace_back(), document_of_line(line));
    return absl::OkStatus();
  });
  if (!read.ok()) return annotate(read, path);
  if (documents.empty()) return invalid_input("{}: there is no document", path);
  return documents;
}

absl::StatusOr<DocumentEncoder> DocumentEncoder::create(const Model& model,
                                                        const std::vector<Document>& documents) {
  if (model.tokenizer == nullptr) {
    return invalid_input("{}: the model has no tokenizer; give one with --tokenizer", model.name);
  }
  DocumentEncoder encoder(*model.tokenizer);
  if (std::any_of(documents.begin(), documents.end(),
                  [](const Document& document) { return document.is_conversation; })) {
    auto chat = ChatEncoder::create(model, "");
    if (!chat.ok()) {
      return invalid_input("conversations need a chat template, and {}: {}", model.name,
                           message_of(chat.status()));
    }
    encoder.chat_.emplace(*std::move(chat));
  }
  return encoder;
}

absl::StatusOr<std::vector<int32_t>> DocumentEncoder::encode(const Document& document,
                                                             size_t bytes_max) const {
  if (!document.is_conversation) {
    const std::string_view text = std::string_view(document.text).substr(0, bytes_max);
    return tokenizer_.encode(text, {.add_special = false});
  }
  BRISK_ASSIGN_OR_RETURN(OrderedJson messages, parse_ordered_json(document.text));
  BRISK_ASSIGN_OR_RETURN(std::vector<int32_t> tokens, chat_->encode(std::move(messages), false));
  const int32_t bos = tokenizer_.rules().bos;
  if (bos >= 0 && !tokens.empty() && tokens.front() == bos) tokens.erase(tokens.begin());
  return tokens;
}

}  // namespace brisk
