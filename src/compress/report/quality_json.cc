#include "compress/report/quality_json.h"

#include <cmath>
#include <utility>

#include "base/status.h"

namespace brisk {

Json to_json(const tasks::Score& score) {
  const tasks::Interval interval = score.interval();
  return {{"right", score.right},
          {"total", score.total},
          {"rate", score.rate()},
          {"low", interval.low},
          {"high", interval.high}};
}

Json to_json(const Estimate& estimate) {
  Json json = {{"value", estimate.value}};
  if (estimate.interval) {
    json["low"] = estimate.interval->low;
    json["high"] = estimate.interval->high;
  }
  return json;
}

namespace {

Json to_json(const Divergence& divergence) {
  return {{"reference", divergence.reference},
          {"reference_nats", divergence.reference_nats},
          {"kl", to_json(divergence.kl)},
          {"kl_median", divergence.kl_median},
          {"kl_p99", divergence.kl_p99},
          {"kl_max", divergence.kl_max},
          {"flips", to_json(divergence.flips)},
          {"perplexity_ratio", to_json(divergence.perplexity_ratio)}};
}

Json to_json(const TextQuality& text) {
  Json json = {{"documents", text.documents},
               {"windows", text.windows},
               {"tokens", text.tokens},
               {"bytes", text.bytes},
               {"nats", text.nats},
               {"perplexity", to_json(text.perplexity)},
               {"nats_per_token", text.nats_per_token()},
               {"nats_per_byte", text.nats_per_byte()},
               {"seconds", text.seconds},
               {"tokens_per_s", text.tokens_per_s}};
  if (text.divergence) json["divergence"] = to_json(*text.divergence);
  return json;
}

Json to_json(const Accuracy& accuracy) {
  Json json = brisk::to_json(accuracy.score);
  json["name"] = accuracy.name;
  if (accuracy.flips) json["flips"] = accuracy.flips->right;
  return json;
}

// Reads members of an object, and remembers the first that was missing or wrong.
class Members {
 public:
  explicit Members(const Json& json) : json_(json) {
    if (!json.is_object()) status_ = invalid_input("expected an object");
  }

  const Json* find(const char* key) const {
    const auto it = json_.find(key);
    return json_.is_object() && it != json_.end() ? &*it : nullptr;
  }

  std::string text(const char* key) {
    const Json* member = find(key);
    if (member != nullptr && member->is_string()) return member->get<std::string>();
    fail(key, "a string");
    return "";
  }

  double number(const char* key) {
    const Json* member = find(key);
    if (member != nullptr && member->is_number()) return member->get<double>();
    fail(key, "a number");
    return 0;
  }

  int64_t count(const char* key) {
    const Json* member = find(key);
    // One too large for the type becomes negative.
    if (member != nullptr && member->is_number_integer() && member->get<int64_t>() >= 0) {
      return member->get<int64_t>();
    }
    fail(key, "a number of things");
    return 0;
  }

  Estimate estimate(const char* key) {
    const Json* member = find(key);
    if (member == nullptr) {
      fail(key, "an object");
      return {};
    }
    Members inner(*member);
    Estimate estimate = {.value = inner.number("value"), .interval = std::nullopt};
    if (inner.find("low") != nullptr) {
      estimate.interval = {inner.number("low"), inner.number("high")};
    }
    take(key, inner.status());
    return estimate;
  }

  void take(const char* key, const absl::Status& status) {
    if (status_.ok()) status_ = annotate(status, key);
  }

  const absl::Status& status() const { return status_; }

 private:
  void fail(const char* key, const char* expected) {
    take(key, invalid_input("expected {}", expected));
  }

  const Json& json_;
  absl::Status status_;
};

absl::StatusOr<Divergence> divergence_of(const Json& json) {
  Members members(json);
  Divergence divergence = {.reference = members.text("reference"),
                           .reference_nats = members.number("reference_nats"),
                           .kl = members.estimate("kl"),
                           .kl_median = members.number("kl_median"),
                           .kl_p99 = members.number("kl_p99"),
                           .kl_max = members.number("kl_max"),
                           .flips = members.estimate("flips"),
                           .perplexity_ratio = members.estimate("perplexity_ratio")};
  BRISK_RETURN_IF_ERROR(members.status());
  return divergence;
}

absl::StatusOr<TextQuality> text_of(const Json& json) {
  Members members(json);
  TextQuality text = {.documents = members.count("documents"),
                      .windows = members.count("windows"),
                      .tokens = members.count("tokens"),
                      .bytes = members.count("bytes"),
                      .nats = members.number("nats"),
                      .perplexity = members.estimate("perplexity"),
                      .seconds = members.number("seconds"),
                      .tokens_per_s = members.number("tokens_per_s")};
  BRISK_RETURN_IF_ERROR(members.status());
  if (text.tokens == 0) return invalid_input("tokens: expected some");
  if (const Json* divergence = members.find("divergence")) {
    auto read = divergence_of(*divergence);
    if (!read.ok()) return annotate(read.status(), "divergence");
    text.divergence = *std::move(read);
  }
  return text;
}

absl::StatusOr<Accuracy> accuracy_of(const Json& json) {
  Members members(json);
  Accuracy accuracy = {.name = members.text("name"),
                       .score = {.right = members.count("right"), .total = members.count("total")}};
  if (members.find("flips") != nullptr) {
    accuracy.flips = {.right = members.count("flips"), .total = accuracy.score.total};
  }
  BRISK_RETURN_IF_ERROR(members.status());
  if (accuracy.score.right > accuracy.score.total)
    return invalid_input("more are right than asked");
  return accuracy;
}

}  // namespace

Json to_json(const QualityReport& report) {
  Json json = {{"model", report.model}, {"bytes", report.bytes}};
  if (report.text) json["text"] = to_json(*report.text);
  for (const Accuracy& accuracy : report.accuracies) {
    json["accuracies"].push_back(to_json(accuracy));
  }
  if (report.decode_tokens_per_s) json["decode_tokens_per_s"] = *report.decode_tokens_per_s;
  return json;
}

absl::StatusOr<QualityReport> quality_of_json(const Json& json) {
  Members members(json);
  QualityReport report = {.model = members.text("model"),
                          .bytes = static_cast<uint64_t>(members.count("bytes"))};
  if (members.find("decode_tokens_per_s") != nullptr) {
    report.decode_tokens_per_s = members.number("decode_tokens_per_s");
  }
  BRISK_RETURN_IF_ERROR(members.status());
  if (const Json* text = members.find("text")) {
    auto read = text_of(*text);
    if (!read.ok()) return annotate(read.status(), "text");
    report.text = *std::move(read);
  }
  if (const Json* accuracies = members.find("accuracies")) {
    if (!accuracies->is_array()) return invalid_input("accuracies: expected a list");
    for (const Json& one : *accuracies) {
      auto read = accuracy_of(one);
      if (!read.ok()) return annotate(read.status(), "accuracies");
      report.accuracies.push_back(*std::move(read));
    }
  }
  return report;
}

}  // namespace brisk
