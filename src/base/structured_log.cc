#include "base/structured_log.h"

#include <fmt/chrono.h>
#include <spdlog/formatter.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <memory>

namespace brisk {
namespace {

bool g_json = false;  // set once, before there are threads

// RFC 3339, in UTC.
std::string time_text(spdlog::log_clock::time_point time) {
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch());
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z",
                     fmt::gmtime(std::chrono::system_clock::to_time_t(time)), ms.count() % 1000);
}

// A payload that begins with this holds fields already: '"message":"...","key":...'.
constexpr char kFieldsMark = '\x1e';

class JsonFormatter final : public spdlog::formatter {
 public:
  void format(const spdlog::details::log_msg& event, spdlog::memory_buf_t& out) override {
    const std::string_view payload(event.payload.data(), event.payload.size());
    const auto level = spdlog::level::to_string_view(event.level);
    fmt::format_to(std::back_inserter(out), R"({{"time":"{}","level":"{}",)", time_text(event.time),
                   std::string_view(level.data(), level.size()));
    if (payload.starts_with(kFieldsMark)) {
      fmt::format_to(std::back_inserter(out), "{}}}\n", payload.substr(1));
    } else {
      fmt::format_to(std::back_inserter(out),
                     R"("message":{}}})"
                     "\n",
                     to_text(std::string(payload)));
    }
  }
  std::unique_ptr<spdlog::formatter> clone() const override {
    return std::make_unique<JsonFormatter>();
  }
};

}  // namespace

void init_json_log(const char* level) {
  auto logger = spdlog::stderr_logger_mt("brisk");
  logger->set_formatter(std::make_unique<JsonFormatter>());
  logger->set_level(spdlog::level::from_str(level));
  spdlog::set_default_logger(std::move(logger));
  g_json = true;
}

void log_event(std::string_view message,
               std::initializer_list<std::pair<std::string_view, Json>> fields) {
  if (!spdlog::should_log(spdlog::level::info)) return;
  std::string line;
  if (g_json) {
    line = fmt::format(R"({}"message":{})", kFieldsMark, to_text(std::string(message)));
    for (const auto& [name, value] : fields)
      line += fmt::format(R"(,"{}":{})", name, to_text(value));
  } else {
    line = std::string(message);
    for (const auto& [name, value] : fields) line += fmt::format(" {}={}", name, to_text(value));
  }
  spdlog::info("{}", line);
}

}  // namespace brisk
