// What `brisk load` itself costs at the load it is made for: 1,000 streams of 10 tokens a second
// from a server that costs nothing to the measurement.
//
//   cmake --build --preset release --target load_cost && build/release/tests/load_cost
#include <cstdio>

#include "plan/load/load_run.h"
#include "tests/plan/load/fake_openai.h"

int main() {
  using brisk::test::FakeAnswer;
  using brisk::test::FakeRequest;
  constexpr int kStreams = 1000;
  brisk::test::FakeOpenAi server([](int index, const FakeRequest&) {
    return FakeAnswer{.first_s = 0.1 + 0.0001 * (index % kStreams), .gap_s = 0.1, .tokens = 100};
  });
  brisk::LoadRunOptions options;
  options.target = {.host = "127.0.0.1", .port = server.port(), .prefix = "", .api_key = "key"};
  options.model = "fake";
  options.alphabet = brisk::PromptAlphabet::ids_below(1000);
  options.concurrency_max = kStreams;
  options.timeout_s = 20;
  const brisk::Workload workload = brisk::make_workload(
      {.requests = 3 * kStreams, .prompt = {8, 8}, .output = {4, 4}, .trace = {}});
  const absl::StatusOr<brisk::LoadReport> report = brisk::run_load(options, workload, nullptr);
  if (!report.ok() || report->served != 3 * kStreams) {
    std::fprintf(stderr, "not every request was served: %s\n", report.status().ToString().c_str());
    return 1;
  }
  std::printf("%.0f tokens/s, client CPU %.2f %% of a core, ITL median %.2f ms, P99 %.2f ms\n",
              report->output_tokens_per_s, 100 * report->client_cpu, 1e3 * report->itl.median,
              1e3 * report->itl.p99);
  return 0;
}
