#include "base/status.h"
#include "model/template/access.h"
#include "model/template/frame.h"
#include "model/template/interpreter.h"
#include "model/template/python_text.h"

namespace brisk::jinja {

using Result = absl::StatusOr<Value>;

Result Interpreter::evaluate(const Expression& expression) {
  BRISK_RETURN_IF_ERROR(runtime_.enter());
  runtime_.line = expression.line;
  Result value = std::visit([this](const auto& node) { return visit(node); }, expression.node);
  runtime_.leave();
  return value;
}

Result Interpreter::evaluate_in(std::shared_ptr<Scope> scope, const Expression& expression) {
  const Frame frame(*this, std::move(scope), out_);
  return evaluate(expression);
}

Result Interpreter::visit(const Name& node) {
  if (const Value* value = scope_->find(node.name)) return *value;
  return Value::undefined(fmt::format("{} is undefined", repr_of_text(node.name)));
}

Result Interpreter::visit(const ListLiteral& node) {
  std::vector<Value> items;
  items.reserve(node.items.size());
  for (const ExpressionRef item : node.items) {
    BRISK_ASSIGN_OR_RETURN(Value value, evaluate(*item));
    items.push_back(std::move(value));
  }
  return runtime_.sequence(node.kind, std::move(items));
}

Result Interpreter::visit(const DictLiteral& node) {
  Dict dict{.entries = {}, .depth = 1};
  for (const auto& [key, value] : node.entries) {
    BRISK_ASSIGN_OR_RETURN(const Value evaluated_key, evaluate(*key));
    BRISK_ASSIGN_OR_RETURN(const Value evaluated_value, evaluate(*value));
    BRISK_RETURN_IF_ERROR(put_entry(runtime_, &dict, evaluated_key, evaluated_value));
  }
  return runtime_.dict(std::move(dict.entries));
}

Result Interpreter::visit(const Unary& node) {
  BRISK_ASSIGN_OR_RETURN(const Value operand, evaluate(*node.operand));
  switch (node.op) {
    case UnaryOperator::kNot:
      return Value(!operand.truthy());
    case UnaryOperator::kNegative:
      return negative(operand);
    case UnaryOperator::kPositive:
      return positive(operand);
  }
  return Value();
}

Result Interpreter::visit(const Binary& node) {
  BRISK_ASSIGN_OR_RETURN(const Value left, evaluate(*node.left));
  BRISK_ASSIGN_OR_RETURN(const Value right, evaluate(*node.right));
  return calculate(runtime_, node.op, left, right);
}

Result Interpreter::visit(const Logical& node) {
  BRISK_ASSIGN_OR_RETURN(Value left, evaluate(*node.left));
  if (left.truthy() != node.is_and) return left;
  return evaluate(*node.right);
}

Result Interpreter::visit(const Comparison& node) {
  BRISK_ASSIGN_OR_RETURN(Value left, evaluate(*node.first));
  for (const auto& [op, expression] : node.rest) {
    BRISK_ASSIGN_OR_RETURN(Value right, evaluate(*expression));
    BRISK_ASSIGN_OR_RETURN(const bool holds, compare(runtime_, op, left, right));
    if (!holds) return Value(false);
    left = std::move(right);
  }
  return Value(true);
}

Result Interpreter::visit(const Concatenation& node) {
  TextBuilder text(runtime_);
  for (const ExpressionRef part : node.parts) {
    BRISK_ASSIGN_OR_RETURN(const Value value, evaluate(*part));
    BRISK_RETURN_IF_ERROR(append_text(text, value));
  }
  return text.finish();
}

Result Interpreter::visit(const Conditional& node) {
  const int line = runtime_.line;
  BRISK_ASSIGN_OR_RETURN(const Value test, evaluate(*node.test));
  if (test.truthy()) return evaluate(*node.then);
  if (node.otherwise != nullptr) return evaluate(*node.otherwise);
  return Value::undefined(
      fmt::format("the inline if-expression on line {} evaluated to false and no else section was "
                  "defined.",
                  line));
}

Result Interpreter::visit(const AttributeAccess& node) {
  BRISK_ASSIGN_OR_RETURN(const Value object, evaluate(*node.object));
  return get_attribute(runtime_, object, node.name);
}

Result Interpreter::visit(const ItemAccess& node) {
  BRISK_ASSIGN_OR_RETURN(const Value object, evaluate(*node.object));
  BRISK_ASSIGN_OR_RETURN(const Value key, evaluate(*node.key));
  return get_item(runtime_, object, key);
}

absl::StatusOr<std::optional<int64_t>> Interpreter::evaluate_bound(ExpressionRef bound) {
  if (bound == nullptr) return std::nullopt;
  BRISK_ASSIGN_OR_RETURN(const Value value, evaluate(*bound));
  if (value.is_none()) return std::nullopt;
  if (value.is_int()) return value.as_int();
  if (value.is_bool()) return value.as_bool() ? 1 : 0;
  return invalid_input("slice indices must be integers or None, not '{}'", value.type_name());
}

Result Interpreter::visit(const SliceAccess& node) {
  BRISK_ASSIGN_OR_RETURN(const Value object, evaluate(*node.object));
  SliceBounds bounds;
  BRISK_ASSIGN_OR_RETURN(bounds.start, evaluate_bound(node.start));
  BRISK_ASSIGN_OR_RETURN(bounds.stop, evaluate_bound(node.stop));
  BRISK_ASSIGN_OR_RETURN(bounds.step, evaluate_bound(node.step));
  return slice(runtime_, object, bounds);
}

Result Interpreter::visit(const Call& node) {
  BRISK_ASSIGN_OR_RETURN(const Value callee, evaluate(*node.callee));
  BRISK_ASSIGN_OR_RETURN(const Arguments arguments, evaluate_arguments(node.arguments));
  return call(callee, arguments);
}

Result Interpreter::visit(const FilterCall& node) {
  BRISK_ASSIGN_OR_RETURN(const Value input, evaluate(*node.input));
  if (node.native == nullptr) {
    return invalid_input("No {} named '{}'.", node.is_test ? "test" : "filter", node.name);
  }
  BRISK_ASSIGN_OR_RETURN(const Arguments arguments, evaluate_arguments(node.arguments));
  return node.native->call(runtime_, input, arguments);
}

absl::StatusOr<Arguments> Interpreter::evaluate_arguments(const CallArguments& nodes) {
  Arguments arguments;
  for (const ExpressionRef node : nodes.positional) {
    BRISK_ASSIGN_OR_RETURN(Value value, evaluate(*node));
    arguments.positional.push_back(std::move(value));
  }
  for (const auto& [name, node] : nodes.named) {
    BRISK_ASSIGN_OR_RETURN(Value value, evaluate(*node));
    arguments.named.emplace_back(name, std::move(value));
  }
  if (nodes.more_positional != nullptr) {
    BRISK_ASSIGN_OR_RETURN(const Value list, evaluate(*nodes.more_positional));
    BRISK_ASSIGN_OR_RETURN(const auto more, iterate(runtime_, list));
    arguments.positional.insert(arguments.positional.end(), more->items.begin(), more->items.end());
  }
  if (nodes.more_named != nullptr) {
    BRISK_ASSIGN_OR_RETURN(const Value dict, evaluate(*nodes.more_named));
    if (!dict.is_dict()) return invalid_input("argument after ** must be a mapping");
    BRISK_RETURN_IF_ERROR(runtime_.spend_bytes(dict.dict().entries.size() * 2 * sizeof(Value)));
    for (const auto& [key, value] : dict.dict().entries) {
      if (!key.is_text()) return invalid_input("keywords must be strings");
      BRISK_RETURN_IF_ERROR(runtime_.spend_bytes(key.text().size()));
      arguments.named.emplace_back(std::string(key.text()), value);
    }
  }
  return arguments;
}

Result Interpreter::call(const Value& callee, const Arguments& arguments) {
  if (callee.is_undefined()) return undefined_error(callee);
  if (callee.is_object()) return callee.object()->call(runtime_, arguments);
  if (!callee.is_function()) {
    return invalid_input("'{}' object is not callable", callee.type_name());
  }
  const Function& function = callee.function();
  return function.native->call(runtime_, function.self, arguments);
}

}  // namespace brisk::jinja
