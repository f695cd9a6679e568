// Errors as values: how every room below serve/ reports what a user, a file or a network did wrong.
// The message says what was wrong and what to do; `exit_code` in apps/ and one function in serve/
// map the code to what the outside sees.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <fmt/format.h>

#include <optional>
#include <string_view>
#include <utility>

namespace brisk {

// The input itself is wrong: a malformed file, a bad parameter, an unusable combination.
template <class... Args>
absl::Status invalid_input(fmt::format_string<Args...> format, Args&&... args) {
  return absl::InvalidArgumentError(fmt::format(format, std::forward<Args>(args)...));
}

// The input is well formed, but names something brisk does not do.
template <class... Args>
absl::Status unsupported(fmt::format_string<Args...> format, Args&&... args) {
  return absl::UnimplementedError(fmt::format(format, std::forward<Args>(args)...));
}

// A file, tensor, model or request that does not exist.
template <class... Args>
absl::Status not_found(fmt::format_string<Args...> format, Args&&... args) {
  return absl::NotFoundError(fmt::format(format, std::forward<Args>(args)...));
}

// A limit of the system was reached (memory, queue, disk); trying later or with less may work.
template <class... Args>
absl::Status exhausted(fmt::format_string<Args...> format, Args&&... args) {
  return absl::ResourceExhaustedError(fmt::format(format, std::forward<Args>(args)...));
}

// The operating system refused; the message carries its reason.
template <class... Args>
absl::Status system_error(fmt::format_string<Args...> format, Args&&... args) {
  return absl::UnavailableError(fmt::format(format, std::forward<Args>(args)...));
}

// `status` with the advice to try again after so many seconds.
absl::Status with_retry_after(absl::Status status, double seconds);
std::optional<double> retry_after_seconds(const absl::Status& status);

// Debian's Abseil is built with a string_view of its own; fmt and we use the standard one.
inline std::string_view message_of(const absl::Status& status) {
  return {status.message().data(), status.message().size()};
}

// `status` with `context` in front of its message: "tok.json: vocabulary is empty".
inline absl::Status annotate(const absl::Status& status, std::string_view context) {
  if (status.ok()) return status;
  return absl::Status(status.code(), fmt::format("{}: {}", context, message_of(status)));
}

}  // namespace brisk

#define BRISK_RETURN_IF_ERROR(expression)                                                     \
  do {                                                                                        \
    if (absl::Status brisk_status_ = (expression); !brisk_status_.ok()) return brisk_status_; \
  } while (false)

#define BRISK_CONCAT_INNER(a, b) a##b
#define BRISK_CONCAT(a, b) BRISK_CONCAT_INNER(a, b)
// BRISK_ASSIGN_OR_RETURN(auto file, open(path)): the value, or return its error from this function.
#define BRISK_ASSIGN_OR_RETURN(target, expression) \
  BRISK_ASSIGN_OR_RETURN_IMPL(BRISK_CONCAT(brisk_status_or_, __LINE__), target, expression)
#define BRISK_ASSIGN_OR_RETURN_IMPL(result, target, expression) \
  auto result = (expression);                                   \
  if (!result.ok()) return std::move(result).status();          \
  target = std::move(result).value()
