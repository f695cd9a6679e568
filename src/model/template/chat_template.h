// Chat templates: the Jinja text in a checkpoint that turns a conversation into a prompt, rendered
// as Hugging Face's apply_chat_template does it (jinja2's sandbox, trim_blocks, lstrip_blocks,
// break and continue, its tojson, raise_exception, strftime_now). Where this differs from jinja2:
// integers have 64 bits, range() is a list, and there are only the filters of filters.h.
#pragma once

#include <absl/status/statusor.h>
#include <absl/time/civil_time.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/json.h"
#include "model/template/limits.h"

namespace brisk {

namespace jinja {
struct Template;
}

// Immutable; any thread may render.
class ChatTemplate {
 public:
  // Errors: InvalidArgument with the line and what was wrong there; Unimplemented for tags that
  // read other templates. Unknown filters are errors only where a render reaches them.
  static absl::StatusOr<std::unique_ptr<const ChatTemplate>> parse(
      std::string_view source, const TemplateLimits& limits = {});
  ~ChatTemplate();

  // `variables` is an object: name -> value. `now` is what strftime_now shows; nothing: the local
  // time. Errors: InvalidArgument with the line and what was wrong (what raise_exception was given,
  // or jinja2's own words), ResourceExhausted when a limit was hit.
  absl::StatusOr<std::string> render(const OrderedJson& variables,
                                     const TemplateLimits& limits = {},
                                     std::optional<absl::CivilSecond> now = {}) const;

 private:
  explicit ChatTemplate(std::unique_ptr<const jinja::Template> tree);

  const std::unique_ptr<const jinja::Template> tree_;
};

// What a request brings to a template.
struct ChatInput {
  OrderedJson messages;                       // array of {role, content, ...}
  OrderedJson tools = nullptr;                // array, or null
  OrderedJson documents = nullptr;            // array, or null
  bool add_generation_prompt = true;          // end with the beginning of the assistant's turn
  std::optional<std::string> bos_token = {};  // texts, where the vocabulary has such tokens
  std::optional<std::string> eos_token = {};
  OrderedJson kwargs = nullptr;  // object of further variables ("chat_template_kwargs"), or null
};

// The variables that Hugging Face passes for it. Errors: InvalidArgument when a part is of the
// wrong kind, or kwargs sets messages, tools, documents or add_generation_prompt.
absl::StatusOr<OrderedJson> template_variables(ChatInput input);

}  // namespace brisk
