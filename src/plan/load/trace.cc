#include "plan/load/trace.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <optional>

#include "base/json.h"
#include "base/status.h"

namespace brisk {
namespace {

constexpr size_t kLineBytesMax = 1 << 20;
constexpr size_t kColumnsMax = 32;

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r\n";
  const size_t first = text.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

// Takes the next line off `text`.
std::string_view take_line(std::string_view& text) {
  const size_t end = text.find('\n');
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return trimmed(line);
}

// All of `text` as a whole number.
std::optional<int64_t> to_int(std::string_view text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::vector<std::string_view> split_columns(std::string_view line) {
  std::vector<std::string_view> columns;
  while (columns.size() < kColumnsMax) {
    const size_t comma = line.find(',');
    columns.push_back(trimmed(line.substr(0, comma)));
    if (comma == std::string_view::npos) break;
    line.remove_prefix(comma + 1);
  }
  return columns;
}

// Takes `digits` digits and then, unless it is '\0', `separator` off `text`.
std::optional<int> take_number(std::string_view& text, size_t digits, char separator) {
  const size_t size = digits + (separator == '\0' ? 0 : 1);
  if (text.size() < size) return std::nullopt;
  int value = 0;
  for (const char c : text.substr(0, digits)) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + (c - '0');
  }
  if (separator != '\0' && text[digits] != separator) return std::nullopt;
  text.remove_prefix(size);
  return value;
}

// ".9799600" or nothing, as nanoseconds; the digits are taken off `text`.
std::optional<int64_t> take_fraction_ns(std::string_view& text) {
  if (!text.starts_with('.')) return 0;
  text.remove_prefix(1);
  int64_t ns = 0;
  int64_t unit_ns = 100'000'000;
  size_t digits = 0;
  while (digits < text.size() && text[digits] >= '0' && text[digits] <= '9') {
    ns += (text[digits] - '0') * unit_ns;
    unit_ns /= 10;
    ++digits;
  }
  if (digits == 0) return std::nullopt;
  text.remove_prefix(digits);
  return ns;
}

// "2023-11-16 18:17:03.9799600", perhaps with "+00:00" or "Z", as nanoseconds since 1970.
std::optional<int64_t> to_unix_ns(std::string_view text) {
  const auto year = take_number(text, 4, '-');
  const auto month = year ? take_number(text, 2, '-') : std::nullopt;
  const auto day = month ? take_number(text, 2, '\0') : std::nullopt;
  if (!day || text.empty() || (text[0] != ' ' && text[0] != 'T')) return std::nullopt;
  text.remove_prefix(1);
  const auto hour = take_number(text, 2, ':');
  const auto minute = hour ? take_number(text, 2, ':') : std::nullopt;
  const auto second = minute ? take_number(text, 2, '\0') : std::nullopt;
  if (!second || *hour > 23 || *minute > 59 || *second > 60) return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year(*year),
                                         std::chrono::month(static_cast<unsigned>(*month)),
                                         std::chrono::day(static_cast<unsigned>(*day))};
  // Of the years that nanoseconds in 64 bits can tell.
  if (!date.ok() || *year < 1970 || *year > 2200) return std::nullopt;
  const auto fraction_ns = take_fraction_ns(text);
  // One trace has one zone, and only differences of times are used.
  const bool zone = text.empty() || text == "Z" || text[0] == '+' || text[0] == '-';
  if (!fraction_ns || !zone) return std::nullopt;
  const int64_t days = std::chrono::sys_days(date).time_since_epoch().count();
  const int64_t seconds = ((days * 24 + *hour) * 60 + *minute) * 60 + *second;
  return seconds * 1'000'000'000 + *fraction_ns;
}

bool plausible_tokens(int64_t tokens) { return tokens >= 0 && tokens <= kTraceTokensMax; }

// Where the three columns are in a row of an Azure trace.
struct AzureColumns {
  size_t timestamp = 0;
  size_t context = 0;
  size_t generated = 0;
};

absl::StatusOr<AzureColumns> find_columns(std::string_view heading) {
  const std::vector<std::string_view> names = split_columns(heading);
  const auto index_of = [&](std::string_view name) {
    return static_cast<size_t>(std::find(names.begin(), names.end(), name) - names.begin());
  };
  const AzureColumns columns = {.timestamp = index_of("TIMESTAMP"),
                                .context = index_of("ContextTokens"),
                                .generated = index_of("GeneratedTokens")};
  if (std::max({columns.timestamp, columns.context, columns.generated}) >= names.size()) {
    return invalid_input(
        "line 1: not a trace that brisk reads; a csv begins with the columns "
        "TIMESTAMP,ContextTokens,GeneratedTokens, a Mooncake trace has a JSON object on each line");
  }
  return columns;
}

absl::StatusOr<TraceRow> read_azure_row(std::string_view line, const AzureColumns& columns,
                                        std::optional<int64_t>& first_ns) {
  const std::vector<std::string_view> cells = split_columns(line);
  if (std::max({columns.timestamp, columns.context, columns.generated}) >= cells.size()) {
    return invalid_input("has {} columns, fewer than the first line names", cells.size());
  }
  const auto at_ns = to_unix_ns(cells[columns.timestamp]);
  if (!at_ns) return invalid_input("its time is not like 2023-11-16 18:17:03.97");
  const int64_t prompt = to_int(cells[columns.context]).value_or(-1);
  const int64_t output = to_int(cells[columns.generated]).value_or(-1);
  if (!plausible_tokens(prompt) || !plausible_tokens(output)) {
    return invalid_input("its token counts must be whole numbers from 0 to {}", kTraceTokensMax);
  }
  if (!first_ns) first_ns = at_ns;
  return TraceRow{.at_s = static_cast<double>(*at_ns - *first_ns) * 1e-9,
                  .prompt_tokens = prompt,
                  .output_tokens = output,
                  .blocks = {}};
}

// A whole number at `key` that lies in [0, end).
std::optional<uint64_t> field(const Json& object, const char* key, uint64_t end) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number_unsigned()) return std::nullopt;
  const uint64_t value = found->get<uint64_t>();
  if (value >= end) return std::nullopt;
  return value;
}

