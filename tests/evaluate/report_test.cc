// Gates, and reports as JSON and HTML.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/status.h"
#include "compress/report/comparison_html.h"
#include "compress/report/gate.h"
#include "compress/report/quality_json.h"
#include "compress/report/quality_text.h"

namespace brisk {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

QualityReport some_report() {
  QualityReport report;
  report.model = "small";
  report.bytes = 3 << 20;
  report.text = {.documents = 2,
                 .windows = 3,
                 .tokens = 100,
                 .bytes = 250,
                 .nats = 200,
                 .perplexity = {std::exp(2.0), tasks::Interval{7, 8}},
                 .seconds = 1.5,
                 .tokens_per_s = 70};
  report.text->divergence = {.reference = "large",
                             .reference_nats = 198,
                             .kl = {0.08, tasks::Interval{0.07, 0.09}},
                             .kl_median = 0.01,
                             .kl_p99 = 0.6,
                             .kl_max = 2,
                             .flips = {0.03, std::nullopt},
                             .perplexity_ratio = {std::exp(0.02), tasks::Interval{0.99, 1.03}}};
  report.accuracies = {
      {"choices", {.right = 30, .total = 40}, tasks::Score{.right = 2, .total = 40}},
      {"tasks", {.right = 9, .total = 10}, std::nullopt}};
  report.decode_tokens_per_s = 123.5;
  return report;
}

TEST(Gate, HoldsAtItsLimits) {
  const QualityReport report = some_report();
  const Gate gate = {.kl_max = 0.08,
                     .perplexity_increase_max = std::exp(0.02) - 1,
                     .accuracy_min = {{"choices", 0.75}, {"tasks", 0.9}, {"", 0.75}},
                     .bytes_max = 3 << 20};
  EXPECT_THAT(*misses_of(gate, report), IsEmpty());
  EXPECT_TRUE(check_gate(gate, report).ok());
  EXPECT_TRUE(check_gate({}, QualityReport()).ok());
  EXPECT_TRUE(Gate().is_empty());
}

TEST(Gate, SaysByHowMuchEachLimitIsMissed) {
  const QualityReport report = some_report();
  const Gate gate = {.kl_max = 0.05,
                     .perplexity_increase_max = 0.01,
                     .accuracy_min = {{"choices", 0.8}},
                     .bytes_max = 2 << 20};
  EXPECT_THAT(
      *misses_of(gate, report),
      ElementsAre(
          "mean KL is 0.08 nats a token, 0.03 above the 0.05 of --max-kl",
          "perplexity is 2.02 % above the reference's, 1.02 more than the 1 % of "
          "--max-ppl-increase",
          "choices: 75.0 % are right (30 of 40), 5.0 less than the 80 % of --min-task",
          "the weights take 3.00 MiB (3145728 bytes), 1.00 MiB above the 2.00 MiB of --max-size"));
  const absl::Status status = check_gate(gate, report);
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(message_of(status)), HasSubstr("small misses its gate: mean KL"));
}

TEST(Gate, WhatIsNoNumberMisses) {
  QualityReport report = some_report();
  report.text->divergence->kl.value = std::nan("");
  EXPECT_EQ(misses_of({.kl_max = 100.0}, report)->size(), 1u);
}

TEST(Gate, CannotBeDecidedOnWhatWasNotMeasured) {
  QualityReport report = some_report();
  report.text->divergence.reset();
  EXPECT_TRUE(absl::IsInvalidArgument(check_gate({.kl_max = 1.0}, report)));
  EXPECT_TRUE(absl::IsInvalidArgument(check_gate({.perplexity_increase_max = 1.0}, report)));
  EXPECT_TRUE(absl::IsInvalidArgument(check_gate({.accuracy_min = {{"questions", 0.1}}}, report)));
  report.accuracies.clear();
  EXPECT_TRUE(absl::IsInvalidArgument(check_gate({.accuracy_min = {{"", 0.1}}}, report)));
}

TEST(QualityJson, IsReadBackAsItWasWritten) {
  for (const bool full : {true, false}) {
    QualityReport report = some_report();
    if (!full) report = {.model = "bare", .bytes = 7};
    const Json json = to_json(report);
    const auto read = quality_of_json(json);
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(to_json(*read), json);
    EXPECT_EQ(quality_facts(*read), quality_facts(report));
  }
}

