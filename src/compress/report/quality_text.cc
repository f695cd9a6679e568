#include "compress/report/quality_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>

#include "base/units.h"

namespace brisk {
namespace {

// How a figure and its interval are written: `scale` times what they are.
struct Form {
  int decimals = 2;
  double scale = 1;
  double shift = 0;  // taken off before that
};

std::string with_interval(const Estimate& estimate, const Form& form) {
  const auto text = [&](double value) {
    return fmt::format("{:.{}f}", form.scale * (value - form.shift), form.decimals);
  };
  if (!estimate.interval) return text(estimate.value);
  const std::string low = text(estimate.interval->low), high = text(estimate.interval->high);
  const bool has_sign = low.starts_with('-') || high.starts_with('-');
  return fmt::format("{} ({}{}{})", text(estimate.value), low, has_sign ? " to " : "-", high);
}

std::string increase_text(const Divergence& divergence) {
  return with_interval(divergence.perplexity_ratio, {.decimals = 2, .scale = 100, .shift = 1});
}

std::string flips_text(const Divergence& divergence) {
  return with_interval(divergence.flips, {.decimals = 2, .scale = 100});
}

std::string speed_text(double tokens_per_s) { return fmt::format("{:.1f}", tokens_per_s); }

const Divergence* divergence_of(const QualityReport& report) {
  return report.text && report.text->divergence ? &*report.text->divergence : nullptr;
}

const Accuracy* find_accuracy(const QualityReport& report, const std::string& name) {
  const auto found = std::ranges::find(report.accuracies, name, &Accuracy::name);
  return found == report.accuracies.end() ? nullptr : &*found;
}

// Names in the order in which reports have them.
std::vector<std::string> accuracy_names(std::span<const QualityReport> reports) {
  std::vector<std::string> names;
  for (const QualityReport& report : reports) {
    for (const Accuracy& accuracy : report.accuracies) {
      if (std::ranges::find(names, accuracy.name) == names.end()) names.push_back(accuracy.name);
    }
  }
  return names;
}

struct Column {
  std::string heading;
  std::function<std::string(const QualityReport&)> cell;  // empty: not measured
};

void add_divergence_columns(std::vector<Column>& columns) {
  const auto add = [&](const char* heading, std::string (*cell)(const Divergence&)) {
    columns.push_back({heading, [cell](const QualityReport& report) {
                         const Divergence* divergence = divergence_of(report);
                         return divergence == nullptr ? "" : cell(*divergence);
                       }});
  };
  add("ppl +%", increase_text);
  add("mean KL", [](const Divergence& divergence) { return kl_text(divergence.kl); });
  add("KL p99",
      [](const Divergence& divergence) { return fmt::format("{:.4g}", divergence.kl_p99); });
  add("flips %", flips_text);
}

std::vector<Column> columns_of(std::span<const QualityReport> reports) {
  std::vector<Column> columns = {
      {"model", [](const QualityReport& report) { return report.model; }},
      {"size",
       [](const QualityReport& report) {
         return report.bytes == 0 ? "" : human_bytes(report.bytes);
       }},
      {"decode tokens/s",
       [](const QualityReport& report) {
         return report.decode_tokens_per_s ? speed_text(*report.decode_tokens_per_s) : "";
       }},
      {"perplexity", [](const QualityReport& report) {
         return report.text ? with_interval(report.text->perplexity, {.decimals = 3}) : "";
       }}};
  add_divergence_columns(columns);
  for (const std::string& name : accuracy_names(reports)) {
    columns.push_back({name + " %", [name](const QualityReport& report) {
                         const Accuracy* accuracy = find_accuracy(report, name);
                         return accuracy == nullptr ? "" : percent_text(accuracy->score);
                       }});
    columns.push_back({"flipped", [name](const QualityReport& report) {
                         const Accuracy* accuracy = find_accuracy(report, name);
                         if (accuracy == nullptr || !accuracy->flips) return std::string();
                         return fmt::format("{:.1f} %", 100 * accuracy->flips->rate());
                       }});
  }
  return columns;
}

}  // namespace

std::string percent_text(const tasks::Score& score) {
  if (score.total == 0) return "-";
  const tasks::Interval interval = score.interval();
  return fmt::format("{:.1f} ({:.1f}-{:.1f})", 100 * score.rate(), 100 * interval.low,
                     100 * interval.high);
}

std::vector<std::pair<std::string, std::string>> quality_facts(const QualityReport& report) {
  std::vector<std::pair<std::string, std::string>> facts = {
      {"model", report.model},
      {"size", report.bytes == 0
                   ? ""
                   : fmt::format("{} ({} bytes)", human_bytes(report.bytes), report.bytes)}};
  if (report.text) {
    const TextQuality& text = *report.text;
    facts.emplace_back("text", fmt::format("{} documents, {} windows, {} tokens, {} bytes",
                                           text.documents, text.windows, text.tokens, text.bytes));
    facts.emplace_back("perplexity", with_interval(text.perplexity, {.decimals = 6}));
    facts.emplace_back("nats per token", fmt::format("{:.6f}", text.nats_per_token()));
    facts.emplace_back("nats per byte", fmt::format("{:.6f}", text.nats_per_byte()));
  }
  if (const Divergence* divergence = divergence_of(report)) {
    facts.emplace_back("reference", divergence->reference);
    facts.emplace_back("perplexity +%", increase_text(*divergence));
    facts.emplace_back("mean KL", kl_text(divergence->kl) + " nats a token");
    facts.emplace_back("KL",
                       fmt::format("{:.4g} (median), {:.4g} (99th percentile), {:.4g} (largest)",
                                   divergence->kl_median, divergence->kl_p99, divergence->kl_max));
    facts.emplace_back("flips %", flips_text(*divergence) + " of the most likely tokens");
  }
  for (const Accuracy& accuracy : report.accuracies) {
    std::string text = fmt::format("{} of {}", percent_text(accuracy.score), accuracy.score.total);
    if (accuracy.flips) text += fmt::format(", {} flipped", accuracy.flips->right);
    facts.emplace_back(accuracy.name + " %", std::move(text));
  }
  if (report.text) {
    facts.emplace_back("evaluated",
                       fmt::format("{} tokens/s, {:.1f} s in all",
                                   speed_text(report.text->tokens_per_s), report.text->seconds));
  }
  if (report.decode_tokens_per_s) {
    facts.emplace_back("decodes", speed_text(*report.decode_tokens_per_s) + " tokens/s");
  }
  std::erase_if(facts, [](const auto& fact) { return fact.second.empty(); });
  return facts;
}

std::vector<std::vector<std::string>> comparison_rows(std::span<const QualityReport> reports) {
  std::vector<std::vector<std::string>> rows(reports.size() + 1);
  for (const Column& column : columns_of(reports)) {
    std::vector<std::string> cells = {column.heading};
    for (const QualityReport& report : reports) cells.push_back(column.cell(report));
    const bool measured = std::any_of(cells.begin() + 1, cells.end(),
                                      [](const std::string& cell) { return !cell.empty(); });
    if (!measured) continue;
    for (size_t i = 0; i < rows.size(); ++i) {
      rows[i].push_back(cells[i].empty() ? "-" : std::move(cells[i]));
    }
  }
  return rows;
}

std::string kl_text(const Estimate& kl) {
  if (!kl.interval) return fmt::format("{:.4g}", kl.value);
  return fmt::format("{:.4g} ({:.3g}-{:.3g})", kl.value, kl.interval->low, kl.interval->high);
}

}  // namespace brisk
