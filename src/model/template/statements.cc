#include "base/status.h"
#include "model/template/frame.h"
#include "model/template/interpreter.h"
#include "model/template/macro.h"
#include "model/template/namespace.h"
#include "model/template/python_text.h"

namespace brisk::jinja {

using Flow = Interpreter::Flow;

absl::StatusOr<Flow> Interpreter::execute(const Block& block) {
  for (const Statement* statement : block) {
    BRISK_RETURN_IF_ERROR(runtime_.enter());
    runtime_.line = statement->line;
    const auto flow = std::visit([this](const auto& node) { return run(node); }, statement->node);
    runtime_.leave();
    if (!flow.ok() || *flow != Flow::kNext) return flow;
  }
  return Flow::kNext;
}

absl::StatusOr<Flow> Interpreter::run(const Data& node) {
  BRISK_RETURN_IF_ERROR(out_->append(node.text));
  return Flow::kNext;
}

absl::StatusOr<Flow> Interpreter::run(const Print& node) {
  BRISK_ASSIGN_OR_RETURN(const Value value, evaluate(*node.expression));
  BRISK_RETURN_IF_ERROR(append_text(*out_, value));
  return Flow::kNext;
}

absl::StatusOr<Flow> Interpreter::run(const If& node) {
  for (const auto& [test, body] : node.branches) {
    BRISK_ASSIGN_OR_RETURN(const Value value, evaluate(*test));
    if (value.truthy()) return execute(body);
  }
  return execute(node.otherwise);
}

absl::StatusOr<Flow> Interpreter::run(const Set& node) {
  BRISK_ASSIGN_OR_RETURN(const Value value, evaluate(*node.value));
  BRISK_RETURN_IF_ERROR(assign(*scope_, node.target, value));
  return Flow::kNext;
}

// The output of a body in a scope of its own. Anything but kNext leaves a loop around the block,
// and what was captured is then lost, as in Jinja.
absl::StatusOr<Flow> Interpreter::capture_body(const Block& body, Value* captured) {
  TextBuilder text(runtime_);
  const Frame frame(*this, std::make_shared<Scope>(scope_), &text);
  BRISK_ASSIGN_OR_RETURN(const Flow flow, execute(body));
  *captured = text.finish();
  return flow;
}

absl::StatusOr<Flow> Interpreter::run(const SetBlock& node) {
  Value captured;
  BRISK_ASSIGN_OR_RETURN(const Flow flow, capture_body(node.body, &captured));
  if (flow != Flow::kNext) return flow;
  captured_ = std::move(captured);
  BRISK_ASSIGN_OR_RETURN(const Value value, evaluate(*node.value));
  BRISK_RETURN_IF_ERROR(assign(*scope_, node.target, value));
  return Flow::kNext;
}

absl::StatusOr<Flow> Interpreter::run(const FilterBlock& node) {
  Value captured;
  BRISK_ASSIGN_OR_RETURN(const Flow flow, capture_body(node.body, &captured));
  if (flow != Flow::kNext) return flow;
  captured_ = std::move(captured);
  BRISK_ASSIGN_OR_RETURN(const Value value, evaluate(*node.value));
  BRISK_RETURN_IF_ERROR(append_text(*out_, value));
  return Flow::kNext;
}

absl::StatusOr<Flow> Interpreter::run(const With& node) {
  auto inner = std::make_shared<Scope>(scope_);
  for (const auto& [target, expression] : node.bindings) {
    BRISK_ASSIGN_OR_RETURN(const Value value, evaluate(*expression));
    BRISK_RETURN_IF_ERROR(assign(*inner, target, value));
  }
  const Frame frame(*this, std::move(inner), out_);
  return execute(node.body);
}

absl::StatusOr<Value> Interpreter::make_macro(const Macro& node) {
  BRISK_ASSIGN_OR_RETURN(MacroObject * macro,
                         runtime_.adopt(std::make_unique<MacroObject>(*this, node, scope_)));
  return Value(macro);
}

absl::StatusOr<Flow> Interpreter::run(const Macro& node) {
  BRISK_ASSIGN_OR_RETURN(Value macro, make_macro(node));
  scope_->set(node.name, std::move(macro));
  return Flow::kNext;
}

absl::StatusOr<Flow> Interpreter::run(const CallBlock& node) {
  const auto& call_node = std::get<Call>(node.call->node);
  BRISK_ASSIGN_OR_RETURN(const Value caller, make_macro(node.caller));
  BRISK_ASSIGN_OR_RETURN(const Value callee, evaluate(*call_node.callee));
  BRISK_ASSIGN_OR_RETURN(Arguments arguments, evaluate_arguments(call_node.arguments));
  arguments.named.emplace_back("caller", caller);
  BRISK_ASSIGN_OR_RETURN(const Value text, call(callee, arguments));
  BRISK_RETURN_IF_ERROR(append_text(*out_, text));
  return Flow::kNext;
}

absl::Status Interpreter::assign(Scope& scope, const Target& target, const Value& value) {
  if (target.attribute) {
    const Value* found = scope.find(target.name);
    auto* object = found != nullptr && found->is_object() ? found->object() : nullptr;
    auto* name_space = dynamic_cast<Namespace*>(object);
    if (name_space == nullptr)
      return invalid_input("cannot assign attribute on non-namespace object");
    return name_space->set(runtime_, *target.attribute, value);
  }
  if (!target.name.empty()) {
    scope.set(target.name, value);
    return absl::OkStatus();
  }
  BRISK_ASSIGN_OR_RETURN(const auto sequence, iterate(runtime_, value));
  const size_t count = sequence->items.size();
  const size_t wanted = target.items.size();
  if (count > wanted) return invalid_input("too many values to unpack (expected {})", wanted);
  if (count < wanted) {
    return invalid_input("not enough values to unpack (expected {}, got {})", wanted, count);
  }
  for (size_t i = 0; i < count; ++i) {
    BRISK_RETURN_IF_ERROR(assign(scope, target.items[i], sequence->items[i]));
  }
  return absl::OkStatus();
}

absl::StatusOr<Value> Interpreter::capture(std::shared_ptr<Scope> scope,
                                           absl::FunctionRef<absl::Status()> prepare,
                                           const Block& block) {
  TextBuilder text(runtime_);
  const Frame frame(*this, std::move(scope), &text);
  BRISK_RETURN_IF_ERROR(prepare());
  BRISK_RETURN_IF_ERROR(execute(block).status());
  return text.finish();
}

}  // namespace brisk::jinja