absl::StatusOr<TraceRow> read_mooncake_row(std::string_view line) {
  BRISK_ASSIGN_OR_RETURN(const Json object,
                         parse_json(line, {.depth_max = 4, .bytes_max = kLineBytesMax}));
  if (!object.is_object()) return invalid_input("is not a JSON object");
  constexpr uint64_t kYearMs = uint64_t{366} * 24 * 3600 * 1000;
  const auto at_ms = field(object, "timestamp", 100 * kYearMs);
  const auto prompt = field(object, "input_length", kTraceTokensMax + 1);
  const auto output = field(object, "output_length", kTraceTokensMax + 1);
  if (!at_ms || !prompt || !output) {
    return invalid_input(
        "timestamp, input_length and output_length must be whole numbers, lengths at most {}",
        kTraceTokensMax);
  }
  TraceRow row = {.at_s = static_cast<double>(*at_ms) * 1e-3,
                  .prompt_tokens = static_cast<int64_t>(*prompt),
                  .output_tokens = static_cast<int64_t>(*output),
                  .blocks = {}};
  const auto ids = object.find("hash_ids");
  if (ids == object.end()) return row;
  if (!ids->is_array()) return invalid_input("hash_ids must be a list of whole numbers");
  for (const Json& id : *ids) {
    if (!id.is_number_unsigned() || id.get<uint64_t>() >= kTraceBlockIdEnd) {
      return invalid_input("hash_ids must be a list of whole numbers below 2^62");
    }
    row.blocks.push_back(id.get<uint64_t>());
  }
  return row;
}

// Calls `read_row` for the lines of `text`, the first of which has the number `line_number`.
template <class ReadRow>
absl::StatusOr<std::vector<TraceRow>> read_rows(std::string_view text, int64_t line_number,
                                                int64_t rows_max, const ReadRow& read_row) {
  std::vector<TraceRow> rows;
  for (; !text.empty() && static_cast<int64_t>(rows.size()) < rows_max; ++line_number) {
    const std::string_view line = take_line(text);
    if (line.empty()) continue;
    if (line.size() > kLineBytesMax) {
      return invalid_input("line {}: longer than {} bytes", line_number, kLineBytesMax);
    }
    absl::StatusOr<TraceRow> row = read_row(line);
    if (!row.ok()) return annotate(row.status(), fmt::format("line {}", line_number));
    rows.push_back(*std::move(row));
  }
  return rows;
}

}  // namespace

absl::StatusOr<std::vector<TraceRow>> read_trace(std::string_view text, int64_t rows_max) {
  rows_max = std::clamp<int64_t>(rows_max, 0, kTraceRowsMax);
  const bool is_json = trimmed(text.substr(0, kLineBytesMax)).starts_with('{');
  absl::StatusOr<std::vector<TraceRow>> rows;
  if (is_json) {
    rows = read_rows(text, 1, rows_max, read_mooncake_row);
  } else {
    BRISK_ASSIGN_OR_RETURN(const AzureColumns columns, find_columns(take_line(text)));
    std::optional<int64_t> first_ns;
    rows = read_rows(text, 2, rows_max, [&](std::string_view line) {
      return read_azure_row(line, columns, first_ns);
    });
  }
  if (!rows.ok()) return rows.status();
  if (rows->empty()) return invalid_input("the trace has no requests");
  std::stable_sort(rows->begin(), rows->end(),
                   [](const TraceRow& a, const TraceRow& b) { return a.at_s < b.at_s; });
  const double start_s = rows->front().at_s;
  for (TraceRow& row : *rows) row.at_s -= start_s;
  return rows;
}

}  // namespace brisk
