#include "model/template/expression_parser.h"

#include <optional>

#include "model/template/filters.h"

namespace brisk::jinja {
namespace {

using Result = ExpressionParser::Result;

std::optional<CompareOperator> compare_operator(std::string_view text) {
  if (text == "==") return CompareOperator::kEq;
  if (text == "!=") return CompareOperator::kNe;
  if (text == "<") return CompareOperator::kLt;
  if (text == "<=") return CompareOperator::kLe;
  if (text == ">") return CompareOperator::kGt;
  if (text == ">=") return CompareOperator::kGe;
  return std::nullopt;
}

std::optional<BinaryOperator> product_operator(std::string_view text) {
  if (text == "*") return BinaryOperator::kMultiply;
  if (text == "/") return BinaryOperator::kDivide;
  if (text == "//") return BinaryOperator::kFloorDivide;
  if (text == "%") return BinaryOperator::kModulo;
  return std::nullopt;
}

std::optional<BinaryOperator> sum_operator(std::string_view text) {
  if (text == "+") return BinaryOperator::kAdd;
  if (text == "-") return BinaryOperator::kSubtract;
  return std::nullopt;
}

}  // namespace

absl::Status ExpressionParser::enter() {
  if (nesting_ >= limits_.nesting_max) {
    return tokens_.error("nested deeper than {}", limits_.nesting_max);
  }
  ++nesting_;
  return absl::OkStatus();
}

Result ExpressionParser::parse() {
  BRISK_RETURN_IF_ERROR(enter());
  Result expression = parse_ternary();
  leave();
  return expression;
}

Result ExpressionParser::parse_without_ternary() {
  BRISK_RETURN_IF_ERROR(enter());
  Result expression = parse_or();
  leave();
  return expression;
}

Result ExpressionParser::parse_ternary() {
  BRISK_ASSIGN_OR_RETURN(ExpressionRef then, parse_or());
  while (tokens_.is_name("if")) {
    const int line = tokens_.take().line;
    BRISK_ASSIGN_OR_RETURN(const ExpressionRef test, parse_or());
    ExpressionRef otherwise = nullptr;
    if (tokens_.skip_name("else")) {
      BRISK_ASSIGN_OR_RETURN(otherwise, parse());
    }
    then = add(line, Conditional{.test = test, .then = then, .otherwise = otherwise});
  }
  return then;
}

Result ExpressionParser::parse_or() {
  BRISK_ASSIGN_OR_RETURN(ExpressionRef left, parse_and());
  while (tokens_.is_name("or")) {
    const int line = tokens_.take().line;
    BRISK_ASSIGN_OR_RETURN(const ExpressionRef right, parse_and());
    left = add(line, Logical{.is_and = false, .left = left, .right = right});
  }
  return left;
}

Result ExpressionParser::parse_and() {
  BRISK_ASSIGN_OR_RETURN(ExpressionRef left, parse_not());
  while (tokens_.is_name("and")) {
    const int line = tokens_.take().line;
    BRISK_ASSIGN_OR_RETURN(const ExpressionRef right, parse_not());
    left = add(line, Logical{.is_and = true, .left = left, .right = right});
  }
  return left;
}

Result ExpressionParser::parse_not() {
  if (!tokens_.is_name("not")) return parse_comparison();
  const int line = tokens_.take().line;
  BRISK_RETURN_IF_ERROR(enter());
  const Result operand = parse_not();
  leave();
  if (!operand.ok()) return operand;
  return add(line, Unary{.op = UnaryOperator::kNot, .operand = *operand});
}

Result ExpressionParser::parse_comparison() {
  const int line = tokens_.line();
  BRISK_ASSIGN_OR_RETURN(const ExpressionRef first, parse_sum());
  Comparison comparison{.first = first, .rest = {}};
  while (true) {
    std::optional<CompareOperator> op;
    if (tokens_.is(TokenKind::kOperator)) op = compare_operator(tokens_.current().text);
    if (tokens_.is_name("in")) op = CompareOperator::kIn;
    const bool not_in = tokens_.is_name("not") && tokens_.ahead().kind == TokenKind::kName &&
                        tokens_.ahead().text == "in";
    if (not_in) {
      op = CompareOperator::kNotIn;
      tokens_.take();
    }
    if (!op) break;
    tokens_.take();
    BRISK_ASSIGN_OR_RETURN(const ExpressionRef next, parse_sum());
    comparison.rest.emplace_back(*op, next);
  }
  return comparison.rest.empty() ? first : add(line, std::move(comparison));
}

Result ExpressionParser::parse_sum() {
  BRISK_ASSIGN_OR_RETURN(ExpressionRef left, parse_concatenation());
  while (tokens_.is(TokenKind::kOperator)) {
    const auto op = sum_operator(tokens_.current().text);
    if (!op) break;
    const int line = tokens_.take().line;
    BRISK_ASSIGN_OR_RETURN(const ExpressionRef right, parse_concatenation());
    left = add(line, Binary{.op = *op, .left = left, .right = right});
  }
  return left;
}

Result ExpressionParser::parse_concatenation() {
  const int line = tokens_.line();
  BRISK_ASSIGN_OR_RETURN(const ExpressionRef first, parse_product());
  Concatenation concatenation{.parts = {first}};
  while (tokens_.skip_operator("~")) {
    BRISK_ASSIGN_OR_RETURN(const ExpressionRef part, parse_product());
    concatenation.parts.push_back(part);
  }
  return concatenation.parts.size() == 1 ? first : add(line, std::move(concatenation));
}

Result ExpressionParser::parse_product() {
  BRISK_ASSIGN_OR_RETURN(ExpressionRef left, parse_power());
  while (tokens_.is(TokenKind::kOperator)) {
    const auto op = product_operator(tokens_.current().text);
    if (!op) break;
    const int line = tokens_.take().line;
    BRISK_ASSIGN_OR_RETURN(const ExpressionRef right, parse_power());
    left = add(line, Binary{.op = *op, .left = left, .right = right});
  }
  return left;
}

// Left to right, unlike Python's.
Result ExpressionParser::parse_power() {
  BRISK_ASSIGN_OR_RETURN(ExpressionRef left, parse_unary(true));
  while (tokens_.is_operator("**")) {
    const int line = tokens_.take().line;
    BRISK_ASSIGN_OR_RETURN(const ExpressionRef right, parse_unary(true));
    left = add(line, Binary{.op = BinaryOperator::kPower, .left = left, .right = right});
  }
  return left;
}

// Filters apply to the operand with its sign: -1|abs is (-1)|abs.
Result ExpressionParser::parse_unary(bool with_filters) {
  ExpressionRef operand = nullptr;
  if (tokens_.is_operator("-") || tokens_.is_operator("+")) {
    const Token sign = tokens_.take();
    BRISK_RETURN_IF_ERROR(enter());
    const Result inner = parse_unary(false);
    leave();
    if (!inner.ok()) return inner;
    const auto op = sign.text == "-" ? UnaryOperator::kNegative : UnaryOperator::kPositive;
    operand = add(sign.line, Unary{.op = op, .operand = *inner});
  } else {
    BRISK_ASSIGN_OR_RETURN(operand, parse_primary());
  }
  BRISK_ASSIGN_OR_RETURN(operand, parse_postfix(operand));
  return with_filters ? parse_filters_and_tests(operand) : Result(operand);
}

Result ExpressionParser::parse_primary() {
  const int line = tokens_.line();
  switch (tokens_.current().kind) {
    case TokenKind::kName:
      return parse_name_or_constant();
    case TokenKind::kText: {
      std::string text = tokens_.take().text;
      while (tokens_.is(TokenKind::kText)) text += tokens_.take().text;
      return add(line, Constant{Value(std::move(text))});
    }
    case TokenKind::kInteger:
      return add(line, Constant{Value(tokens_.take().integer)});
    case TokenKind::kFloat:
      return add(line, Constant{Value(tokens_.take().real)});
    case TokenKind::kOperator:
      if (tokens_.is_operator("[")) return parse_list();
      if (tokens_.is_operator("{")) return parse_dict();
      if (tokens_.skip_operator("(")) {
        BRISK_ASSIGN_OR_RETURN(
            const ExpressionRef inside,
            parse_tuple({.ternary = true, .may_be_empty = true, .end_name = {}}));
        BRISK_RETURN_IF_ERROR(tokens_.expect_operator(")"));
        return inside;
      }
      break;
    case TokenKind::kData:
    case TokenKind::kOutputBegin:
    case TokenKind::kOutputEnd:
    case TokenKind::kTagBegin:
    case TokenKind::kTagEnd:
    case TokenKind::kEnd:
      break;
  }
  return tokens_.error("expected an expression, got {}", tokens_.described());
}

Result ExpressionParser::parse_name_or_constant() {
  const Token token = tokens_.take();
  const std::string& name = token.text;
  if (name == "true" || name == "True") return add(token.line, Constant{Value(true)});
  if (name == "false" || name == "False") return add(token.line, Constant{Value(false)});
  if (name == "none" || name == "None") return add(token.line, Constant{Value(None{})});
  saw_caller |= name == "caller";
  saw_varargs |= name == "varargs";
  saw_kwargs |= name == "kwargs";
  return add(token.line, Name{name});
}

Result ExpressionParser::parse_tuple(const TupleOptions& options) {
  const int line = tokens_.line();
  const auto at_end = [&] {
    return tokens_.is(TokenKind::kOutputEnd) || tokens_.is(TokenKind::kTagEnd) ||
           tokens_.is_operator(")") ||
           (!options.end_name.empty() && tokens_.is_name(options.end_name));
  };
  std::vector<ExpressionRef> items;
  bool is_tuple = false;
  while (!at_end()) {
    BRISK_ASSIGN_OR_RETURN(const ExpressionRef item,
                           options.ternary ? parse() : parse_without_ternary());
    items.push_back(item);
    if (!tokens_.skip_operator(",")) break;
    is_tuple = true;
  }
  if (!is_tuple && !items.empty()) return items[0];
  if (items.empty() && !options.may_be_empty) {
    return tokens_.error("expected an expression, got {}", tokens_.described());
  }
  return add(line, ListLiteral{.kind = SequenceKind::kTuple, .items = std::move(items)});
}

Result ExpressionParser::parse_list() {
  const int line = tokens_.take().line;
  std::vector<ExpressionRef> items;
  while (!tokens_.is_operator("]")) {
    BRISK_ASSIGN_OR_RETURN(const ExpressionRef item, parse());
    items.push_back(item);
    if (!tokens_.skip_operator(",")) break;
  }
  BRISK_RETURN_IF_ERROR(tokens_.expect_operator("]"));
  return add(line, ListLiteral{.kind = SequenceKind::kList, .items = std::move(items)});
}

Result ExpressionParser::parse_dict() {
  const int line = tokens_.take().line;
  DictLiteral dict;
  while (!tokens_.is_operator("}")) {
    BRISK_ASSIGN_OR_RETURN(const ExpressionRef key, parse());
    BRISK_RETURN_IF_ERROR(tokens_.expect_operator(":"));
    BRISK_ASSIGN_OR_RETURN(const ExpressionRef value, parse());
    dict.entries.emplace_back(key, value);
    if (!tokens_.skip_operator(",")) break;
  }
  BRISK_RETURN_IF_ERROR(tokens_.expect_operator("}"));
  return add(line, std::move(dict));
}

Result ExpressionParser::parse_postfix(ExpressionRef operand) {
  while (true) {
    Result next = operand;
    if (tokens_.is_operator(".") || tokens_.is_operator("["))
      next = parse_subscript(operand);
    else if (tokens_.is_operator("("))
      next = parse_call(operand);
    else
      return operand;
    if (!next.ok()) return next;
    operand = *next;
  }
}

Result ExpressionParser::parse_filters_and_tests(ExpressionRef operand) {
  while (true) {
    Result next = operand;
    if (tokens_.is_operator("|"))
      next = parse_filters(operand, true);
    else if (tokens_.is_name("is"))
      next = parse_test(operand);
    else if (tokens_.is_operator("("))
      next = parse_call(operand);
    else
      return operand;
    if (!next.ok()) return next;
    operand = *next;
  }
}

Result ExpressionParser::parse_subscript(ExpressionRef object) {
  const int line = tokens_.line();
  if (tokens_.skip_operator(".")) {
    if (tokens_.is(TokenKind::kInteger)) {
      const ExpressionRef key = add(line, Constant{Value(tokens_.take().integer)});
      return add(line, ItemAccess{.object = object, .key = key});
    }
    BRISK_ASSIGN_OR_RETURN(std::string name, parse_name());
    return add(line, AttributeAccess{.object = object, .name = std::move(name)});
  }
  BRISK_RETURN_IF_ERROR(tokens_.expect_operator("["));
  ExpressionRef parts[3] = {nullptr, nullptr, nullptr};  // start, stop, step; or the key
  size_t part = 0;
  bool is_slice = false;
  while (!tokens_.is_operator("]")) {
    if (part < 2 && tokens_.skip_operator(":")) {
      is_slice = true;
      ++part;
      continue;
    }
    if (parts[part] != nullptr) break;
    BRISK_ASSIGN_OR_RETURN(parts[part], parse());
  }
  BRISK_RETURN_IF_ERROR(tokens_.expect_operator("]"));
  if (is_slice) {
    return add(
        line, SliceAccess{.object = object, .start = parts[0], .stop = parts[1], .step = parts[2]});
  }
  if (parts[0] == nullptr) return tokens_.error("expected an expression between '[' and ']'");
  return add(line, ItemAccess{.object = object, .key = parts[0]});
}

Result ExpressionParser::parse_filters(ExpressionRef input, bool bar_first) {
  while (!bar_first || tokens_.skip_operator("|")) {
    bar_first = true;
    FilterCall call{
        .input = input, .name = {}, .native = nullptr, .is_test = false, .arguments = {}};
    const int line = tokens_.line();
    BRISK_ASSIGN_OR_RETURN(call.name, parse_dotted_name());
    call.native = find_filter(call.name);
    if (tokens_.is_operator("(")) {
      BRISK_ASSIGN_OR_RETURN(call.arguments, parse_arguments());
    }
    input = add(line, std::move(call));
  }
  return input;
}

Result ExpressionParser::parse_test(ExpressionRef operand) {
  const int line = tokens_.take().line;  // "is"
  const bool negated = tokens_.skip_name("not");
  FilterCall call{
      .input = operand, .name = {}, .native = nullptr, .is_test = true, .arguments = {}};
  BRISK_ASSIGN_OR_RETURN(call.name, parse_dotted_name());
  call.native = find_test(call.name);
  const bool starts_operand = tokens_.is(TokenKind::kText) || tokens_.is(TokenKind::kInteger) ||
                              tokens_.is(TokenKind::kFloat) || tokens_.is_operator("[") ||
                              tokens_.is_operator("{") ||
                              (tokens_.is(TokenKind::kName) && !tokens_.is_name("else") &&
                               !tokens_.is_name("or") && !tokens_.is_name("and"));
  if (tokens_.is_operator("(")) {
    BRISK_ASSIGN_OR_RETURN(call.arguments, parse_arguments());
  } else if (starts_operand) {
    if (tokens_.is_name("is")) return tokens_.error("You cannot chain multiple tests with is");
    BRISK_ASSIGN_OR_RETURN(const ExpressionRef primary, parse_primary());
    BRISK_ASSIGN_OR_RETURN(const ExpressionRef argument, parse_postfix(primary));
    call.arguments.positional.push_back(argument);
  }
  const ExpressionRef test = add(line, std::move(call));
  if (!negated) return test;
  return add(line, Unary{.op = UnaryOperator::kNot, .operand = test});
}

Result ExpressionParser::parse_call(ExpressionRef callee) {
  const int line = tokens_.line();
  BRISK_ASSIGN_OR_RETURN(CallArguments arguments, parse_arguments());
  return add(line, Call{.callee = callee, .arguments = std::move(arguments)});
}

absl::StatusOr<CallArguments> ExpressionParser::parse_arguments() {
  BRISK_RETURN_IF_ERROR(tokens_.expect_operator("("));
  CallArguments arguments;
  while (!tokens_.is_operator(")")) {
    const bool named = tokens_.is(TokenKind::kName) &&
                       tokens_.ahead().kind == TokenKind::kOperator && tokens_.ahead().text == "=";
    const bool star = tokens_.is_operator("*");
    // In this order: positional, named, *list and **dict last.
    const bool in_order =
        arguments.more_named == nullptr &&
        (named || tokens_.is_operator("**") ||
         (arguments.more_positional == nullptr && (star || arguments.named.empty())));
    if (!in_order) return tokens_.error("invalid syntax for function call expression");
    if (tokens_.skip_operator("*")) {
      BRISK_ASSIGN_OR_RETURN(arguments.more_positional, parse());
    } else if (tokens_.skip_operator("**")) {
      BRISK_ASSIGN_OR_RETURN(arguments.more_named, parse());
    } else if (named) {
      std::string name = tokens_.take().text;
      tokens_.take();
      BRISK_ASSIGN_OR_RETURN(const ExpressionRef value, parse());
      arguments.named.emplace_back(std::move(name), value);
    } else {
      BRISK_ASSIGN_OR_RETURN(const ExpressionRef value, parse());
      arguments.positional.push_back(value);
    }
    if (!tokens_.skip_operator(",")) break;
  }
  BRISK_RETURN_IF_ERROR(tokens_.expect_operator(")"));
  return arguments;
}

absl::StatusOr<std::string> ExpressionParser::parse_name() {
  if (!tokens_.is(TokenKind::kName)) {
    return tokens_.error("expected a name, got {}", tokens_.described());
  }
  return tokens_.take().text;
}

absl::StatusOr<std::string> ExpressionParser::parse_dotted_name() {
  BRISK_ASSIGN_OR_RETURN(std::string name, parse_name());
  while (tokens_.skip_operator(".")) {
    BRISK_ASSIGN_OR_RETURN(const std::string part, parse_name());
    name += "." + part;
  }
  return name;
}

absl::StatusOr<Target> ExpressionParser::parse_one_target() {
  if (tokens_.skip_operator("(")) {
    BRISK_RETURN_IF_ERROR(enter());
    auto inside = parse_target("");
    leave();
    if (!inside.ok()) return inside;
    BRISK_RETURN_IF_ERROR(tokens_.expect_operator(")"));
    return inside;
  }
  constexpr std::string_view kConstants[] = {"true", "True", "false", "False", "none", "None"};
  for (const std::string_view constant : kConstants) {
    if (tokens_.is_name(constant)) return tokens_.error("can't assign to '{}'", constant);
  }
  BRISK_ASSIGN_OR_RETURN(std::string name, parse_name());
  return Target{.name = std::move(name), .attribute = {}, .items = {}};
}

absl::StatusOr<Target> ExpressionParser::parse_target(std::string_view end_name) {
  Target tuple;
  bool is_tuple = false;
  while (true) {
    BRISK_ASSIGN_OR_RETURN(Target target, parse_one_target());
    tuple.items.push_back(std::move(target));
    if (!tokens_.skip_operator(",")) break;
    is_tuple = true;
    const bool at_end = tokens_.is_operator(")") || tokens_.is_operator("=") ||
                        tokens_.is(TokenKind::kTagEnd) ||
                        (!end_name.empty() && tokens_.is_name(end_name));
    if (at_end) break;
  }
  if (is_tuple) return tuple;
  Target only = std::move(tuple.items[0]);
  return only;
}

}  // namespace brisk::jinja
