#include "model/template/parser.h"

#include <span>

#include "model/template/expression_parser.h"
#include "model/template/token_stream.h"

namespace brisk::jinja {
namespace {

// The statements: text, {{ print }} and {% tags %}. Expressions are ExpressionParser's.
class Parser {
 public:
  Parser(std::vector<Token> tokens, Template& tree, const TemplateLimits& limits)
      : tokens_(std::move(tokens)), tree_(tree), expressions_(tokens_, tree, limits) {}

  absl::Status run() {
    BRISK_ASSIGN_OR_RETURN(tree_.body, parse_block({}));
    return absl::OkStatus();
  }

 private:
  using EndNames = std::initializer_list<std::string_view>;

  template <class Node>
  const Statement* add(int line, Node node) {
    return &tree_.statements.emplace_back(Statement{.line = line, .node = std::move(node)});
  }

  bool at_end_tag(EndNames ends) const {
    for (const std::string_view name : ends) {
      if (tokens_.is_name(name)) return true;
    }
    return false;
  }

  // Statements until a tag whose name is one of `ends`; the stream then stands on that name.
  absl::StatusOr<Block> parse_block(EndNames ends) {
    Block block;
    while (!tokens_.is(TokenKind::kEnd)) {
      const int line = tokens_.line();
      if (tokens_.is(TokenKind::kData)) {
        block.push_back(add(line, Data{tokens_.take().text}));
        continue;
      }
      if (tokens_.is(TokenKind::kOutputBegin)) {
        tokens_.take();
        BRISK_ASSIGN_OR_RETURN(const ExpressionRef value, expressions_.parse_tuple({}));
        BRISK_RETURN_IF_ERROR(tokens_.expect(TokenKind::kOutputEnd, "'}}'"));
        block.push_back(add(line, Print{value}));
        continue;
      }
      BRISK_RETURN_IF_ERROR(tokens_.expect(TokenKind::kTagBegin, "'{%'"));
      if (at_end_tag(ends)) return block;
      BRISK_RETURN_IF_ERROR(expressions_.enter());
      const absl::Status parsed = parse_tag(&block);
      expressions_.leave();
      BRISK_RETURN_IF_ERROR(parsed);
      BRISK_RETURN_IF_ERROR(tokens_.expect(TokenKind::kTagEnd, "'%}'"));
    }
    if (ends.size() == 0) return block;
    return tokens_.error("the template ends before '{}'", ends.begin()[ends.size() - 1]);
  }

  // From behind a tag's own words to the name of the tag that ends its body.
  absl::StatusOr<Block> parse_body(EndNames ends) {
    tokens_.skip_operator(":");
    BRISK_RETURN_IF_ERROR(tokens_.expect(TokenKind::kTagEnd, "'%}'"));
    return parse_block(ends);
  }

  // The same, and takes the name of the end tag.
  absl::StatusOr<Block> parse_whole_body(std::string_view end) {
    BRISK_ASSIGN_OR_RETURN(Block body, parse_body({end}));
    tokens_.take();
    return body;
  }

  // A tag from its name up to, but without, the last "%}".
  absl::Status parse_tag(Block* block) {
    if (!tokens_.is(TokenKind::kName)) {
      return tokens_.error("expected the name of a tag, got {}", tokens_.described());
    }
    struct Tag {
      std::string_view name;
      absl::StatusOr<const Statement*> (Parser::*parse)(int line);
    };
    static constexpr Tag kTags[] = {
        {"break", &Parser::parse_break},
        {"call", &Parser::parse_call},
        {"continue", &Parser::parse_continue},
        {"filter", &Parser::parse_filter},
        {"for", &Parser::parse_for},
        {"generation", &Parser::parse_generation},
        {"if", &Parser::parse_if},
        {"macro", &Parser::parse_macro},
        {"set", &Parser::parse_set},
        {"with", &Parser::parse_with},
    };
    if (tokens_.is_name("print")) return parse_print(block);
    for (const Tag& tag : kTags) {
      if (!tokens_.is_name(tag.name)) continue;
      const int line = tokens_.take().line;
      BRISK_ASSIGN_OR_RETURN(const Statement* statement, (this->*tag.parse)(line));
      block->push_back(statement);
      return absl::OkStatus();
    }
    for (const std::string_view name :
         {"autoescape", "block", "extends", "from", "import", "include"}) {
      if (!tokens_.is_name(name)) continue;
      return unsupported("line {}: chat templates cannot use the tag '{}'", tokens_.line(), name);
    }
    return tokens_.error("unknown tag '{}'", tokens_.current().text);
  }

