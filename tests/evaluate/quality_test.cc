// What measure_quality sums up, against the obvious way to compute it.
#include "compress/evaluate/quality.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/status.h"
#include "tests/support/decoder_harness.h"

namespace brisk {
namespace {

using testing::HasSubstr;

std::shared_ptr<const Model> reference_case(const std::string& name, Activations activations) {
  return load_model(BRISK_BINARY_DIR "/reference/" + name + "/model.gguf",
                    {.tokenizer_path = "", .activations = activations})
      .value();
}

std::vector<Document> some_documents() {
  return {"Once upon a time there was a little dog who liked to play with the other dogs.",
          "The end", "He ran and ran and ran until it was dark, and then he went home to sleep."};
}

std::vector<double> log_softmax(std::span<const float> logits) {
  double sum = 0;
  for (const float logit : logits) sum += std::exp(double{logit});
  std::vector<double> logs;
  for (const float logit : logits) logs.push_back(double{logit} - std::log(sum));
  return logs;
}

struct Expected {
  double nats = 0, reference_nats = 0, kl = 0, flips = 0;
  std::vector<double> all_kl;
};

// Every token of a document after BOS, each from a decoder that is fed the `context` - 1 tokens of
// its window anew: windows begin every `stride` tokens of the document.
void expect_document(const Model& model, const Model& reference, const std::string& document,
                     size_t context, size_t stride, Expected* expected) {
  const std::vector<int32_t> text = model.tokenizer->encode(document, {.add_special = false});
  const auto vocab = static_cast<size_t>(model.spec.vocab_size);
  for (size_t target = 0; target < text.size(); ++target) {
    // The first window that holds it.
    const size_t room = context - 1;
    size_t begin = 0;
    while (begin + room <= target) begin += stride;
    std::vector<int32_t> fed = {model.tokenizer->rules().bos};
    fed.insert(fed.end(), text.begin() + static_cast<ptrdiff_t>(begin),
               text.begin() + static_cast<ptrdiff_t>(target));
    DecoderHarness one(model, {}), other(reference, {});
    const std::vector<float> a = one.feed(fed), b = other.feed(fed);
    const auto q = log_softmax(std::span(a).last(vocab)), p = log_softmax(std::span(b).last(vocab));
    double kl = 0;
    for (size_t i = 0; i < vocab; ++i) kl += std::exp(p[i]) * (p[i] - q[i]);
    expected->nats -= q[static_cast<size_t>(text[target])];
    expected->reference_nats -= p[static_cast<size_t>(text[target])];
    expected->kl += kl;
    expected->all_kl.push_back(kl);
    expected->flips +=
        std::ranges::max_element(q) - q.begin() != std::ranges::max_element(p) - p.begin() ? 1 : 0;
  }
}

struct Case {
  int64_t context, stride;
};

class Quality : public testing::TestWithParam<Case> {};

TEST_P(Quality, IsWhatTokensFedOneByOneGive) {
  const auto model = reference_case("blocks-q4_0", Activations::kInt8);
  const auto reference = reference_case("blocks-q4_0", Activations::kF32);
  const Case sizes = GetParam();
  const std::vector<Document> documents = some_documents();
  const auto report =
      measure_quality(*model, reference.get(), documents,
                      {.threads = 2, .context = sizes.context, .stride = sizes.stride});
  ASSERT_TRUE(report.ok()) << report.status();
  Expected expected;
  for (const auto& [document, is_conversation] : documents) {
    const auto context = static_cast<size_t>(sizes.context);
    const auto stride = sizes.stride > 0 ? static_cast<size_t>(sizes.stride) : context - 1;
    expect_document(*model, *reference, document, context, stride, &expected);
  }
  const TextQuality& text = *report->text;
  const auto tokens = static_cast<double>(expected.all_kl.size());
  ASSERT_EQ(text.tokens, static_cast<int64_t>(expected.all_kl.size()));
  ASSERT_GT(text.windows, 3) << "documents are longer than windows";
  EXPECT_EQ(text.documents, 3);
  EXPECT_NEAR(text.nats, expected.nats, 1e-9 * expected.nats);
  EXPECT_NEAR(text.perplexity.value, std::exp(expected.nats / tokens),
              1e-9 * text.perplexity.value);
  const Divergence& divergence = *text.divergence;
  EXPECT_NEAR(divergence.reference_nats, expected.reference_nats, 1e-9 * expected.reference_nats);
  EXPECT_NEAR(divergence.kl.value, expected.kl / tokens, 1e-9);
  EXPECT_GT(divergence.kl.value, 1e-7) << "rounded activations are not nothing";
  EXPECT_NEAR(divergence.kl_max, std::ranges::max(expected.all_kl), 1e-9);
  EXPECT_DOUBLE_EQ(divergence.flips.value, expected.flips / tokens);
  EXPECT_NEAR(divergence.perplexity_ratio.value,
              std::exp((expected.nats - expected.reference_nats) / tokens), 1e-9);
  EXPECT_LE(divergence.kl.interval->low, divergence.kl.value);
  EXPECT_GE(divergence.kl.interval->high, divergence.kl.value);
  EXPECT_LE(divergence.kl_median, divergence.kl_p99);
  EXPECT_LE(divergence.kl_p99, divergence.kl_max);
  EXPECT_EQ(report->bytes, model->checkpoint->files.front().bytes().size());
}

INSTANTIATE_TEST_SUITE_P(Windows, Quality,
                         testing::Values(Case{16, 0}, Case{16, 15}, Case{16, 4}, Case{9, 1}),
                         [](const auto& row) {
                           return fmt::format("context{}stride{}", row.param.context,
                                              row.param.stride);
                         });

TEST(MeasureQuality, AModelDoesNotDivergeFromItself) {
  const auto model = reference_case("llama2", Activations::kF32);
  const auto report = measure_quality(*model, model.get(), some_documents(), {});
  ASSERT_TRUE(report.ok()) << report.status();
  const Divergence& divergence = *report->text->divergence;
  EXPECT_EQ(divergence.kl_max, 0);
  EXPECT_EQ(divergence.flips.value, 0);
  EXPECT_EQ(divergence.perplexity_ratio.value, 1);
}

TEST(MeasureQuality, BytesOfATextDoNotDependOnWindows) {
  const auto model = reference_case("llama2", Activations::kF32);
  const std::vector<Document> documents = some_documents();
  int64_t bytes = 0;
  for (const Document& document : documents) bytes += static_cast<int64_t>(document.text.size());
  for (const int64_t context : {5, 100}) {
    const auto report = measure_quality(*model, nullptr, documents, {.context = context});
    ASSERT_TRUE(report.ok()) << report.status();
    EXPECT_EQ(report->text->bytes, bytes) << context;
    EXPECT_FALSE(report->text->divergence.has_value());
  }
}

TEST(MeasureQuality, TellsItsProgressInBytes) {
  const auto model = reference_case("llama2", Activations::kF32);
  uint64_t last = 0, all = 0;
  QualityOptions options = {.context = 8};
  options.on_progress = [&](uint64_t bytes, uint64_t bytes_total) {
    EXPECT_GE(bytes, last);
    EXPECT_LE(bytes, bytes_total);
    last = bytes;
    all = bytes_total;
  };
  ASSERT_TRUE(measure_quality(*model, nullptr, some_documents(), options).ok());
  EXPECT_EQ(last, all);
}

TEST(MeasureQuality, ModelsOfAnotherVocabularyAreNotCompared) {
  const auto model = reference_case("llama2", Activations::kF32);
  const auto other = reference_case("gpt2", Activations::kF32);
  const auto report = measure_quality(*model, other.get(), some_documents(), {});
  ASSERT_FALSE(report.ok());
  EXPECT_THAT(std::string(message_of(report.status())), HasSubstr("vocabulary"));
}

TEST(MeasureQuality, WithoutDocumentsItSaysWhatTheArtefactIs) {
  const auto model = reference_case("llama2", Activations::kF32);
  const auto report = measure_quality(*model, nullptr, {}, {});
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->model, "model");
  EXPECT_GT(report->bytes, 0u);
  EXPECT_FALSE(report->text.has_value());
  EXPECT_FALSE(measure_quality(*model, nullptr, {""}, {}).ok()) << "nothing to predict";
}

}  // namespace
}  // namespace brisk
