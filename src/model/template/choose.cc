#include "model/template/choose.h"

#include "base/status.h"

namespace brisk {

std::string_view default_chat_template() {
  return R"({% for message in messages %}
{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}
{%- endfor %}
{% if add_generation_prompt %}
{{ '<|im_start|>assistant\n' }}
{%- endif %}
)";
}

absl::StatusOr<std::string> choose_chat_template(const std::string& from_checkpoint,
                                                 const Tokenizer& tokenizer) {
  if (!from_checkpoint.empty()) return from_checkpoint;
  const bool speaks_chatml =
      tokenizer.find("<|im_start|>") >= 0 && tokenizer.find("<|im_end|>") >= 0;
  if (speaks_chatml) return std::string(default_chat_template());
  return invalid_input(
      "this model cannot chat: it has no chat template, and its vocabulary is not ChatML's");
}

}  // namespace brisk