  absl::Status parse_print(Block* block) {
    const int line = tokens_.take().line;
    while (!tokens_.is(TokenKind::kTagEnd)) {
      BRISK_ASSIGN_OR_RETURN(const ExpressionRef value, expressions_.parse());
      block->push_back(add(line, Print{value}));
      if (!tokens_.skip_operator(",")) break;
    }
    return absl::OkStatus();
  }

  absl::StatusOr<const Statement*> parse_if(int line) {
    If node;
    while (true) {
      BRISK_ASSIGN_OR_RETURN(
          const ExpressionRef test,
          expressions_.parse_tuple({.ternary = false, .may_be_empty = false, .end_name = {}}));
      BRISK_ASSIGN_OR_RETURN(Block body, parse_body({"elif", "else", "endif"}));
      node.branches.emplace_back(test, std::move(body));
      const std::string end = tokens_.take().text;
      if (end == "elif") continue;
      if (end == "else") {
        BRISK_ASSIGN_OR_RETURN(node.otherwise, parse_whole_body("endif"));
      }
      return add(line, std::move(node));
    }
  }

  absl::StatusOr<const Statement*> parse_for(int line) {
    For node{.target = {},
             .iterable = nullptr,
             .filter = nullptr,
             .recursive = false,
             .body = {},
             .otherwise = {}};
    BRISK_ASSIGN_OR_RETURN(node.target, expressions_.parse_target("in"));
    BRISK_RETURN_IF_ERROR(refuse_loop_target(node.target));
    BRISK_RETURN_IF_ERROR(tokens_.expect_name("in"));
    BRISK_ASSIGN_OR_RETURN(node.iterable,
                           expressions_.parse_tuple(
                               {.ternary = false, .may_be_empty = false, .end_name = "recursive"}));
    if (tokens_.skip_name("if")) {
      BRISK_ASSIGN_OR_RETURN(node.filter, expressions_.parse());
    }
    node.recursive = tokens_.skip_name("recursive");
    ++for_depth_;
    ++loop_depth_;
    auto body = parse_body({"else", "endfor"});
    --loop_depth_;
    if (!body.ok()) return body.status();
    node.body = *std::move(body);
    if (tokens_.take().text == "else") {
      BRISK_ASSIGN_OR_RETURN(node.otherwise, parse_whole_body("endfor"));
    }
    --for_depth_;
    return add(line, std::move(node));
  }

  absl::Status refuse_loop_target(const Target& target) const {
    if (target.name == "loop") {
      return tokens_.error("Can't assign to special loop variable in for-loop target");
    }
    for (const Target& item : target.items) BRISK_RETURN_IF_ERROR(refuse_loop_target(item));
    return absl::OkStatus();
  }

  absl::StatusOr<const Statement*> parse_set(int line) {
    Target target;
    if (tokens_.ahead().kind == TokenKind::kOperator && tokens_.ahead().text == ".") {
      BRISK_ASSIGN_OR_RETURN(target.name, expressions_.parse_name());
      tokens_.take();
      BRISK_ASSIGN_OR_RETURN(target.attribute, expressions_.parse_name());
    } else {
      BRISK_ASSIGN_OR_RETURN(target, expressions_.parse_target(""));
      if (for_depth_ > 0) BRISK_RETURN_IF_ERROR(refuse_loop_target(target));
    }
    if (tokens_.skip_operator("=")) {
      BRISK_ASSIGN_OR_RETURN(const ExpressionRef value, expressions_.parse_tuple({}));
      return add(line, Set{.target = std::move(target), .value = value});
    }
    BRISK_ASSIGN_OR_RETURN(const ExpressionRef value,
                           expressions_.parse_filters(expressions_.add(line, Captured{}), true));
    BRISK_ASSIGN_OR_RETURN(Block body, parse_whole_body("endset"));
    return add(line,
               SetBlock{.target = std::move(target), .value = value, .body = std::move(body)});
  }

  absl::StatusOr<const Statement*> parse_with(int line) {
    With node;
    while (!tokens_.is(TokenKind::kTagEnd)) {
      if (!node.bindings.empty()) BRISK_RETURN_IF_ERROR(tokens_.expect_operator(","));
      BRISK_ASSIGN_OR_RETURN(Target target, expressions_.parse_target(""));
      BRISK_RETURN_IF_ERROR(tokens_.expect_operator("="));
      BRISK_ASSIGN_OR_RETURN(const ExpressionRef value, expressions_.parse());
      node.bindings.emplace_back(std::move(target), value);
    }
    BRISK_ASSIGN_OR_RETURN(node.body, parse_whole_body("endwith"));
    return add(line, std::move(node));
  }

  // Marks the assistant's turns for training; here it is only a scope.
  absl::StatusOr<const Statement*> parse_generation(int line) {
    With node;
    const int loops_outside = std::exchange(loop_depth_, 0);
    auto body = parse_whole_body("endgeneration");
    loop_depth_ = loops_outside;
    if (!body.ok()) return body.status();
    node.body = *std::move(body);
    return add(line, std::move(node));
  }

