#include "serve/api/chat_renderer.h"

#include <memory>
#include <utility>

#include "base/status.h"
#include "model/template/chat_template.h"
#include "model/template/choose.h"

namespace brisk::api {
namespace {

constexpr std::string_view kWhitespace = " \t\n\r\f\v";

std::optional<std::string> token_text(const Tokenizer& tokenizer, int32_t token) {
  if (token < 0) return std::nullopt;
  return tokenizer.decode_token(token, true);
}

absl::StatusOr<std::string> render(const ChatTemplate& chat_template, const Tokenizer& tokenizer,
                                   const ChatRequest& chat) {
  ChatInput input;
  input.messages = chat.messages;
  input.add_generation_prompt = chat.add_generation_prompt;
  input.bos_token = token_text(tokenizer, tokenizer.rules().bos);
  input.eos_token = token_text(tokenizer, tokenizer.rules().eos);
  input.kwargs = chat.template_args;
  if (chat.tools.use != ToolUse::kNone) input.tools = chat.tools.definitions;
  BRISK_ASSIGN_OR_RETURN(const OrderedJson variables, template_variables(std::move(input)));
  absl::StatusOr<std::string> text = chat_template.render(variables);
  if (absl::IsResourceExhausted(text.status())) {  // and would be again
    return invalid_input("the chat template: {}", message_of(text.status()));
  }
  BRISK_RETURN_IF_ERROR(text.status());
  if (!chat.continue_final_message) return text;
  const OrderedJson& content = chat.messages.back()["content"];
  if (!content.is_string()) return invalid_input("the last message has no content to continue");
  return cut_after_last_message(*std::move(text), content.get_ref<const std::string&>());
}

// The template that serves all chats that bring none, or why there is none.
absl::StatusOr<std::shared_ptr<const ChatTemplate>> own_template(const Model& model,
                                                                 const std::string& replacement) {
  std::string source = replacement;
  if (source.empty()) {
    auto chosen = choose_chat_template(model.checkpoint->chat_template, *model.tokenizer);
    if (!chosen.ok()) {
      return invalid_input(
          "{}; use /v1/completions, or give the server a template with --chat-template",
          message_of(chosen.status()));
    }
    source = *std::move(chosen);
  }
  absl::StatusOr<std::unique_ptr<const ChatTemplate>> parsed = ChatTemplate::parse(source);
  if (!parsed.ok()) return annotate(parsed.status(), "the model's chat template");
  return std::shared_ptr<const ChatTemplate>(std::move(*parsed));
}

}  // namespace

absl::StatusOr<ChatRenderer> make_chat_renderer(const Model& model,
                                                const std::string& chat_template) {
  absl::StatusOr<std::shared_ptr<const ChatTemplate>> own = own_template(model, chat_template);
  if (!own.ok() && !chat_template.empty()) return own.status();
  return [own = std::move(own), tokenizer = model.tokenizer.get()](
             const ChatRequest& chat) -> absl::StatusOr<std::string> {
    if (!chat.chat_template.empty()) {
      BRISK_ASSIGN_OR_RETURN(const std::unique_ptr<const ChatTemplate> given,
                             ChatTemplate::parse(chat.chat_template));
      return render(*given, *tokenizer, chat);
    }
    BRISK_RETURN_IF_ERROR(own.status());
    return render(**own, *tokenizer, chat);
  };
}

ToolSupport chat_tool_support(const Model& model, const std::string& chat_template,
                              std::string_view forced_syntax) {
  return tool_support(chat_template.empty() ? model.checkpoint->chat_template : chat_template,
                      forced_syntax);
}

// As Hugging Face's continue_final_message does: templates may trim the content.
absl::StatusOr<std::string> cut_after_last_message(std::string rendered, std::string_view content) {
  const size_t first = content.find_first_not_of(kWhitespace);
  if (first == std::string_view::npos) return invalid_input("the last message is empty");
  const std::string_view untrimmed = content.substr(first);
  const std::string_view trimmed =
      content.substr(first, content.find_last_not_of(kWhitespace) + 1 - first);
  const size_t at = rendered.rfind(trimmed);
  if (at == std::string::npos) {
    return invalid_input(
        "the chat template does not show the last message as it is, so that it "
        "cannot be continued");
  }
  const bool kept = std::string_view(rendered).substr(at).starts_with(untrimmed);
  rendered.resize(at + (kept ? untrimmed.size() : trimmed.size()));
  return rendered;
}

}  // namespace brisk::api
