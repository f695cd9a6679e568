// Answers of models that call tools, and what a parser makes of them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "serve/tools/tool_call_parser.h"

namespace brisk::test {

struct ReadCall {
  std::string name;
  std::string arguments;
  friend bool operator==(const ReadCall&, const ReadCall&) = default;
};

struct ReadAnswer {
  std::string text;
  std::vector<ReadCall> calls;
  std::vector<api::AnswerPiece> pieces;  // neighbours of one kind joined
};

inline void add_pieces(std::vector<api::AnswerPiece> pieces, ReadAnswer& answer) {
  using Kind = api::AnswerPiece::Kind;
  for (api::AnswerPiece& piece : pieces) {
    if (piece.kind == Kind::kText) answer.text += piece.text;
    if (piece.kind == Kind::kCall) answer.calls.push_back({.name = piece.text, .arguments = {}});
    if (piece.kind == Kind::kArguments) answer.calls.back().arguments += piece.text;
    const bool goes_on = piece.kind != Kind::kCall && !answer.pieces.empty() &&
                         answer.pieces.back().kind == piece.kind;
    if (goes_on) {
      answer.pieces.back().text += piece.text;
    } else {
      answer.pieces.push_back(std::move(piece));
    }
  }
}

// `cut(left)` says how many of so many bytes come next.
template <class Cut>
ReadAnswer read_answer(const api::ToolCallParser::Options& options, std::string_view text,
                       const Cut& cut) {
  ReadAnswer answer;
  const auto parser = api::ToolCallParser::create(options);
  while (!text.empty()) {
    const size_t bytes = cut(text.size());
    parser->push(text.substr(0, bytes));
    text.remove_prefix(bytes);
    add_pieces(parser->take(), answer);
  }
  parser->finish();
  add_pieces(parser->take(), answer);
  return answer;
}

inline ReadAnswer read_answer(const api::ToolCallParser::Options& options, std::string_view text) {
  return read_answer(options, text, [](size_t left) { return left; });
}

}  // namespace brisk::test
