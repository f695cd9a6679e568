#include "compress/evaluate/perplexity.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <span>

#include "base/clock.h"
#include "base/json.h"
#include "base/status.h"
#include "base/units.h"
#include "model/decoder.h"
#include "model/kv_memory.h"

namespace brisk {
namespace {

constexpr int64_t kRowsPerStep = 128;  // their logits are all kept: 128 x 128k x 4 B = 64 MiB
constexpr DecoderOptions kDecoderOptions = {.rows_max = kRowsPerStep,
                                            .logits_rows_max = kRowsPerStep};
constexpr size_t kFileBytesMax = size_t{4} << 30;

// -ln softmax(logits)[token], in f64.
double surprise(std::span<const float> logits, int32_t token) {
  const double top = *std::max_element(logits.begin(), logits.end());
  double total = 0;
  for (const float logit : logits) total += std::exp(static_cast<double>(logit) - top);
  return std::log(total) + top - static_cast<double>(logits[static_cast<size_t>(token)]);
}

// Feeds one window at a time through its own decoder.
class Scorer {
 public:
  static absl::StatusOr<std::unique_ptr<Scorer>> create(const Model& model,
                                                        const PerplexityOptions& options,
                                                        int64_t window) {
    const int threads = options.threads > 0 ? options.threads : usable_threads();
    BRISK_RETURN_IF_ERROR(check_step_memory(model.spec, kDecoderOptions, threads));
    BRISK_ASSIGN_OR_RETURN(std::unique_ptr<KvMemory> kv,
                           KvMemory::create(model.spec, kv_element_for(model, options.kv_dtype),
                                            ceil_div<int64_t>(window, kKvBlockTokens)));
    return std::unique_ptr<Scorer>(
        new Scorer(model, threads, std::move(kv), options.adapter.get()));
  }

  // Nats of tokens 1, 2, ... of the window, each given those before.
  double score(std::span<const int32_t> window) {
    double nats = 0;
    const auto total = static_cast<int64_t>(window.size());
    for (int64_t first = 0; first + 1 < total; first += kRowsPerStep) {
      const int64_t rows = std::min(kRowsPerStep, total - 1 - first);
      const SliceView slice = {
          .row_begin = 0, .row_end = rows, .first_position = first, .blocks = blocks_};
      const MatView logits = decoder_.forward(
          {.tokens = window.subspan(static_cast<size_t>(first), static_cast<size_t>(rows)),
           .slices = {&slice, 1},
           .logits_rows = std::span<const int32_t>(rows_).first(static_cast<size_t>(rows)),
           .adapters = {&adapter_, 1}});
      nats += sum_of_rows(logits, window.subspan(static_cast<size_t>(first) + 1));
    }
    return nats;
  }

 private:
  Scorer(const Model& model, int threads, std::unique_ptr<KvMemory> kv, const LoraAdapter* adapter)
      : team_(threads),
        kv_(std::move(kv)),
        decoder_(model, *model.kernels, team_, *kv_, kDecoderOptions),
        adapter_(adapter),
        blocks_(static_cast<size_t>(kv_->blocks())),
        rows_(kRowsPerStep),
        row_nats_(kRowsPerStep) {
    std::iota(blocks_.begin(), blocks_.end(), 0);
    std::iota(rows_.begin(), rows_.end(), 0);
  }

  double sum_of_rows(const MatView& logits, std::span<const int32_t> targets) {
    team_.run([&](Worker worker) {
      const Range mine = worker.share(logits.rows);
      for (int64_t r = mine.begin; r < mine.end; ++r) {
        row_nats_[static_cast<size_t>(r)] = surprise(
            {logits.row(r), static_cast<size_t>(logits.cols)}, targets[static_cast<size_t>(r)]);
      }
    });
    return std::accumulate(row_nats_.begin(), row_nats_.begin() + logits.rows, 0.0);
  }

