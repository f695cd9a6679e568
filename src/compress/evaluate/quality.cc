#include "compress/evaluate/quality.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>
#include <utility>

#include "base/clock.h"
#include "base/percentile.h"
#include "base/status.h"
#include "compress/evaluate/token_scores.h"
#include "compress/evaluate/window_runner.h"
#include "compress/evaluate/windows.h"

namespace brisk {
namespace {

// What is summed over a text: one entry a window, the unit of the confidence intervals.
struct Sums {
  std::vector<double> tokens;
  std::vector<double> nats;
  std::vector<double> reference_nats;
  std::vector<double> kl;
  std::vector<double> flips;
  std::vector<double> token_kl;  // one entry a token

  void begin_window() {
    for (std::vector<double>* sum : {&tokens, &nats, &reference_nats, &kl, &flips}) {
      sum->push_back(0);
    }
  }

  void add(const TokenScore& score, bool compared) {
    tokens.back() += 1;
    nats.back() += score.nats;
    if (!compared) return;
    reference_nats.back() += score.reference_nats;
    kl.back() += score.kl;
    flips.back() += score.flipped ? 1 : 0;
    token_kl.push_back(score.kl);
  }
};

double total(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0);
}

// exp() of a figure.
Estimate raised(const Estimate& estimate) {
  Estimate result = {.value = std::exp(estimate.value), .interval = estimate.interval};
  if (result.interval)
    result.interval = {std::exp(result.interval->low), std::exp(result.interval->high)};
  return result;
}

Divergence divergence_of(Sums& sums, const std::string& reference, uint64_t seed) {
  std::vector<double> lost = sums.nats;
  for (size_t i = 0; i < lost.size(); ++i) lost[i] -= sums.reference_nats[i];
  std::sort(sums.token_kl.begin(), sums.token_kl.end());
  return {.reference = reference,
          .reference_nats = total(sums.reference_nats),
          .kl = bootstrap_ratio(sums.kl, sums.tokens, seed),
          .kl_median = percentile(sums.token_kl, 0.5),
          .kl_p99 = percentile(sums.token_kl, 0.99),
          .kl_max = sums.token_kl.back(),
          .flips = bootstrap_ratio(sums.flips, sums.tokens, seed),
          .perplexity_ratio = raised(bootstrap_ratio(lost, sums.tokens, seed))};
}

// The model, and the reference where there is one, over one window after the other.
class Meter {
 public:
  static absl::StatusOr<std::unique_ptr<Meter>> create(const Model& model, const Model* reference,
                                                       const QualityOptions& options,
                                                       int64_t context) {
    const int threads = options.threads > 0 ? options.threads : usable_threads();
    std::unique_ptr<Meter> meter(new Meter(threads));
    BRISK_ASSIGN_OR_RETURN(meter->model_, WindowRunner::create(model, meter->team_,
                                                               {.context = context,
                                                                .kv_dtype = options.kv_dtype,
                                                                .adapter = options.adapter.get()}));
    if (reference == nullptr) return meter;
    BRISK_ASSIGN_OR_RETURN(meter->reference_,
                           WindowRunner::create(*reference, meter->team_, {.context = context}));
    return meter;
  }

  void measure(const Window& window) {
    sums_.begin_window();
    model_->begin(window.tokens, window.first);
    if (reference_) reference_->begin(window.tokens, window.first);
    WindowStep step, truth;
    while (next(&step)) {
      if (reference_) reference_->next(&truth);
      scores_.resize(static_cast<size_t>(step.logits.rows));
      const auto* targets = window.tokens.data() + step.first_target;
      team_.run([&](Worker worker) {
        const Range mine = worker.share(step.logits.rows);
        for (int64_t r = mine.begin; r < mine.end; ++r) {
          scores_[static_cast<size_t>(r)] =
              reference_ ? score_token(row_of(step, r), row_of(truth, r), targets[r])
                         : score_token(row_of(step, r), targets[r]);
        }
      });
      for (const TokenScore& score : scores_) sums_.add(score, reference_ != nullptr);
    }
  }

  Sums& sums() { return sums_; }
  double seconds() const { return seconds_; }
  int64_t tokens_run() const { return model_->tokens_run(); }

 private:
  explicit Meter(int threads) : team_(threads) {}

  // The model's next step, timed.
  bool next(WindowStep* step) {
    const Instant start = clock_.now();
    const bool more = model_->next(step);
    seconds_ += seconds_between(start, clock_.now());
    return more;
  }

  static std::span<const float> row_of(const WindowStep& step, int64_t row) {
    return {step.logits.row(row), static_cast<size_t>(step.logits.cols)};
  }

