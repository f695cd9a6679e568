#include "model/pack_weights.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <functional>
#include <variant>
#include <vector>

#include "base/status.h"
#include "base/units.h"
#include "compute/quant/pack_panels.h"
#include "compute/quant/pack_sparse.h"
#include "compute/quant/packing.h"
#include "compute/sys/thread_team.h"
#include "model/choose_sparse.h"

namespace brisk {
namespace {

// Panels that one thread packs at a time.
constexpr int64_t kPanelsPerTask = 16;

using PackedFormat = std::variant<Packing, SparseFormat>;

struct Job {
  Tensor* matrix;
  PackedFormat format;
  int64_t panels;
  int64_t panel_bytes;            // sparse: about
  std::vector<uint64_t> offsets;  // sparse, when they are known: see sparse.h
  int64_t bytes;                  // of the whole matrix
  int64_t offset;                 // in the new pages
  int64_t first_task;             // of the whole list
  int64_t tasks;

  const SparseFormat* sparse() const { return std::get_if<SparseFormat>(&format); }
};

// With what kernels may read beyond it, and up to where the next matrix may begin.
int64_t sparse_bytes(int64_t panels, int64_t bytes_of_panels) {
  return round_up<int64_t>(sparse_index_bytes(panels) + bytes_of_panels + kSparseSlack, 64);
}

// All matrices that will be packed, and where.
class Plan {
 public:
  Plan(const KernelTable& kernels, SparseChoice choice) : kernels_(kernels), choice_(choice) {}

  void add(Linear& linear) {
    const Tensor& matrix = linear.weight;
    if (matrix.is_packed()) return;  // compiled
    const int64_t depth = matrix.shape.empty() ? 0 : matrix.shape.back();
    if (const auto sparse = choose_sparse(matrix, kernels_, choice_)) {
      add(linear, sparse->format, panel_count(matrix), sparse->panel_bytes);
    } else if (const auto packing = packing_for(matrix, kernels_)) {
      add(linear, *packing, panel_count(*packing, matrix), panel_bytes(*packing, depth));
    }
  }
  void add(ExpertWeights& expert) {
    for_each_matrix({&expert.gate, &expert.up, &expert.down},
                    [this](Linear& linear) { add(linear); });
  }
  void add(LayerWeights& layer) {
    for_each_matrix({&layer.q, &layer.k, &layer.v, &layer.o, &layer.gate, &layer.up, &layer.down},
                    [this](Linear& linear) { add(linear); });
    for (Linear* linear : {&layer.router, &layer.shared_expert_gate}) {
      if (!is_float(linear->weight.dtype)) add(*linear);
    }
    for (ExpertWeights& expert : layer.experts) add(expert);
    add(layer.shared_expert);
  }

  std::vector<Job>& jobs() { return jobs_; }
  const std::vector<Job>& jobs() const { return jobs_; }
  int64_t bytes() const { return bytes_; }
  int64_t tasks() const { return tasks_; }

  // To be called when sizes have changed.
  void place() {
    bytes_ = 0;
    for (Job& job : jobs_) {
      job.offset = bytes_;
      bytes_ += job.bytes;
    }
  }

 private:
  void add(Linear& linear, PackedFormat format, int64_t panels, int64_t each) {
    jobs_.push_back({.matrix = &linear.weight,
                     .format = format,
                     .panels = panels,
                     .panel_bytes = each,
                     .offsets = {},
                     .bytes = each * panels,
                     .offset = 0,
                     .first_task = tasks_,
                     .tasks = ceil_div(panels, kPanelsPerTask)});
    if (jobs_.back().sparse() != nullptr) {
      jobs_.back().bytes = sparse_bytes(panels, each * panels);
    }
    tasks_ += jobs_.back().tasks;
  }