  ThreadTeam team_;
  const std::unique_ptr<KvMemory> kv_;
  Decoder decoder_;
  const LoraAdapter* const adapter_;  // or null
  std::vector<int32_t> blocks_;
  std::vector<int32_t> rows_;
  std::vector<double> row_nats_;
};

// A tokenizer may know more tokens than the model has embeddings.
absl::Status check_tokens(std::span<const int32_t> tokens, int vocab_size) {
  for (const int32_t token : tokens) {
    if (token >= vocab_size) {
      return invalid_input(
          "the tokenizer gives token {}, but the model has {} of them: it belongs to another model",
          token, vocab_size);
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> document_of_line(std::string_view line) {
  BRISK_ASSIGN_OR_RETURN(const Json json, parse_json(line));
  for (const char* key : {"text", "story", "content"}) {
    if (json.is_object() && json.contains(key) && json[key].is_string()) {
      return json[key].get<std::string>();
    }
  }
  return invalid_input("expected an object with a string \"text\", \"story\" or \"content\"");
}

}  // namespace

double PerplexityReport::perplexity() const { return std::exp(nats_per_token()); }

absl::StatusOr<std::vector<std::string>> read_documents(const std::string& path) {
  BRISK_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::open(path));
  std::string_view text = file.text();
  if (text.size() > kFileBytesMax) return exhausted("{}: larger than 4 GiB", path);
  if (!path.ends_with(".jsonl")) return std::vector<std::string>{std::string(text)};
  std::vector<std::string> documents;
  for (int64_t number = 1; !text.empty(); ++number) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.find_first_not_of(" \r\t") == std::string_view::npos) continue;
    auto document = document_of_line(line);
    if (!document.ok()) {
      return annotate(document.status(), fmt::format("{}, line {}", path, number));
    }
    documents.push_back(*std::move(document));
  }
  return documents;
}

absl::StatusOr<PerplexityReport> measure_perplexity(const Model& model,
                                                    const std::vector<std::string>& documents,
                                                    const PerplexityOptions& options,
                                                    const std::function<void(int64_t)>& progress) {
  if (model.tokenizer == nullptr) {
    return invalid_input("the model has no tokenizer; give one with --tokenizer");
  }
  const Tokenizer& tokenizer = *model.tokenizer;
  const int64_t window =
      std::min<int64_t>(options.context > 0 ? options.context : 2048, model.spec.context_length);
  if (window < 2) return invalid_input("a window of {} tokens predicts nothing", window);
  BRISK_ASSIGN_OR_RETURN(const std::unique_ptr<Scorer> scorer,
                         Scorer::create(model, options, window));
  const SteadyClock clock;
  const Instant start = clock.now();
  const int32_t bos = tokenizer.rules().bos;
  PerplexityReport report;
  for (const std::string& document : documents) {
    const std::vector<int32_t> tokens = tokenizer.encode(document, {.add_special = false});
    const size_t step = static_cast<size_t>(window) - (bos >= 0 ? 1 : 0);
    std::vector<int32_t> part;
    for (size_t begin = 0; begin < tokens.size(); begin += step) {
      const size_t end = std::min(begin + step, tokens.size());
      part.clear();
      if (bos >= 0) part.push_back(bos);
      part.insert(part.end(), tokens.begin() + static_cast<long>(begin),
                  tokens.begin() + static_cast<long>(end));
      if (part.size() < 2) continue;
      BRISK_RETURN_IF_ERROR(check_tokens(part, model.spec.vocab_size));
      report.nats += scorer->score(part);
      report.tokens += static_cast<int64_t>(part.size()) - 1;
      part.erase(part.begin());  // what was given, not predicted
      report.bytes += static_cast<int64_t>(tokenizer.decode(part, /*special=*/true).size());
      ++report.windows;
    }
    progress(++report.documents);
  }
  report.seconds = seconds_between(start, clock.now());
  if (report.tokens == 0) return invalid_input("the text has no token to predict");
  if (!std::isfinite(report.nats)) {
    return absl::InternalError(
        "the model's logits are not finite: its weights or arithmetic are wrong");
  }
  return report;
}

}  // namespace brisk
