// Regular expressions of pre-tokenisers, on PCRE2. Patterns come from tokenizer files, never from
// users: see SplitPattern for what keeps their cost down.
#pragma once

#include <absl/status/statusor.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace brisk {

// Immutable; any thread may call it.
class Regex {
 public:
  // Understands what Rust's and Oniguruma's dialects share with Perl's; \s is Unicode's
  // White_Space as it is there, and \w has marks.
  // Errors: InvalidArgument for a malformed pattern, Unimplemented for intersections of classes.
  static absl::StatusOr<Regex> compile(std::string_view pattern);

  Regex(Regex&&) noexcept;
  Regex& operator=(Regex&&) noexcept;
  ~Regex();

  // Calls found(begin, end) for every match, from left to right, without overlaps; empty matches
  // too. Stops early when the pattern backtracks beyond PCRE2's limits.
  // REQUIRES: `text` is UTF-8.
  void for_each_match(std::string_view text,
                      const std::function<void(size_t begin, size_t end)>& found) const;

 private:
  struct Code;
  explicit Regex(std::unique_ptr<Code> code);
  std::unique_ptr<Code> code_;
};

// `text` with every character that means something in a pattern escaped.
std::string escaped_for_regex(std::string_view text);

}  // namespace brisk