  const KernelTable& kernels_;
  const SparseChoice choice_;
  std::vector<Job> jobs_;
  int64_t bytes_ = 0, tasks_ = 0;
};

Plan plan_of(const KernelTable& kernels, SparseChoice choice, Weights& weights) {
  Plan plan(kernels, choice);
  for (LayerWeights& layer : weights.layers) plan.add(layer);
  plan.add(weights.head);
  plan.place();
  return plan;
}

Range panels_of_task(const Job& job, int64_t task) {
  const int64_t begin = (task - job.first_task) * kPanelsPerTask;
  return {begin, std::min(begin + kPanelsPerTask, job.panels)};
}

// Leaves in offsets[p + 1] how long panel p is.
void measure_task(Job& job, int64_t task) {
  if (job.sparse() == nullptr) return;
  const Range panels = panels_of_task(job, task);
  for (int64_t p = panels.begin; p < panels.end; ++p) {
    job.offsets[static_cast<size_t>(p + 1)] =
        static_cast<uint64_t>(sparse_panel_bytes(*job.matrix, *job.sparse(), p));
  }
}

void pack_task(Job& job, int64_t task, std::byte* pages) {
  const Range panels = panels_of_task(job, task);
  if (job.sparse() != nullptr) {
    for (int64_t p = panels.begin; p < panels.end; ++p) {
      pack_sparse_panel(*job.matrix, *job.sparse(), p,
                        pages + job.offset + job.offsets[static_cast<size_t>(p)]);
    }
    return;
  }
  std::byte* out = pages + job.offset + panels.begin * job.panel_bytes;
  pack(*job.matrix, std::get<Packing>(job.format), panels, out);
}

// From here on the matrix is what the job has packed.
void point_to_panels(const Job& job, std::byte* pages) {
  Tensor& matrix = *job.matrix;
  matrix.data = {pages + job.offset, static_cast<size_t>(job.bytes)};
  matrix.scales = {};
  if (job.sparse() != nullptr) {
    std::memcpy(pages + job.offset, job.offsets.data(), 8 * job.offsets.size());
    matrix.sparse = *job.sparse();
    return;
  }
  set_packing(matrix, std::get<Packing>(job.format));
  if (matrix.panels.has_value() && matrix.scaled != nullptr) {
    matrix.input_order = matrix.scaled->input_order;
  }
  matrix.scaled = nullptr;
}

// One reading of all matrices by every thread.
class Pass {
 public:
  // After the last pass, and not before, the pages of matrices go as soon as nobody reads them: not
  // all of them lie in files that could be read again (Weights::owned).
  Pass(Plan& plan, const PackOptions& options, bool last)
      : plan_(plan), options_(options), last_(last) {}

  // Calls body(job, task) for every task; progress goes from `begin` to `end`.
  void run(ThreadTeam& team, double begin, double end,
           const std::function<void(Job&, int64_t)>& body) {
    std::vector<Job>& jobs = plan_.jobs();
    std::atomic<int64_t> next{0};
    std::vector<std::atomic<int64_t>> done(jobs.size());
    team.run([&](Worker worker) {
      size_t job = 0;
      for (int64_t task = next.fetch_add(1); task < plan_.tasks(); task = next.fetch_add(1)) {
        while (job + 1 < jobs.size() && jobs[job + 1].first_task <= task) ++job;
        body(jobs[job], task);
        const bool read = done[job].fetch_add(1) + 1 == jobs[job].tasks;
        if (read && last_ && options_.is_file) drop_mapped_pages(jobs[job].matrix->data);
        if (options_.progress != nullptr && worker.index == 0) {
          const double share = static_cast<double>(task + 1) / static_cast<double>(plan_.tasks());
          options_.progress(begin + (end - begin) * share);
        }
      }
    });
  }

 private:
  Plan& plan_;
  const PackOptions& options_;
  const bool last_;
};

// How long every sparse panel is, and so where it begins. True: there are some.
bool measure_sparse(Plan& plan, const PackOptions& options, ThreadTeam& team) {
  bool any = false;
  for (Job& job : plan.jobs()) {
    if (job.sparse() == nullptr) continue;
    any = true;
    job.offsets.resize(static_cast<size_t>(job.panels + 1));
    job.offsets[0] = static_cast<uint64_t>(sparse_index_bytes(job.panels));
  }
  if (!any) return false;
  Pass(plan, options, false).run(team, 0, 0.5, measure_task);
  for (Job& job : plan.jobs()) {
    if (job.sparse() == nullptr) continue;
    for (size_t p = 1; p < job.offsets.size(); ++p) job.offsets[p] += job.offsets[p - 1];
    const auto end = static_cast<int64_t>(job.offsets.back());
    job.bytes = sparse_bytes(job.panels, end - sparse_index_bytes(job.panels));
  }
  plan.place();
  return true;
}

}  // namespace

PackedSize packed_size(const KernelTable& kernels, SparseChoice choice, Weights& weights) {
  const Plan plan = plan_of(kernels, choice, weights);
  PackedSize size = {.bytes = plan.bytes()};
  for (const Job& job : plan.jobs()) size.source_bytes += std::ssize(job.matrix->data);
  return size;
}

absl::Status pack_weights(const KernelTable& kernels, const PackOptions& options,
                          Weights* weights) {
  Plan plan = plan_of(kernels, options.sparse, *weights);
  if (plan.jobs().empty()) return absl::OkStatus();

  ThreadTeam team(options.threads > 0 ? options.threads : usable_threads());
  const bool measured = measure_sparse(plan, options, team);
  BRISK_ASSIGN_OR_RETURN(weights->packed, Pages::allocate(plan.bytes()));
  std::byte* const pages = weights->packed->bytes().data();
  Pass(plan, options, true).run(team, measured ? 0.5 : 0, 1, [&](Job& job, int64_t task) {
    pack_task(job, task, pages);
  });
  for (const Job& job : plan.jobs()) {
    point_to_panels(job, pages);
    weights->reorders |= job.matrix->input_order != nullptr;
  }
  return absl::OkStatus();
}

}  // namespace brisk