  const SteadyClock clock_;
  ThreadTeam team_;
  std::unique_ptr<WindowRunner> model_;
  std::unique_ptr<WindowRunner> reference_;  // or null
  std::vector<TokenScore> scores_;           // of a step
  Sums sums_;
  double seconds_ = 0;
};

// Errors: InvalidArgument unless both models mean the same by every token.
absl::Status check_same_vocabulary(const Model& model, const Model& reference) {
  if (model.spec.vocab_size != reference.spec.vocab_size) {
    return invalid_input(
        "{} has {} tokens and the reference {} has {}: only models of one vocabulary can be "
        "compared token by token; without --reference their nats per byte can be compared",
        model.name, model.spec.vocab_size, reference.name, reference.spec.vocab_size);
  }
  if (reference.tokenizer == nullptr) return absl::OkStatus();
  for (int32_t token = 0; token < model.spec.vocab_size; ++token) {
    const std::string mine = model.tokenizer->decode_token(token, true);
    const std::string other = reference.tokenizer->decode_token(token, true);
    if (mine != other) {
      return invalid_input(
          "token {} is \"{}\" for {} and \"{}\" for the reference {}: only models of one "
          "vocabulary can be compared token by token",
          token, mine, model.name, other, reference.name);
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<WindowSizes> window_sizes(const Model& model, const Model* reference,
                                         const QualityOptions& options) {
  WindowSizes sizes;
  sizes.context =
      std::min<int64_t>(options.context > 0 ? options.context : 2048, model.spec.context_length);
  if (reference != nullptr) {
    sizes.context = std::min<int64_t>(sizes.context, reference->spec.context_length);
  }
  if (sizes.context < 2)
    return invalid_input("a window of {} tokens predicts nothing", sizes.context);
  sizes.stride = options.stride;
  sizes.bos = model.tokenizer->rules().bos;
  return sizes;
}

uint64_t bytes_of_files(const Model& model) {
  uint64_t bytes = 0;
  for (const MappedFile& file : model.checkpoint->files) bytes += file.bytes().size();
  return bytes;
}

// Bytes of text that the predicted tokens of a window spell; see Tokenizer::drop_leading_spaces.
int64_t bytes_spelled(const Tokenizer& tokenizer, const Window& window, size_t* spaces) {
  int64_t bytes = 0;
  for (const int32_t token : std::span(window.tokens).subspan(static_cast<size_t>(window.first))) {
    std::string text = tokenizer.decode_token(token, true);
    tokenizer.drop_leading_spaces(token, spaces, &text);
    bytes += static_cast<int64_t>(text.size());
  }
  return bytes;
}

absl::Status check_finite(const Sums& sums, const std::string& model) {
  const double figure = total(sums.nats) + total(sums.reference_nats) + total(sums.kl);
  if (std::isfinite(figure)) return absl::OkStatus();
  return absl::InternalError(fmt::format(
      "{}: logits are not finite, its own or the reference's: the weights or the arithmetic are "
      "wrong",
      model));
}

}  // namespace

absl::StatusOr<QualityReport> measure_quality(const Model& model, const Model* reference,
                                              const std::vector<Document>& documents,
                                              const QualityOptions& options) {
  QualityReport report = {.model = model.name, .bytes = bytes_of_files(model)};
  if (documents.empty()) return report;
  BRISK_ASSIGN_OR_RETURN(const DocumentEncoder encoder, DocumentEncoder::create(model, documents));
  if (reference != nullptr) BRISK_RETURN_IF_ERROR(check_same_vocabulary(model, *reference));
  BRISK_ASSIGN_OR_RETURN(const WindowSizes sizes, window_sizes(model, reference, options));
  BRISK_ASSIGN_OR_RETURN(const std::unique_ptr<Meter> meter,
                         Meter::create(model, reference, options, sizes.context));
  uint64_t bytes = 0, bytes_total = 0;
  for (const Document& document : documents) bytes_total += document.text.size();
  TextQuality text;
  Window window;
  for (const Document& document : documents) {
    BRISK_ASSIGN_OR_RETURN(const std::vector<int32_t> tokens,
                           encoder.encode(document, document.text.size()));
    BRISK_RETURN_IF_ERROR(check_tokens(tokens, model));
    WindowCutter cutter(tokens, sizes);
    const int64_t bytes_before = text.bytes;
    size_t spaces = model.tokenizer->leading_spaces_dropped();
    while (cutter.next(&window)) {
      meter->measure(window);
      text.bytes += bytes_spelled(*model.tokenizer, window, &spaces);
      ++text.windows;
      if (options.on_progress) {
        const auto done = static_cast<uint64_t>(text.bytes - bytes_before);
        options.on_progress(bytes + std::min<uint64_t>(done, document.text.size()), bytes_total);
      }
    }
    bytes += document.text.size();
    ++text.documents;
  }
  if (text.windows == 0) return invalid_input("the text has no token to predict");
  Sums& sums = meter->sums();
  BRISK_RETURN_IF_ERROR(check_finite(sums, model.name));
  text.tokens = static_cast<int64_t>(total(sums.tokens));
  text.nats = total(sums.nats);
  text.perplexity = raised(bootstrap_ratio(sums.nats, sums.tokens, options.seed));
  text.seconds = meter->seconds();
  text.tokens_per_s = static_cast<double>(meter->tokens_run()) / std::max(text.seconds, 1e-9);
  if (reference != nullptr) text.divergence = divergence_of(sums, reference->name, options.seed);
  report.text = std::move(text);
  return report;
}

}  // namespace brisk
