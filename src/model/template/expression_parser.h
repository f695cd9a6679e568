// The expressions of a template, by recursive descent: one function for each level of precedence.
#pragma once

#include <absl/status/statusor.h>

#include <string>
#include <utility>

#include "model/template/ast.h"
#include "model/template/limits.h"
#include "model/template/token_stream.h"

namespace brisk::jinja {

class ExpressionParser {
 public:
  // All three must outlive this.
  ExpressionParser(TokenStream& tokens, Template& tree, const TemplateLimits& limits)
      : tokens_(tokens), tree_(tree), limits_(limits) {}

  using Result = absl::StatusOr<ExpressionRef>;

  Result parse();                  // with `a if b else c`
  Result parse_without_ternary();  // where an `if` behind it means something else

  struct TupleOptions {
    bool ternary = true;
    bool may_be_empty = false;  // "()"
    std::string_view end_name;  // a name that ends it too
  };
  // One expression, or a tuple of those that commas separate.
  Result parse_tuple(const TupleOptions& options);

  // `|name(...)|...` behind `input`; with `bar_first` false the first bar is left out.
  Result parse_filters(ExpressionRef input, bool bar_first);

  // A name, or a tuple of targets that ends at `end_name` at the latest.
  absl::StatusOr<Target> parse_target(std::string_view end_name);
  absl::StatusOr<std::string> parse_name();

  template <class Node>
  ExpressionRef add(int line, Node node) {
    return &tree_.expressions.emplace_back(Expression{.line = line, .node = std::move(node)});
  }

  // Nesting of blocks and parentheses. Every enter() that succeeds is followed by one leave().
  absl::Status enter();
  void leave() { --nesting_; }

  // Which of a macro's special names have been mentioned since they were last cleared.
  bool saw_caller = false;
  bool saw_varargs = false;
  bool saw_kwargs = false;

 private:
  Result parse_ternary();
  Result parse_or();
  Result parse_and();
  Result parse_not();
  Result parse_comparison();
  Result parse_sum();
  Result parse_concatenation();
  Result parse_product();
  Result parse_power();
  Result parse_unary(bool with_filters);
  Result parse_primary();
  Result parse_name_or_constant();
  Result parse_list();
  Result parse_dict();
  Result parse_postfix(ExpressionRef operand);
  Result parse_filters_and_tests(ExpressionRef operand);
  Result parse_subscript(ExpressionRef object);
  Result parse_test(ExpressionRef operand);
  Result parse_call(ExpressionRef callee);
  absl::StatusOr<CallArguments> parse_arguments();
  absl::StatusOr<std::string> parse_dotted_name();
  absl::StatusOr<Target> parse_one_target();

  TokenStream& tokens_;
  Template& tree_;
  const TemplateLimits& limits_;
  int nesting_ = 0;
};

}  // namespace brisk::jinja
