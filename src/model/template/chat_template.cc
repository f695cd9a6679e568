#include "model/template/chat_template.h"

#include <absl/time/clock.h>
#include <absl/time/time.h>

#include <utility>

#include "base/status.h"
#include "model/template/interpreter.h"
#include "model/template/parser.h"
#include "model/template/runtime.h"
#include "model/template/scope.h"
#include "model/template/unicode.h"

namespace brisk {
namespace {

absl::CivilSecond local_time() { return absl::ToCivilSecond(absl::Now(), absl::LocalTimeZone()); }

// The globals, the variables inside them, and in there the scope of the template itself.
absl::StatusOr<std::shared_ptr<jinja::Scope>> make_scope(const OrderedJson& variables) {
  auto globals = std::make_shared<jinja::Scope>(nullptr);
  jinja::add_globals(*globals);
  auto given = std::make_shared<jinja::Scope>(globals);
  for (const auto& [name, json] : variables.get_ref<const OrderedJson::object_t&>()) {
    BRISK_ASSIGN_OR_RETURN(jinja::Value value, jinja::from_json(json));
    given->set(name, std::move(value));
  }
  return std::make_shared<jinja::Scope>(given);
}

}  // namespace

ChatTemplate::ChatTemplate(std::unique_ptr<const jinja::Template> tree) : tree_(std::move(tree)) {}
ChatTemplate::~ChatTemplate() = default;

absl::StatusOr<std::unique_ptr<const ChatTemplate>> ChatTemplate::parse(
    std::string_view source, const TemplateLimits& limits) {
  if (source.size() > limits.source_bytes_max) {
    return invalid_input("chat template: {} bytes are over the limit of {}", source.size(),
                         limits.source_bytes_max);
  }
  if (!jinja::is_utf8(source)) return invalid_input("chat template: the text is not UTF-8");
  auto tree = jinja::parse_template(source, limits);
  if (!tree.ok()) return annotate(tree.status(), "chat template");
  return std::unique_ptr<const ChatTemplate>(new ChatTemplate(*std::move(tree)));
}

absl::StatusOr<std::string> ChatTemplate::render(const OrderedJson& variables,
                                                 const TemplateLimits& limits,
                                                 std::optional<absl::CivilSecond> now) const {
  if (!variables.is_object()) {
    return invalid_input("chat template: the variables must be a JSON object");
  }
  BRISK_ASSIGN_OR_RETURN(std::shared_ptr<jinja::Scope> scope, make_scope(variables));
  jinja::Runtime runtime(limits, now ? *now : local_time());
  jinja::TextBuilder out(runtime, limits.output_bytes_max);
  jinja::Interpreter interpreter(runtime, std::move(scope), out);
  if (const auto done = interpreter.execute(tree_->body); !done.ok()) {
    return annotate(done.status(), fmt::format("chat template, line {}", runtime.line));
  }
  return std::move(out.text());
}

absl::StatusOr<OrderedJson> template_variables(ChatInput input) {
  const auto is_list = [](const OrderedJson& json) { return json.is_array() || json.is_null(); };
  if (!input.messages.is_array()) return invalid_input("messages must be an array");
  if (!is_list(input.tools)) return invalid_input("tools must be an array");
  if (!is_list(input.documents)) return invalid_input("documents must be an array");
  if (!input.kwargs.is_object() && !input.kwargs.is_null()) {
    return invalid_input("chat_template_kwargs must be an object");
  }
  OrderedJson variables = OrderedJson::object();
  variables["messages"] = std::move(input.messages);
  variables["tools"] = std::move(input.tools);
  variables["documents"] = std::move(input.documents);
  variables["add_generation_prompt"] = input.add_generation_prompt;
  if (input.kwargs.is_object()) {
    for (const auto& [name, value] : input.kwargs.items()) {
      if (variables.contains(name)) {
        return invalid_input("chat_template_kwargs cannot set '{}': it is a parameter of its own",
                             name);
      }
    }
  }
  if (input.bos_token) variables["bos_token"] = *std::move(input.bos_token);
  if (input.eos_token) variables["eos_token"] = *std::move(input.eos_token);
  if (input.kwargs.is_object()) {
    for (const auto& [name, value] : input.kwargs.items()) variables[name] = value;
  }
  return variables;
}

}  // namespace brisk
