#include "compress/calibrate/layer_stream.h"

#include <gtest/gtest.h>

#include <map>
#include <numeric>
#include <vector>

#include "base/rng.h"
#include "compress/calibrate/input_statistics.h"
#include "compress/edit/layer_matrices.h"
#include "tests/support/read_small_checkpoint.h"

namespace brisk {
namespace {

struct Editable {
  std::string bytes;
  std::unique_ptr<Model> model;
};

Editable open(const std::string& name) {
  Editable editable;
  editable.bytes = read_file(BRISK_SOURCE_DIR "/fuzz/corpus/gguf/" + name, 1 << 20).value();
  auto checkpoint = read_gguf_bytes(std::as_bytes(std::span(editable.bytes)));
  editable.model = make_editable_model(checkpoint.value(), name).value();
  return editable;
}

TokenWindows windows_for(const Model& model) {
  Rng rng(1);
  TokenWindows windows;
  for (const size_t size : {23, 5, 40}) {
    std::vector<int32_t>& window = windows.emplace_back(size);
    for (int32_t& token : window) {
      token = static_cast<int32_t>(rng.next_below(static_cast<uint64_t>(model.spec.vocab_size)));
    }
  }
  return windows;
}

class LayerStreams : public testing::TestWithParam<std::string> {};

TEST_P(LayerStreams, GiveTheBitsOfAWholePass) {
  const Editable opened = open(GetParam());
  const Model& model = *opened.model;
  const TokenWindows windows = windows_for(model);
  auto stream = LayerStream::create(model, windows, 2).value();
  while (stream->layer() < model.spec.layers.size()) stream->advance();

  ThreadTeam team(1);
  auto kv = KvMemory::create(model.spec, KvElement::kF32, 4).value();
  Decoder whole(model, *model.kernels, team, *kv, {.rows_max = 64, .logits_rows_max = 64});
  Decoder pieces(model, *model.kernels, team, *kv, {.rows_max = 64, .logits_rows_max = 64});
  const std::vector<int32_t> blocks = {0, 1, 2, 3};
  for (size_t w = 0; w < windows.size(); ++w) {
    std::vector<int32_t> rows(windows[w].size());
    std::iota(rows.begin(), rows.end(), 0);
    const SliceView slice = {
        .row_begin = 0, .row_end = std::ssize(windows[w]), .first_position = 0, .blocks = blocks};
    const StepBatch batch = {.tokens = windows[w], .slices = {&slice, 1}, .logits_rows = rows};
    const MatView expected = whole.forward(batch);
    const MatView got = pieces.run_head(batch, stream->states(w));
    for (int64_t i = 0; i < expected.rows * expected.cols; ++i) {
      ASSERT_EQ(got.data[i], expected.data[i]) << "window " << w << ", logit " << i;
    }
  }
}

// Keeps all that it sees.
class Recorder : public InputObserver {
 public:
  void observe(Worker worker, size_t /*layer*/, ConstMatView input,
               std::span<const Linear* const> users) override {
    if (worker.index != 0) return;
    for (const Linear* user : users) {
      for (int64_t r = 0; r < input.rows; ++r) {
        seen[user].emplace_back(input.row(r), input.row(r) + input.cols);
      }
    }
  }
  std::map<const Linear*, std::vector<std::vector<float>>> seen;
};

TEST_P(LayerStreams, StatisticsAreThoseOfTheInputsOfEveryMatrix) {
  const Editable opened = open(GetParam());
  Model& model = *opened.model;
  const TokenWindows windows = windows_for(model);
  auto stream = LayerStream::create(model, windows, 3).value();
  Recorder recorder;
  InputCollector collector(*model.kernels,
                           {.gram = true, .sample_rows = 4, .rows_expected = token_count(windows)});
  stream->look(recorder);
  stream->look(collector);
  const std::vector<LayerMatrix> matrices = layer_matrices(model, 0).value();
  ASSERT_GE(matrices.size(), 4u);
  for (const LayerMatrix& matrix : matrices) {
    const auto& rows = recorder.seen[matrix.linear];
    const InputStatistics* statistics = collector.of(*matrix.linear);
    if (rows.empty()) {
      EXPECT_EQ(statistics, nullptr) << matrix.name;
      continue;
    }
    ASSERT_NE(statistics, nullptr) << matrix.name;
    EXPECT_EQ(statistics->rows, std::ssize(rows));
    const auto depth = static_cast<size_t>(matrix.depth);
    for (size_t i = 0; i < depth; ++i) {
      for (size_t j = 0; j < depth; ++j) {
        double product = 0, size = 0;
        for (const auto& row : rows) {
          product += static_cast<double>(row[i]) * static_cast<double>(row[j]);
          size += std::abs(static_cast<double>(row[i]) * static_cast<double>(row[j]));
        }
        ASSERT_NEAR(statistics->gram[i * depth + j], product, 1e-5 * size + 1e-12) << matrix.name;
        if (i == j) {
          EXPECT_NEAR(statistics->sums_square[i], product, 1e-9 * size);
        }
      }
    }
    EXPECT_LE(statistics->sample_rows, 4);
    EXPECT_GE(statistics->sample_rows, 1);
  }
}

INSTANTIATE_TEST_SUITE_P(Models, LayerStreams,
                         testing::Values("llama", "gemma3", "phi3", "qwen3", "mixtral",
                                         "qwen2moe"));

}  // namespace
}  // namespace brisk
