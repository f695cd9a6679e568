// Reads the fields of a JSON object that a client sent: each is asked for by name and type, the
// first fault is remembered, and at the end nothing may be left that nobody asked for.
#pragma once

#include <absl/container/flat_hash_set.h>
#include <absl/status/status.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace brisk::api {

struct NumberRange {
  double min = 0;
  double max = 0;
};

struct IntegerRange {
  int64_t min = 0;
  int64_t max = 0;
};

// A field that is null counts as absent: the fallback is returned, as after any fault.
class Fields {
 public:
  // `object` must be a JSON object and outlive this. `prefix` goes before names in errors:
  // "stream_options.".
  explicit Fields(const Json& object, std::string prefix = "");

  const Json* find(const char* name);  // null when absent
  bool boolean(const char* name, bool fallback);
  double number(const char* name, double fallback, NumberRange range);
  int64_t integer(const char* name, int64_t fallback, IntegerRange range);
  std::string string(const char* name, std::string fallback);
  // One string or an array of them.
  std::vector<std::string> strings(const char* name);
  std::vector<int64_t> integers(const char* name, IntegerRange range);

  // Known and of no effect here, whatever its value.
  void ignore(const char* name);
  // Known to the API, but not done by this server: refused unless absent, null, false, empty, or
  // `harmless`.
  void refuse(const char* name, std::string_view why, const Json& harmless = nullptr);

  // Remembers a fault of a field; the first one counts.
  void fail(std::string_view name, std::string_view what);
  void take(const absl::Status& status);

  // The first fault; or that a field is unknown.
  absl::Status finish();

 private:
  const Json& object_;
  const std::string prefix_;
  absl::flat_hash_set<std::string> known_;
  absl::Status status_;
};

// An integer, also when written as 3.0. False: it is none, or does not fit.
bool read_integer(const Json& json, int64_t& value);

}  // namespace brisk::api
