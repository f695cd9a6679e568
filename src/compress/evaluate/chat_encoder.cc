#include "compress/evaluate/chat_encoder.h"

#include "base/status.h"
#include "model/template/choose.h"

namespace brisk {

absl::StatusOr<ChatEncoder> ChatEncoder::create(const Model& model,
                                                const std::string& chat_template) {
  if (model.tokenizer == nullptr) {
    return invalid_input("{}: no tokenizer found; give one with --tokenizer", model.name);
  }
  std::string source = chat_template;
  if (source.empty()) {
    BRISK_ASSIGN_OR_RETURN(source,
                           choose_chat_template(model.checkpoint->chat_template, *model.tokenizer));
  }
  BRISK_ASSIGN_OR_RETURN(auto parsed, ChatTemplate::parse(source));
  return ChatEncoder(*model.tokenizer, std::move(parsed));
}

absl::StatusOr<std::vector<int32_t>> ChatEncoder::encode(OrderedJson messages, bool prompt) const {
  ChatInput input;
  input.messages = std::move(messages);
  input.add_generation_prompt = prompt;
  const TokenizerRules& rules = tokenizer_.rules();
  if (rules.bos >= 0) input.bos_token = tokenizer_.decode_token(rules.bos, true);
  if (rules.eos >= 0) input.eos_token = tokenizer_.decode_token(rules.eos, true);
  BRISK_ASSIGN_OR_RETURN(const OrderedJson variables, template_variables(std::move(input)));
  BRISK_ASSIGN_OR_RETURN(const std::string text, template_->render(variables));
  return tokenizer_.encode(text, {.add_special = false, .parse_special = true});
}

}  // namespace brisk
