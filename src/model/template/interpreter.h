// Walks a template's tree: expressions to values, statements to output.
#pragma once

#include <absl/functional/function_ref.h>
#include <absl/status/statusor.h>

#include <memory>
#include <utility>

#include "model/template/ast.h"
#include "model/template/runtime.h"
#include "model/template/scope.h"

namespace brisk::jinja {

class Interpreter {
 public:
  // `runtime` and `out` must outlive this.
  Interpreter(Runtime& runtime, std::shared_ptr<Scope> scope, TextBuilder& out)
      : runtime_(runtime), scope_(std::move(scope)), out_(&out) {}

  // How a block was left.
  enum class Flow : uint8_t { kNext, kBreak, kContinue };

  absl::StatusOr<Flow> execute(const Block& block);
  absl::StatusOr<Value> evaluate(const Expression& expression);

  // The output of `prepare`, then of the block, in `scope`.
  absl::StatusOr<Value> capture(std::shared_ptr<Scope> scope,
                                absl::FunctionRef<absl::Status()> prepare, const Block& block);

  // Executes the body, in the current scope and into the current output, for each item of
  // `iterable`. `depth` counts from 0, up by one for each `loop(children)` of recursive loops.
  // Other than kNext is a jump in the loop's {% else %}, meant for the loop around it.
  absl::StatusOr<Flow> run_loop(const For& loop, const Value& iterable, int depth);

  // Evaluates in `scope`.
  absl::StatusOr<Value> evaluate_in(std::shared_ptr<Scope> scope, const Expression& expression);

  absl::Status assign(Scope& scope, const Target& target, const Value& value);

 private:
  using Result = absl::StatusOr<Value>;

  // Restores scope and output when it ends.
  class Frame;

  // Expressions
  Result visit(const Constant& node) { return node.value; }
  Result visit(const Name& node);
  Result visit(const ListLiteral& node);
  Result visit(const DictLiteral& node);
  Result visit(const Unary& node);
  Result visit(const Binary& node);
  Result visit(const Logical& node);
  Result visit(const Comparison& node);
  Result visit(const Concatenation& node);
  Result visit(const Conditional& node);
  Result visit(const AttributeAccess& node);
  Result visit(const ItemAccess& node);
  Result visit(const SliceAccess& node);
  Result visit(const Call& node);
  Result visit(const FilterCall& node);
  Result visit(const Captured&) { return captured_; }

  absl::StatusOr<Arguments> evaluate_arguments(const CallArguments& arguments);
  absl::StatusOr<std::optional<int64_t>> evaluate_bound(ExpressionRef bound);
  Result call(const Value& callee, const Arguments& arguments);

  // Statements
  absl::StatusOr<Flow> run(const Data& node);
  absl::StatusOr<Flow> run(const Print& node);
  absl::StatusOr<Flow> run(const If& node);
  absl::StatusOr<Flow> run(const For& node);
  absl::StatusOr<Flow> run(const Set& node);
  absl::StatusOr<Flow> run(const SetBlock& node);
  absl::StatusOr<Flow> run(const With& node);
  absl::StatusOr<Flow> run(const Macro& node);
  absl::StatusOr<Flow> run(const CallBlock& node);
  absl::StatusOr<Flow> run(const FilterBlock& node);
  absl::StatusOr<Flow> run(const Break&) { return Flow::kBreak; }
  absl::StatusOr<Flow> run(const Continue&) { return Flow::kContinue; }

  absl::StatusOr<Flow> capture_body(const Block& body, Value* captured);
  Result make_macro(const Macro& node);

  Runtime& runtime_;
  std::shared_ptr<Scope> scope_;
  TextBuilder* out_;
  Value captured_;
};

// The functions every template can call: range, dict, namespace, raise_exception, strftime_now.
void add_globals(Scope& scope);

}  // namespace brisk::jinja
