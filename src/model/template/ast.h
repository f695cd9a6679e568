// A parsed template. Nodes live in the Template's arena and point at each other, so that neither
// building nor freeing one recurses.
#pragma once

#include <deque>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "model/template/operators.h"
#include "model/template/value.h"

namespace brisk::jinja {

struct Expression;
struct Statement;
using ExpressionRef = const Expression*;  // never null unless it says so
using Block = std::vector<const Statement*>;

// ---- Expressions

struct Constant {
  Value value;
};

struct Name {
  std::string name;
};

// [a, b] or (a, b)
struct ListLiteral {
  SequenceKind kind;
  std::vector<ExpressionRef> items;
};

struct DictLiteral {
  std::vector<std::pair<ExpressionRef, ExpressionRef>> entries;
};

enum class UnaryOperator : uint8_t { kNot, kNegative, kPositive };

struct Unary {
  UnaryOperator op;
  ExpressionRef operand;
};

struct Binary {
  BinaryOperator op;
  ExpressionRef left, right;
};

// `left and right`, `left or right`: one of the operands, unchanged.
struct Logical {
  bool is_and;
  ExpressionRef left, right;
};

// a < b <= c: every neighbouring pair must hold.
struct Comparison {
  ExpressionRef first;
  std::vector<std::pair<CompareOperator, ExpressionRef>> rest;
};

// a ~ b ~ c
struct Concatenation {
  std::vector<ExpressionRef> parts;
};

// then if test else otherwise
struct Conditional {
  ExpressionRef test, then;
  ExpressionRef otherwise;  // may be null
};

struct AttributeAccess {
  ExpressionRef object;
  std::string name;
};

struct ItemAccess {
  ExpressionRef object, key;
};

struct SliceAccess {
  ExpressionRef object;
  ExpressionRef start, stop, step;  // each may be null
};

struct CallArguments {
  std::vector<ExpressionRef> positional;
  std::vector<std::pair<std::string, ExpressionRef>> named;
  ExpressionRef more_positional = nullptr;  // *list; may be null
  ExpressionRef more_named = nullptr;       // **dict; may be null
};

struct Call {
  ExpressionRef callee;
  CallArguments arguments;
};

// input|name(...), and `input is name(...)`: `native` is null when there is none of that name,
// which is an error only where it is evaluated.
struct FilterCall {
  ExpressionRef input;
  std::string name;
  const Native* native;
  bool is_test;
  CallArguments arguments;
};

// What a {% filter %} or {% set %} block has captured, as the input of its filters.
struct Captured {};

struct Expression {
  int line;
  std::variant<Constant, Name, ListLiteral, DictLiteral, Unary, Binary, Logical, Comparison,
               Concatenation, Conditional, AttributeAccess, ItemAccess, SliceAccess, Call,
               FilterCall, Captured>
      node;
};

// ---- Statements

// What is assigned to: a name, an attribute of a namespace, or a tuple of targets.
struct Target {
  std::string name;                      // empty: a tuple
  std::optional<std::string> attribute;  // name.attribute
  std::vector<Target> items;
};

struct Data {
  std::string text;
};

struct Print {
  ExpressionRef expression;
};

struct If {
  std::vector<std::pair<ExpressionRef, Block>> branches;
  Block otherwise;
};

struct For {
  Target target;
  ExpressionRef iterable;
  ExpressionRef filter;  // may be null
  bool recursive;
  Block body;
  Block otherwise;
};

struct Set {
  Target target;
  ExpressionRef value;
};

struct SetBlock {
  Target target;
  ExpressionRef value;  // Captured, or filters on it
  Block body;
};

// {% with %}, and any other block that only has a scope of its own
struct With {
  std::vector<std::pair<Target, ExpressionRef>> bindings;
  Block body;
};

struct Parameter {
  std::string name;
  ExpressionRef fallback;  // may be null
};

struct Macro {
  std::string name;
  std::vector<Parameter> parameters;
  Block body;
  // What the body mentions, and the macro therefore accepts.
  bool uses_caller = false;
  bool uses_varargs = false;
  bool uses_kwargs = false;
};

// {% call(parameters) callee(arguments) %}body{% endcall %}
struct CallBlock {
  Macro caller;
  ExpressionRef call;  // holds a Call
};

struct FilterBlock {
  ExpressionRef value;  // filters on Captured
  Block body;
};

struct Break {};
struct Continue {};

struct Statement {
  int line;
  std::variant<Data, Print, If, For, Set, SetBlock, With, Macro, CallBlock, FilterBlock, Break,
               Continue>
      node;
};

// Immutable once parsed.
struct Template {
  std::deque<Expression> expressions;  // the arena
  std::deque<Statement> statements;    // the arena
  Block body;
};

}  // namespace brisk::jinja