  absl::StatusOr<const Statement*> parse_filter(int line) {
    BRISK_ASSIGN_OR_RETURN(const ExpressionRef value,
                           expressions_.parse_filters(expressions_.add(line, Captured{}), false));
    BRISK_ASSIGN_OR_RETURN(Block body, parse_whole_body("endfilter"));
    return add(line, FilterBlock{.value = value, .body = std::move(body)});
  }

  absl::StatusOr<std::vector<Parameter>> parse_parameters() {
    std::vector<Parameter> parameters;
    BRISK_RETURN_IF_ERROR(tokens_.expect_operator("("));
    while (!tokens_.is_operator(")")) {
      if (!parameters.empty()) BRISK_RETURN_IF_ERROR(tokens_.expect_operator(","));
      Parameter parameter{.name = {}, .fallback = nullptr};
      BRISK_ASSIGN_OR_RETURN(parameter.name, expressions_.parse_name());
      if (tokens_.skip_operator("=")) {
        BRISK_ASSIGN_OR_RETURN(parameter.fallback, expressions_.parse());
      } else if (!parameters.empty() && parameters.back().fallback != nullptr) {
        return tokens_.error("non-default argument follows default argument");
      }
      parameters.push_back(std::move(parameter));
    }
    tokens_.take();
    return parameters;
  }

  // The body of a macro or of a call block, noting which special names it mentions.
  absl::Status parse_macro_body(Macro* macro, std::string_view end) {
    const bool caller = std::exchange(expressions_.saw_caller, false);
    const bool varargs = std::exchange(expressions_.saw_varargs, false);
    const bool kwargs = std::exchange(expressions_.saw_kwargs, false);
    const int loops_outside = std::exchange(loop_depth_, 0);
    auto body = parse_whole_body(end);
    loop_depth_ = loops_outside;
    if (!body.ok()) return body.status();
    macro->body = *std::move(body);
    macro->uses_caller = expressions_.saw_caller;
    macro->uses_varargs = expressions_.saw_varargs;
    macro->uses_kwargs = expressions_.saw_kwargs;
    for (const Parameter& parameter : macro->parameters) {
      if (parameter.name == "caller") macro->uses_caller = false;
      if (parameter.name == "varargs") macro->uses_varargs = false;
      if (parameter.name == "kwargs") macro->uses_kwargs = false;
    }
    expressions_.saw_caller |= caller;
    expressions_.saw_varargs |= varargs;
    expressions_.saw_kwargs |= kwargs;
    return absl::OkStatus();
  }

  absl::StatusOr<const Statement*> parse_macro(int line) {
    Macro macro;
    BRISK_ASSIGN_OR_RETURN(macro.name, expressions_.parse_name());
    BRISK_ASSIGN_OR_RETURN(macro.parameters, parse_parameters());
    BRISK_RETURN_IF_ERROR(parse_macro_body(&macro, "endmacro"));
    return add(line, std::move(macro));
  }

  absl::StatusOr<const Statement*> parse_call(int line) {
    CallBlock node{.caller = {}, .call = nullptr};
    node.caller.name = "caller";
    if (tokens_.is_operator("(")) {
      BRISK_ASSIGN_OR_RETURN(node.caller.parameters, parse_parameters());
    }
    BRISK_ASSIGN_OR_RETURN(node.call, expressions_.parse());
    if (!std::holds_alternative<Call>(node.call->node)) {
      return tokens_.error("expected a call behind 'call'");
    }
    BRISK_RETURN_IF_ERROR(parse_macro_body(&node.caller, "endcall"));
    return add(line, std::move(node));
  }

  absl::StatusOr<const Statement*> parse_break(int line) {
    if (loop_depth_ == 0) return tokens_.error("'break' outside loop");
    return add(line, Break{});
  }

  absl::StatusOr<const Statement*> parse_continue(int line) {
    if (loop_depth_ == 0) return tokens_.error("'continue' outside loop");
    return add(line, Continue{});
  }

  TokenStream tokens_;
  Template& tree_;
  ExpressionParser expressions_;
  int loop_depth_ = 0;  // loops that a `break` here could leave
  int for_depth_ = 0;   // loops around, through macros too
};

}  // namespace

absl::StatusOr<std::unique_ptr<const Template>> parse_template(std::string_view source,
                                                               const TemplateLimits& limits) {
  BRISK_ASSIGN_OR_RETURN(std::vector<Token> tokens, tokenize(source));
  auto tree = std::make_unique<Template>();
  BRISK_RETURN_IF_ERROR(Parser(std::move(tokens), *tree, limits).run());
  return std::unique_ptr<const Template>(std::move(tree));
}

}  // namespace brisk::jinja
