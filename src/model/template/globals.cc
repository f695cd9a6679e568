#include <ctime>

#include <absl/time/time.h>

#include "base/status.h"
#include "model/template/access.h"
#include "model/template/arguments.h"
#include "model/template/interpreter.h"
#include "model/template/namespace.h"
#include "model/template/operators.h"
#include "model/template/python_text.h"

namespace brisk::jinja {
namespace {

using Result = absl::StatusOr<Value>;

constexpr int64_t kRangeMax = 100'000;  // as Jinja's sandbox has it

Result call_range(Runtime& runtime, const Value&, const Arguments& arguments) {
  BRISK_ASSIGN_OR_RETURN(const auto given,
                         BoundArguments::bind("range", arguments, {"start", "stop", "step"}, 1));
  const bool one = given[1] == nullptr;
  BRISK_ASSIGN_OR_RETURN(const int64_t first, given.integer(0, 0));
  BRISK_ASSIGN_OR_RETURN(const int64_t second, given.integer(1, 0));
  BRISK_ASSIGN_OR_RETURN(const int64_t step, given.integer(2, 1));
  const int64_t start = one ? 0 : first;
  const int64_t stop = one ? first : second;
  if (step == 0) return invalid_input("range() arg 3 must not be zero");
  std::vector<Value> items;
  for (__int128 i = start; step > 0 ? i < stop : i > stop; i += step) {
    if (items.size() >= kRangeMax) {
      return invalid_input("Range too big. The sandbox blocks ranges larger than {}.", kRangeMax);
    }
    items.emplace_back(static_cast<int64_t>(i));
  }
  return runtime.sequence(SequenceKind::kList, std::move(items));
}

// The entries that dict() and namespace() are given: a mapping or pairs, then named arguments.
absl::StatusOr<std::vector<std::pair<Value, Value>>> given_entries(Runtime& runtime,
                                                                   const Arguments& arguments) {
  if (arguments.positional.size() > 1) {
    return invalid_input("dict expected at most 1 argument, got {}", arguments.positional.size());
  }
  Dict dict{.entries = {}, .depth = 1};
  const auto put = [&](const Value& key, const Value& value) -> absl::Status {
    return put_entry(runtime, &dict, key, value);
  };
  if (!arguments.positional.empty()) {
    const Value& source = arguments.positional[0];
    if (source.is_dict()) {
      dict.entries = source.dict().entries;
      BRISK_RETURN_IF_ERROR(runtime.spend_steps(dict.entries.size() / 16));
    } else {
      BRISK_ASSIGN_OR_RETURN(const auto pairs, iterate(runtime, source));
      for (const Value& pair : pairs->items) {
        BRISK_ASSIGN_OR_RETURN(const auto parts, iterate(runtime, pair));
        if (parts->items.size() != 2) {
          return invalid_input("dict(): every item must be a pair, but one has length {}",
                               parts->items.size());
        }
        BRISK_RETURN_IF_ERROR(put(parts->items[0], parts->items[1]));
      }
    }
  }
  for (const auto& [name, value] : arguments.named) BRISK_RETURN_IF_ERROR(put(Value(name), value));
  return std::move(dict.entries);
}

Result call_dict(Runtime& runtime, const Value&, const Arguments& arguments) {
  BRISK_ASSIGN_OR_RETURN(auto entries, given_entries(runtime, arguments));
  return runtime.dict(std::move(entries));
}

Result call_namespace(Runtime& runtime, const Value&, const Arguments& arguments) {
  BRISK_ASSIGN_OR_RETURN(const auto entries, given_entries(runtime, arguments));
  BRISK_ASSIGN_OR_RETURN(Namespace * created, runtime.adopt(std::make_unique<Namespace>()));
  for (const auto& [key, value] : entries) {
    if (!key.is_text()) return invalid_input("namespace(): names must be texts");
    BRISK_RETURN_IF_ERROR(created->set(runtime, key.text(), value));
  }
  return Value(created);
}

Result call_raise_exception(Runtime& runtime, const Value&, const Arguments& arguments) {
  BRISK_ASSIGN_OR_RETURN(const auto given,
                         BoundArguments::bind("raise_exception", arguments, {"message"}, 1));
  BRISK_ASSIGN_OR_RETURN(const Value message, to_text(runtime, *given[0]));
  return invalid_input("{}", message.text().substr(0, 1000));
}

Result call_strftime_now(Runtime& runtime, const Value&, const Arguments& arguments) {
  BRISK_ASSIGN_OR_RETURN(const auto given,
                         BoundArguments::bind("strftime_now", arguments, {"format"}, 1));
  BRISK_ASSIGN_OR_RETURN(const std::string_view format, given.text(0, ""));
  constexpr size_t kFormatMax = 256;
  if (format.size() > kFormatMax || format.find('\0') != std::string_view::npos) {
    return invalid_input("strftime_now: the format is longer than {} bytes", kFormatMax);
  }
  const absl::TimeZone utc = absl::UTCTimeZone();
  const std::tm time = absl::ToTM(absl::FromCivil(runtime.now(), utc), utc);
  char buffer[4096];
  // The mark tells an empty result from one that did not fit.
  const std::string marked = std::string(format) + "$";
  const size_t size = std::strftime(buffer, sizeof buffer, marked.c_str(), &time);
  if (size == 0) return invalid_input("strftime_now: the result is too long");
  return runtime.text(std::string(buffer, size - 1));
}

constexpr Native kGlobals[] = {
    {"dict", call_dict},
    {"namespace", call_namespace},
    {"raise_exception", call_raise_exception},
    {"range", call_range},
    {"strftime_now", call_strftime_now},
};

}  // namespace

void add_globals(Scope& scope) {
  for (const Native& native : kGlobals) {
    const Function function{.native = &native, .self = Value()};
    scope.set(native.name, Value(std::make_shared<const Function>(function)));
  }
}

}  // namespace brisk::jinja
