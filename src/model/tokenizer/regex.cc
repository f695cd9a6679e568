#include "model/tokenizer/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <cstring>
#include <utility>

#include "base/status.h"

namespace brisk {
namespace {

constexpr size_t kPatternBytesMax = 32 * 1024;

// Backtracking steps from one starting point, and memory for them.
constexpr uint32_t kMatchLimit = 10'000'000;
constexpr uint32_t kHeapLimitKib = 64 * 1024;
constexpr size_t kJitStackStart = 32 * 1024;
constexpr size_t kJitStackMax = 1024 * 1024;

// Perl's \s has U+180E, Unicode's White_Space does not; Perl's \w has no marks.
constexpr std::string_view kSpaceClass = R"(\p{Z}\t-\r\x{85})";
constexpr std::string_view kWordClass = R"(\p{L}\p{M}\p{Nd}\p{Nl}\p{Pc})";

struct Freer {
  void operator()(pcre2_code* p) const { pcre2_code_free(p); }
  void operator()(pcre2_match_data* p) const { pcre2_match_data_free(p); }
  void operator()(pcre2_match_context* p) const { pcre2_match_context_free(p); }
  void operator()(pcre2_jit_stack* p) const { pcre2_jit_stack_free(p); }
};
template <class T>
using Owned = std::unique_ptr<T, Freer>;

// Writes one escape sequence, `\` and `letter`, in PCRE2's dialect.
void translate_escape(char letter, bool in_class, std::string* out) {
  const auto write_class = [&](std::string_view members, bool negated) {
    if (!in_class) out->append(negated ? "[^" : "[");
    out->append(members);
    if (!in_class) out->push_back(']');
  };
  if (letter == 's') return write_class(kSpaceClass, false);
  if (letter == 'w') return write_class(kWordClass, false);
  if (letter == 'S' && !in_class) return write_class(kSpaceClass, true);
  if (letter == 'W' && !in_class) return write_class(kWordClass, true);
  out->push_back('\\');
  out->push_back(letter);
}

absl::StatusOr<std::string> translate(std::string_view pattern) {
  std::string out;
  bool in_class = false;
  for (size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    if (c == '\\' && i + 1 < pattern.size()) {
      translate_escape(pattern[++i], in_class, &out);
      continue;
    }
    if (in_class && pattern.substr(i, 2) == "&&") {
      return unsupported("the pattern '{}' intersects character classes", pattern);
    }
    out.push_back(c);
    if (in_class && pattern.substr(i, 2) == "[:") {  // [:alpha:]
      const size_t end = pattern.find(":]", i + 2);
      if (end == std::string_view::npos) continue;
      out.append(pattern.substr(i + 1, end + 2 - (i + 1)));
      i = end + 1;
    } else if (!in_class && c == '[') {
      in_class = true;
      // A ']' that comes first is a member, not the end.
      if (pattern.substr(i + 1, 1) == "^") out.push_back(pattern[++i]);
      if (pattern.substr(i + 1, 1) == "]") out.push_back(pattern[++i]);
    } else if (in_class && c == ']') {
      in_class = false;
    }
  }
  return out;
}

// What a search writes to. Making one costs more than most searches, so each thread keeps its own.
struct Scratch {
  Owned<pcre2_match_data> data;
  Owned<pcre2_match_context> context;
  Owned<pcre2_jit_stack> stack;

  Scratch()
      : data(pcre2_match_data_create(1, nullptr)),  // only where the whole match lies
        context(pcre2_match_context_create(nullptr)),
        stack(pcre2_jit_stack_create(kJitStackStart, kJitStackMax, nullptr)) {
    if (!context) return;
    pcre2_set_match_limit(context.get(), kMatchLimit);
    pcre2_set_heap_limit(context.get(), kHeapLimitKib);
    if (stack) pcre2_jit_stack_assign(context.get(), nullptr, stack.get());
  }
};

PCRE2_SPTR units(std::string_view text) { return reinterpret_cast<PCRE2_SPTR>(text.data()); }

}  // namespace

struct Regex::Code {
  Owned<pcre2_code> code;
};

Regex::Regex(std::unique_ptr<Code> code) : code_(std::move(code)) {}
Regex::Regex(Regex&&) noexcept = default;
Regex& Regex::operator=(Regex&&) noexcept = default;
Regex::~Regex() = default;

absl::StatusOr<Regex> Regex::compile(std::string_view pattern) {
  if (pattern.size() > kPatternBytesMax) {
    return invalid_input("a pattern of {} bytes is longer than {}", pattern.size(),
                         kPatternBytesMax);
  }
  BRISK_ASSIGN_OR_RETURN(const std::string translated, translate(pattern));
  int error = 0;
  PCRE2_SIZE offset = 0;
  const uint32_t options = PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C;
  Owned<pcre2_code> code(
      pcre2_compile(units(translated), translated.size(), options, &error, &offset, nullptr));
  if (!code) {
    PCRE2_UCHAR message[160] = {};
    pcre2_get_error_message(error, message, sizeof(message));
    return invalid_input("the pattern '{}' is malformed: {}", pattern,
                         reinterpret_cast<const char*>(message));
  }
  // Where there is no JIT the interpreter gives the same matches.
  pcre2_jit_compile(code.get(), PCRE2_JIT_COMPLETE);
  auto holder = std::make_unique<Code>();
  holder->code = std::move(code);
  return Regex(std::move(holder));
}

void Regex::for_each_match(std::string_view text,
                           const std::function<void(size_t begin, size_t end)>& found) const {
  const pcre2_code* code = code_->code.get();
  thread_local const Scratch scratch;
  if (!scratch.data || !scratch.context) return;
  const PCRE2_SIZE* bounds = pcre2_get_ovector_pointer(scratch.data.get());
  const auto match = [&](size_t from, uint32_t options) {
    return pcre2_match(code, units(text), text.size(), from, PCRE2_NO_UTF_CHECK | options,
                       scratch.data.get(), scratch.context.get());
  };
  size_t at = 0;
  while (at < text.size()) {
    int result = match(at, 0);
    // The interpreter keeps its backtracking points on the heap, with another limit.
    if (result == PCRE2_ERROR_JIT_STACKLIMIT) result = match(at, PCRE2_NO_JIT);
    if (result < 0) return;
    const size_t begin = bounds[0];
    const size_t end = bounds[1];
    // \K can set a match's start beyond its end, or before where the search began.
    if (begin < at || end < begin) return;
    found(begin, end);
    at = end;
    if (begin != end) continue;
    do {
      ++at;
    } while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80);
  }
}

std::string escaped_for_regex(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (std::strchr("\\^$.[]|()?*+{}-#&~", c) != nullptr && c != '\0') escaped.push_back('\\');
    escaped.push_back(c);
  }
  return escaped;
}

}  // namespace brisk