// What an artefact says of itself may be anything.
TEST(QualityJson, SaysWhatIsWrong) {
  const Json whole = to_json(some_report());
  EXPECT_FALSE(quality_of_json(Json::array()).ok());
  const std::pair<const char*, const char*> cases[] = {
      {"/model", "model"},
      {"/bytes", "bytes"},
      {"/text/tokens", "text: tokens"},
      {"/text/perplexity/value", "text: perplexity: value"},
      {"/text/divergence/kl", "text: divergence: kl"},
      {"/text/divergence/reference", "text: divergence: reference"},
      {"/accuracies/0/total", "accuracies: total"}};
  for (const auto& [place, message] : cases) {
    for (const Json& wrong : {Json(-1.5), Json(), Json("x"), Json::array(), Json::object()}) {
      Json json = whole;
      json[Json::json_pointer(place)] = wrong;
      const auto read = quality_of_json(json);
      if (read.ok()) continue;  // a name may be any text
      EXPECT_THAT(std::string(message_of(read.status())), HasSubstr(message)) << wrong;
    }
    Json json = whole;
    json[Json::json_pointer(place)] = Json::array();
    EXPECT_FALSE(quality_of_json(json).ok()) << place;
  }
  Json json = whole;
  json["accuracies"][0]["right"] = 41;
  EXPECT_FALSE(quality_of_json(json).ok()) << "more right than asked";
  json = whole;
  json["text"]["tokens"] = 0;
  EXPECT_FALSE(quality_of_json(json).ok()) << "nats a token of none";
}

TEST(ComparisonRows, LeaveOutWhatNobodyMeasured) {
  QualityReport bare = {.model = "bare", .bytes = 1 << 20};
  EXPECT_THAT(comparison_rows(std::vector{bare}),
              ElementsAre(ElementsAre("model", "size"), ElementsAre("bare", "1.00 MiB")));
  const auto rows = comparison_rows(std::vector{some_report(), bare});
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_THAT(rows[0],
              ElementsAre("model", "size", "decode tokens/s", "perplexity", "ppl +%", "mean KL",
                          "KL p99", "flips %", "choices %", "flipped", "tasks %"));
  EXPECT_THAT(rows[1], ElementsAre("small", "3.00 MiB", "123.5", "7.389 (7.000-8.000)",
                                   "2.02 (-1.00 to 3.00)", "0.08 (0.07-0.09)", "0.6", "3.00",
                                   "75.0 (59.8-85.8)", "5.0 %", "90.0 (59.6-98.2)"));
  EXPECT_EQ(rows[2][3], "-");
}

TEST(ComparisonHtml, ShowsTheTableThePlotsAndTheMisses) {
  QualityReport other = some_report();
  other.model = "<b>other</b>";
  const std::string html = to_html({.title = "small, other",
                                    .command = "brisk eval 'a&b'",
                                    .reports = {some_report(), other},
                                    .misses = {"small: too <large>"}});
  EXPECT_THAT(html, AllOf(HasSubstr("brisk eval &#39;a&amp;b&#39;"), Not(HasSubstr("<b>other")),
                          HasSubstr("too &lt;large&gt;"), HasSubstr("0.08 (0.07-0.09)"),
                          HasSubstr("mean KL against size"), HasSubstr("speed against size"),
                          HasSubstr("mean KL against speed"), HasSubstr("tasks against size")));
  size_t dots = 0;
  for (size_t at = 0; (at = html.find("<circle", at)) != std::string::npos; ++at) ++dots;
  EXPECT_EQ(dots, 2u * 4u) << "both models in each of four plots";
}

TEST(ComparisonHtml, WithoutAReferencePerplexityIsPlotted) {
  QualityReport report = some_report();
  report.text->divergence.reset();
  const std::string html =
      to_html({.title = "t", .command = "c", .reports = {report}, .misses = {}});
  EXPECT_THAT(html, AllOf(HasSubstr("perplexity against size"), Not(HasSubstr("KL against"))));
}

}  // namespace
}  // namespace brisk
