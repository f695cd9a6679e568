#include "plan/bench/profile.h"

#include <algorithm>

#include "base/status.h"
#include "base/units.h"
#include "model/kv_memory.h"
#include "plan/bench/step_driver.h"

namespace brisk {
namespace {

// 64 MiB a member: some minutes of a small model.
constexpr size_t kSpansMax = (size_t{64} << 20) / sizeof(OpSpan);

std::vector<ProfileRow> summarise(const OpTrace& trace, const WorkByOp& work,
                                  const MachineLimits& limits, double seconds) {
  std::vector<ProfileRow> rows(kOpKindCount);
  for (int member = 0; member < trace.members(); ++member) {
    for (const OpSpan& span : trace.spans(member)) {
      ProfileRow& row = rows[static_cast<size_t>(span.kind)];
      row.calls += member == 0 ? 1 : 0;
      row.seconds += seconds_between(span.begin, span.end) / trace.members();
    }
  }
  for (size_t i = 0; i < rows.size(); ++i) {
    ProfileRow& row = rows[i];
    row.kind = static_cast<OpKind>(i);
    row.share = row.seconds / seconds;
    row.work = work[i];
    if (row.seconds > 0) row.fraction_of_limit = row.work.seconds(limits) / row.seconds;
  }
  std::erase_if(rows, [](const ProfileRow& row) { return row.calls == 0; });
  std::sort(rows.begin(), rows.end(),
            [](const ProfileRow& a, const ProfileRow& b) { return a.seconds > b.seconds; });
  return rows;
}

}  // namespace

absl::StatusOr<ProfileReport> profile_model(
    const Model& model, const BenchTest& test, const BenchOptions& options,
    const std::function<void(const std::string&)>& progress) {
  BRISK_RETURN_IF_ERROR(check_bench_test(test, model));
  ThreadTeam team(options.threads > 0 ? options.threads : usable_threads());
  ProfileReport report;
  report.test = name_of(test);
  report.batch = test.batch;
  report.threads = team.size();
  report.isa = model.kernels->name;
  BRISK_ASSIGN_OR_RETURN(LimitsMeter meter, LimitsMeter::create(*model.kernels, team));
  const KvElement element = kv_element_for(model, options.kv_dtype);
  const int64_t blocks = test.batch * ceil_div<int64_t>(test.context + test.tokens, kKvBlockTokens);
  BRISK_ASSIGN_OR_RETURN(
      const std::unique_ptr<StepDriver> driver,
      StepDriver::create(model, team,
                         {.rows_max = std::max(options.tokens_per_step, test.batch),
                          .batch_max = test.batch,
                          .element = element,
                          .blocks = blocks}));
  progress(report.test);
  driver->prepare(test);
  driver->run(test);
  report.trace = std::make_unique<OpTrace>(team.size(), kSpansMax);
  driver->decoder().set_trace(report.trace.get());
  std::vector<MachineLimits> limits = {meter.measure()};
  report.seconds = driver->run(test);
  limits.push_back(meter.measure());
  report.limits = median_of(limits);
  if (report.trace->lost() > 0) {
    return invalid_input("{}: too long a test to keep every span of; take a shorter one",
                         report.test);
  }
  report.rows = summarise(*report.trace, work_of(model, test, options, element), report.limits,
                          report.seconds);
  return report;
}

std::string to_chrome_trace(const OpTrace& trace) {
  std::string text = "[";
  for (int member = 0; member < trace.members(); ++member) {
    const auto spans = trace.spans(member);
    const Instant origin = spans.empty() ? Instant{} : trace.spans(0).front().begin;
    for (const OpSpan& span : spans) {
      fmt::format_to(std::back_inserter(text),
                     "{}\n{{\"name\":\"{}\",\"ph\":\"X\",\"pid\":1,\"tid\":{},\"ts\":{:.3f},"
                     "\"dur\":{:.3f},\"args\":{{\"layer\":{}}}}}",
                     text.size() > 1 ? "," : "", name_of(span.kind), member,
                     1e6 * seconds_between(origin, span.begin),
                     1e6 * seconds_between(span.begin, span.end), span.layer);
    }
  }
  return text + "\n]\n";
}

}  // namespace brisk
