#include "model/pack_weights.h"

#include <algorithm>
#include <atomic>
#include <variant>
#include <vector>

#include "base/status.h"
#include "base/units.h"
#include "compute/quant/pack_panels.h"
#include "compute/quant/pack_tiles.h"
#include "compute/sys/thread_team.h"

namespace brisk {
namespace {

// Panels that one thread packs at a time.
constexpr int64_t kPanelsPerTask = 16;

using PackedFormat = std::variant<PanelFormat, TileFormat>;

struct Job {
  Tensor* matrix;
  PackedFormat format;
  int64_t panels;
  int64_t panel_bytes;
  int64_t offset;      // of its panels in the new pages
  int64_t first_task;  // of the whole list
  int64_t tasks;
};

bool is_float(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16;
}

// All matrices that will be packed, and where.
class Plan {
 public:
  explicit Plan(const KernelTable& kernels) : tiles_(kernels.tiles != nullptr) {}

  void add(Linear& linear) {
    const Tensor& matrix = linear.weight;
    if (matrix.is_packed()) return;  // compiled
    const int64_t depth = matrix.shape.empty() ? 0 : matrix.shape.back();
    if (tiles_) {
      if (const auto format = tile_format_for(matrix)) {
        add(linear, *format, tile_panel_count(matrix), tile_panel_bytes(*format, depth));
      }
    } else if (const auto format = panel_format_for(matrix)) {
      add(linear, *format, panel_count(matrix), panel_bytes(*format, depth));
    }
  }
  void add(ExpertWeights& expert) {
    for (Linear* linear : {&expert.gate, &expert.up, &expert.down}) add(*linear);
  }
  void add(LayerWeights& layer) {
    for (Linear* linear :
         {&layer.q, &layer.k, &layer.v, &layer.o, &layer.gate, &layer.up, &layer.down}) {
      add(*linear);
    }
    for (Linear* linear : {&layer.router, &layer.shared_expert_gate}) {
      if (!is_float(linear->weight.dtype)) add(*linear);
    }
    for (ExpertWeights& expert : layer.experts) add(expert);
    add(layer.shared_expert);
  }

  const std::vector<Job>& jobs() const { return jobs_; }
  int64_t bytes() const { return bytes_; }
  int64_t tasks() const { return tasks_; }

 private:
  void add(Linear& linear, PackedFormat format, int64_t panels, int64_t each) {
    jobs_.push_back({.matrix = &linear.weight,
                     .format = format,
                     .panels = panels,
                     .panel_bytes = each,
                     .offset = bytes_,
                     .first_task = tasks_,
                     .tasks = ceil_div(panels, kPanelsPerTask)});
    bytes_ += each * panels;
    tasks_ += jobs_.back().tasks;
  }

  const bool tiles_;
  std::vector<Job> jobs_;
  int64_t bytes_ = 0, tasks_ = 0;
};

Plan plan_of(const KernelTable& kernels, Weights& weights) {
  Plan plan(kernels);
  for (LayerWeights& layer : weights.layers) plan.add(layer);
  plan.add(weights.head);
  return plan;
}

void pack_task(const Job& job, int64_t task, std::byte* pages) {
  const int64_t begin = (task - job.first_task) * kPanelsPerTask;
  const Range panels = {begin, std::min(begin + kPanelsPerTask, job.panels)};
  std::byte* out = pages + job.offset + begin * job.panel_bytes;
  if (const auto* format = std::get_if<TileFormat>(&job.format)) {
    pack_tiles(*job.matrix, *format, panels, out);
  } else {
    pack_panels(*job.matrix, std::get<PanelFormat>(job.format), panels, out);
  }
}

// From here on the matrix is what the job has packed.
void point_to_panels(const Job& job, std::byte* pages) {
  Tensor& matrix = *job.matrix;
  matrix.data = {pages + job.offset, static_cast<size_t>(job.panel_bytes * job.panels)};
  matrix.scales = {};
  if (const auto* format = std::get_if<TileFormat>(&job.format)) {
    matrix.tiles = *format;
  } else {
    matrix.panels = std::get<PanelFormat>(job.format);
    if (matrix.scaled != nullptr) matrix.input_order = matrix.scaled->input_order;
  }
  matrix.scaled = nullptr;
}

}  // namespace

PackedSize packed_size(const KernelTable& kernels, Weights& weights) {
  const Plan plan = plan_of(kernels, weights);
  PackedSize size = {.bytes = plan.bytes()};
  for (const Job& job : plan.jobs()) size.source_bytes += std::ssize(job.matrix->data);
  return size;
}

absl::Status pack_weights(const KernelTable& kernels, const PackOptions& options,
                          Weights* weights) {
  const Plan plan = plan_of(kernels, *weights);
  const std::vector<Job>& jobs = plan.jobs();
  if (jobs.empty()) return absl::OkStatus();

  BRISK_ASSIGN_OR_RETURN(weights->packed, Pages::allocate(plan.bytes()));
  std::byte* const pages = weights->packed->bytes().data();
  std::atomic<int64_t> next{0};
  std::vector<std::atomic<int64_t>> done(jobs.size());
  ThreadTeam team(options.threads > 0 ? options.threads : usable_threads());
  team.run([&](Worker worker) {
    size_t job = 0;
    for (int64_t task = next.fetch_add(1); task < plan.tasks(); task = next.fetch_add(1)) {
      while (job + 1 < jobs.size() && jobs[job + 1].first_task <= task) ++job;
      pack_task(jobs[job], task, pages);
      // The file's pages go as soon as nobody reads them: the two forms never lie side by side.
      const bool packed = done[job].fetch_add(1) + 1 == jobs[job].tasks;
      if (packed && options.is_file) drop_mapped_pages(jobs[job].matrix->data);
      if (options.progress != nullptr && worker.index == 0) {
        options.progress(static_cast<double>(task + 1) / static_cast<double>(plan.tasks()));
      }
    }
  });
  for (const Job& job : jobs) {
    point_to_panels(job, pages);
    weights->reorders |= job.matrix->input_order != nullptr;
  }
  return absl::OkStatus();
}

}  // namespace brisk
