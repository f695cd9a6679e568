// Grammars in llama.cpp's notation (GBNF):
//   name ::= alternatives        the rule "root" is where texts begin
//   "text"  [a-z]  [^"\n]  .     with \n \r \t \\ \" \[ \] \xHH \uHHHH \UHHHHHHHH
//   ( )  |  * + ? {m} {m,} {m,n}
//   # a comment, up to the end of the line
// A rule ends with its line, except within ( ) and around |.
#pragma once

#include <absl/status/statusor.h>

#include <string_view>

#include "engine/grammar/grammar.h"

namespace brisk {

inline constexpr size_t kGbnfBytesMax = 65'536;

// Errors: InvalidArgument, with the line at fault.
absl::StatusOr<Grammar> gbnf_grammar(std::string_view text);

}  // namespace brisk
