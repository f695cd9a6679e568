#include "model/pack_weights.h"

#include <algorithm>
#include <atomic>

#include "base/status.h"
#include "base/units.h"
#include "compute/quant/pack_panels.h"
#include "compute/sys/thread_team.h"

namespace brisk {
namespace {

// Panels that one thread packs at a time.
constexpr int64_t kPanelsPerTask = 16;

struct Job {
  Tensor* matrix;
  PanelFormat format;
  int64_t panel_bytes;
  int64_t offset;      // of its panels in the new pages
  int64_t first_task;  // of the whole list
  int64_t tasks;
};

void add_job(Linear& linear, int64_t* bytes, int64_t* tasks, std::vector<Job>* jobs) {
  if (linear.weight.panels) return;  // compiled
  const std::optional<PanelFormat> format = panel_format_for(linear.weight);
  if (!format) return;
  const int64_t each = panel_bytes(*format, linear.weight.shape.back());
  jobs->push_back({.matrix = &linear.weight,
                   .format = *format,
                   .panel_bytes = each,
                   .offset = *bytes,
                   .first_task = *tasks,
                   .tasks = ceil_div(panel_count(linear.weight), kPanelsPerTask)});
  *bytes += each * panel_count(linear.weight);
  *tasks += jobs->back().tasks;
}

void pack_task(const Job& job, int64_t task, std::byte* pages) {
  const int64_t begin = (task - job.first_task) * kPanelsPerTask;
  const int64_t end = std::min(begin + kPanelsPerTask, panel_count(*job.matrix));
  pack_panels(*job.matrix, job.format, {begin, end}, pages + job.offset + begin * job.panel_bytes);
}

}  // namespace

absl::Status pack_weights(const PackOptions& options, Weights* weights) {
  std::vector<Job> jobs;
  int64_t bytes = 0, tasks = 0;
  const auto add = [&](Linear& linear) { add_job(linear, &bytes, &tasks, &jobs); };
  const auto add_expert = [&](ExpertWeights& expert) {
    for (Linear* linear : {&expert.gate, &expert.up, &expert.down}) add(*linear);
  };
  for (LayerWeights& layer : weights->layers) {
    for (Linear* linear : {&layer.q, &layer.k, &layer.v, &layer.o, &layer.gate, &layer.up,
                           &layer.down, &layer.router, &layer.shared_expert_gate}) {
      add(*linear);
    }
    for (ExpertWeights& expert : layer.experts) add_expert(expert);
    add_expert(layer.shared_expert);
  }
  add(weights->head);
  if (jobs.empty()) return absl::OkStatus();

  BRISK_ASSIGN_OR_RETURN(weights->packed, Pages::allocate(bytes));
  std::byte* const pages = weights->packed->bytes().data();
  std::atomic<int64_t> next{0};
  std::vector<std::atomic<int64_t>> done(jobs.size());
  ThreadTeam team(options.threads > 0 ? options.threads : usable_threads());
  team.run([&](Worker) {
    size_t job = 0;
    for (int64_t task = next.fetch_add(1); task < tasks; task = next.fetch_add(1)) {
      while (job + 1 < jobs.size() && jobs[job + 1].first_task <= task) ++job;
      pack_task(jobs[job], task, pages);
      // The file's pages go as soon as nobody reads them: the two forms never lie side by side.
      const bool packed = done[job].fetch_add(1) + 1 == jobs[job].tasks;
      if (packed && options.is_file) drop_mapped_pages(jobs[job].matrix->data);
    }
  });
  for (const Job& job : jobs) {
    const auto size = static_cast<size_t>(job.panel_bytes * panel_count(*job.matrix));
    job.matrix->data = {pages + job.offset, size};
    job.matrix->scales = {};
    job.matrix->panels = job.format;
  }
  return absl::OkStatus();
}

}  // namespace brisk
