// Conversations as the tokens that a model sees, by its chat template.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/json.h"
#include "model/model.h"
#include "model/template/chat_template.h"

namespace brisk {

// Immutable; any thread may encode.
class ChatEncoder {
 public:
  // `chat_template`: Jinja; empty: the model's own. The model outlives it. Errors: InvalidArgument
  // when the model cannot chat (no tokenizer, no template), and those of the template.
  static absl::StatusOr<ChatEncoder> create(const Model& model, const std::string& chat_template);

  // `messages`: an array of {"role", "content"}. `prompt`: ends where the assistant's turn begins.
  absl::StatusOr<std::vector<int32_t>> encode(OrderedJson messages, bool prompt) const;

 private:
  ChatEncoder(const Tokenizer& tokenizer, std::shared_ptr<const ChatTemplate> chat_template)
      : tokenizer_(tokenizer), template_(std::move(chat_template)) {}

  const Tokenizer& tokenizer_;
  std::shared_ptr<const ChatTemplate> template_;
};

}  // namespace brisk
