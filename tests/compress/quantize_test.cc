#include "compress/quantize/quantize.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <map>

#include "base/status.h"
#include "compress/evaluate/documents.h"
#include "compress/evaluate/quality.h"
#include "compress/prune/prune.h"
#include "compress/quantize/round_matrix.h"
#include "compute/quant/format.h"
#include "compute/sys/mapped_file.h"
#include "model/convert/convert.h"

namespace brisk {
namespace {

namespace fs = std::filesystem;

const std::string kModel = BRISK_DATA_DIR "/models/stories260K/stories260Ktok512.gguf";

class Compressed : public testing::Test {
 protected:
  void SetUp() override {
    if (!fs::exists(kModel)) GTEST_SKIP() << "needs the models of " << BRISK_DATA_DIR;
    directory_ = fs::temp_directory_path() / fmt::format("brisk-compress-{}", ::getpid());
    fs::create_directories(directory_);
    auto stories = read_documents(BRISK_DATA_DIR "/text/tinystories-500.jsonl").value();
    seen_.assign(stories.begin(), stories.begin() + 60);
    unseen_.assign(stories.begin() + 200, stories.begin() + 230);
  }
  void TearDown() override { fs::remove_all(directory_); }

  QuantizeOptions options(const char* scheme, const char* method) const {
    QuantizeOptions options;
    options.scheme = scheme;
    options.method = parse_quantize_method(method).value();
    options.documents = seen_;
    options.calibration = {.windows_max = 24, .window_tokens = 128};
    options.threads = 2;
    return options;
  }

  std::string path(const std::string& name) const { return directory_ / name; }

  TextQuality quality(const std::string& candidate) const {
    LoadOptions exact;
    exact.activations = Activations::kF32;
    const auto model = load_model(candidate, exact).value();
    const auto reference = load_model(kModel, exact).value();
    return *measure_quality(*model, reference.get(), unseen_, {})->text;
  }

  fs::path directory_;
  std::vector<Document> seen_, unseen_;
};

TEST_F(Compressed, ModelsLoseLessWithEveryBetterMethod) {
  std::map<std::string, double> kl;
  for (const char* method : {"nearest", "importance", "awq", "gptq", "awq+gptq"}) {
    const auto result = quantize_checkpoint(kModel, path("m.gguf"), options("q4_0", method));
    ASSERT_TRUE(result.ok()) << result.status();
    kl[method] = quality(path("m.gguf")).divergence->kl.value;
  }
  EXPECT_LT(kl["importance"], kl["nearest"]);
  EXPECT_LT(kl["awq"], kl["importance"]);
  EXPECT_LT(kl["gptq"], 0.8 * kl["nearest"]);
  EXPECT_LT(kl["awq+gptq"], 0.8 * kl["nearest"]);
}

TEST_F(Compressed, DirectoriesOfCodesLoseLessWithEveryBetterMethod) {
  for (const char* scheme : {"int4-g32", "int4-g64", "int4-g32-asym"}) {
    std::map<std::string, double> kl;
    for (const char* method : {"nearest", "awq", "gptq"}) {
      const auto result = quantize_checkpoint(kModel, path("m"), options(scheme, method));
      ASSERT_TRUE(result.ok()) << result.status();
      kl[method] = quality(path("m")).divergence->kl.value;
      fs::remove_all(path("m"));
    }
    EXPECT_LT(kl["awq"], kl["nearest"]) << scheme;
    EXPECT_LT(kl["gptq"], 0.8 * kl["nearest"]) << scheme;
  }
}

TEST_F(Compressed, EightBitsAChannelKeepThePerplexity) {
  for (const char* scheme : {"w8a8", "fp8"}) {
    ASSERT_TRUE(quantize_checkpoint(kModel, path("m"), options(scheme, "smoothquant")).ok());
    EXPECT_NEAR(quality(path("m")).divergence->perplexity_ratio.value, 1, 0.01) << scheme;
    fs::remove_all(path("m"));
  }
}

// What a method chose is what a reader finds: scales of a search are not those of rounding again.
TEST_F(Compressed, WrittenCodesAreThoseThatWereChosen) {
  const auto source = open_checkpoint(kModel).value();
  for (const char* name : {"int4-g32", "int4-g64-asym", "w8a8", "fp8"}) {
    const MatrixFormat format = {.dtype = DType::kScaled, .scheme = scaled_scheme(name)};
    const auto model = make_editable_model(source, "m").value();
    CheckpointEdit edit(source);
    ThreadTeam team(2);
    std::map<std::string, std::vector<float>> chosen;
    for (size_t layer = 0; layer < model->weights.layers.size(); ++layer) {
      auto matrices = decode_layer(*model, layer).value();
      for (WorkingMatrix& matrix : matrices) {
        if (matrix.place.depth % 64 != 0) continue;
        const StoredRows rows = rows_in(edit, matrix.place, format);
        ASSERT_TRUE(round_matrix({.method = RoundingMethod::kSearch}, matrix, rows, team).ok());
        std::vector<float>& values = chosen[matrix.place.name];
        values.resize(matrix.values.size());
        decode_values(rows.tensor(), 0, std::ssize(values), values.data());
      }
    }
    ConvertOptions writing;
    writing.dtype = name;
    ASSERT_TRUE(write_checkpoint(edit.edited(), kModel, path("m"), writing).ok());
    const auto written = open_checkpoint(path("m")).value();
    // Rows of q and k move between the layouts: all are compared in the order of their values.
    const auto sorted_rows = [](const std::vector<float>& values) {
      std::vector<std::vector<float>> rows;
      for (size_t at = 0; at < values.size(); at += 64) {
        rows.emplace_back(values.begin() + static_cast<long>(at),
                          values.begin() + static_cast<long>(at) + 64);
      }
      std::sort(rows.begin(), rows.end());
      return rows;
    };
    const std::pair<const char*, const char*> names[] = {
        {"blk.3.attn_q.weight", "model.layers.3.self_attn.q_proj.weight"},
        {"blk.3.attn_v.weight", "model.layers.3.self_attn.v_proj.weight"},
        {"blk.0.ffn_up.weight", "model.layers.0.mlp.up_proj.weight"}};
    for (const auto& [before, after] : names) {
      const Tensor* tensor = written->find(after);
      ASSERT_NE(tensor, nullptr);
      EXPECT_EQ(tensor->dtype, DType::kScaled) << name;
      std::vector<float> values(static_cast<size_t>(tensor->values()));
      decode_values(*tensor, 0, tensor->values(), values.data());
      EXPECT_EQ(sorted_rows(values), sorted_rows(chosen.at(before))) << name << " " << before;
    }
    fs::remove_all(path("m"));
  }
}

TEST_F(Compressed, FormatsThatTheOutputCannotHoldAreNamed) {
  const std::pair<const char*, const char*> pairs[] = {
      {"int4-g32", "m.gguf"}, {"w8a8", "m.gguf"}, {"q4_0", "m"}, {"ternary", "m"}};
  for (const auto& [scheme, out] : pairs) {
    const auto result = quantize_checkpoint(kModel, path(out), options(scheme, "nearest"));
    ASSERT_EQ(result.status().code(), absl::StatusCode::kInvalidArgument) << scheme;
    EXPECT_THAT(std::string(message_of(result.status())), testing::HasSubstr("choose what"));
    EXPECT_FALSE(fs::exists(path(out)));
  }
  // Rows of 64 and 172 inputs.
  for (const auto& [scheme, out] : {std::pair("int4-g128", "m"), std::pair("ternary", "m.gguf")}) {
    const auto result = quantize_checkpoint(kModel, path(out), options(scheme, "nearest"));
    ASSERT_EQ(result.status().code(), absl::StatusCode::kInvalidArgument) << scheme;
    EXPECT_THAT(std::string(message_of(result.status())), testing::HasSubstr("no matrix has rows"));
  }
}

TEST_F(Compressed, SmoothingAloneChangesNothing) {
  for (const char* method : {"awq", "smoothquant"}) {
    ASSERT_TRUE(quantize_checkpoint(kModel, path("m.gguf"), options("f32", method)).ok());
    EXPECT_LT(quality(path("m.gguf")).divergence->kl.value, 1e-8) << method;
  }
}

TEST_F(Compressed, FilesAreTheSameOnAnyNumberOfThreads) {
  QuantizeOptions one = options("q4_0", "awq+gptq"), three = one;
  one.threads = 1;
  three.threads = 3;
  ASSERT_TRUE(quantize_checkpoint(kModel, path("1.gguf"), one).ok());
  ASSERT_TRUE(quantize_checkpoint(kModel, path("3.gguf"), three).ok());
  EXPECT_EQ(read_file(path("1.gguf"), 1 << 24).value(), read_file(path("3.gguf"), 1 << 24).value());
}

// A child does some layers and is killed; what the second run makes is what one run makes.
template <class Run>
void expect_same_after_a_kill(const Run& run, const std::string& whole, const std::string& resumed,
                              const std::string& work) {
  ASSERT_TRUE(run(whole, std::string(), -1).ok());
  const pid_t child = ::fork();
  if (child == 0) {
    (void)run(resumed, work, 3);
    ::_exit(1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  ASSERT_FALSE(fs::exists(resumed));
  ASSERT_GT(fs::file_size(work + "/data"), 0u);
  ASSERT_TRUE(run(resumed, work, -1).ok());
  const auto bytes = [](const std::string& path) {
    const bool is_directory = fs::is_directory(path);
    return read_file(path + (is_directory ? "/model.safetensors" : ""), 1 << 24).value();
  };
  EXPECT_EQ(bytes(whole), bytes(resumed));
  EditJournal::remove(work);
  fs::remove_all(whole);
  fs::remove_all(resumed);
}

TEST_F(Compressed, AKilledQuantisationGoesOnToTheSameBytes) {
  const std::pair<const char*, const char*> jobs[] = {
      {"q4_0", "awq+gptq"}, {"int4-g32-asym", "awq+gptq"}, {"q8_0", "nearest"}};
  for (const auto& [scheme, method] : jobs) {
    for (const double bits : {0.0, 8.0}) {
      if (bits > 0 && std::string(scheme) != "q4_0") continue;
      const auto run = [&, scheme = scheme, method = method](
                           const std::string& out, const std::string& work, int64_t kill_after) {
        QuantizeOptions job = options(scheme, method);
        job.bits = bits;
        if (std::string(scheme) == "q4_0") job.kv_calibration = KvElement::kInt4;
        job.work_directory = work;
        job.on_progress = [kill_after](std::string_view stage, int64_t done, int64_t) {
          if (stage == "layers" && done == kill_after) ::kill(::getpid(), SIGKILL);
        };
        return quantize_checkpoint(kModel, out, job).status();
      };
      const std::string end = std::string(scheme).starts_with("int4") ? "" : ".gguf";
      expect_same_after_a_kill(run, path("whole" + end), path("resumed" + end), path("work"));
    }
  }
}

TEST_F(Compressed, AKilledPruningGoesOnToTheSameBytes) {
  for (const char* method : {"sparsegpt", "global-magnitude"}) {
    const auto run = [&, method](const std::string& out, const std::string& work,
                                 int64_t kill_after) {
      PruneOptions job;
      job.method = parse_prune_method(method).value();
      job.pattern.sparsity = 0.5;
      job.head = true;
      job.documents = seen_;
      job.calibration = {.windows_max = 24, .window_tokens = 128};
      job.threads = 2;
      job.work_directory = work;
      job.on_progress = [kill_after](int64_t done, int64_t) {
        if (done == kill_after) ::kill(::getpid(), SIGKILL);
      };
      return prune_checkpoint(kModel, out, job).status();
    };
    expect_same_after_a_kill(run, path("whole.gguf"), path("resumed.gguf"), path("work"));
  }
}

// Other arguments begin anew.
TEST_F(Compressed, WorkOfOtherArgumentsIsNotGoneOnWith) {
  QuantizeOptions job = options("q4_0", "gptq");
  job.work_directory = path("work");
  ASSERT_TRUE(quantize_checkpoint(kModel, path("a.gguf"), job).ok());
  job.damping = 0.5;
  ASSERT_TRUE(quantize_checkpoint(kModel, path("b.gguf"), job).ok());
  job.work_directory.clear();
  ASSERT_TRUE(quantize_checkpoint(kModel, path("c.gguf"), job).ok());
  const auto bytes = [&](const char* name) { return read_file(path(name), 1 << 24).value(); };
  EXPECT_NE(bytes("a.gguf"), bytes("b.gguf"));
  EXPECT_EQ(bytes("b.gguf"), bytes("c.gguf"));
}

TEST_F(Compressed, AMixBeatsOneFormatOfTheSameSize) {
  const auto uniform = quantize_checkpoint(kModel, path("u.gguf"), options("q5_0", "importance"));
  ASSERT_TRUE(uniform.ok());
  QuantizeOptions mixing = options("q4_0", "importance");
  mixing.bits = uniform->bits_per_weight;
  const auto mixed = quantize_checkpoint(kModel, path("m.gguf"), mixing);
  ASSERT_TRUE(mixed.ok()) << mixed.status();
  EXPECT_LE(mixed->bits_per_weight, uniform->bits_per_weight + 1e-9);
  EXPECT_LT(quality(path("m.gguf")).divergence->kl.value,
            quality(path("u.gguf")).divergence->kl.value);
}

TEST_F(Compressed, PruningByInputsBeatsPruningByMagnitude) {
  std::map<std::string, double> kl;
  for (const char* method : {"magnitude", "wanda", "sparsegpt"}) {
    PruneOptions prune;
    prune.method = parse_prune_method(method).value();
    prune.pattern = parse_sparsity("0.5").value();
    prune.documents = seen_;
    prune.calibration = {.windows_max = 24, .window_tokens = 128};
    const auto result = prune_checkpoint(kModel, path("p.gguf"), prune);
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_NEAR(result->sparsity(), 0.5, 0.002) << method;
    kl[method] = quality(path("p.gguf")).divergence->kl.value;
  }
  EXPECT_LT(kl["wanda"], kl["magnitude"]);
  EXPECT_LT(kl["sparsegpt"], kl["wanda"]);
}

TEST_F(Compressed, TheHeadIsPrunedWhereItIsAskedFor) {
  std::map<std::string, double> kl;
  for (const char* method : {"magnitude", "global-magnitude", "wanda", "sparsegpt"}) {
    PruneOptions prune;
    prune.method = parse_prune_method(method).value();
    const bool is_global = prune.method == PruneMethod::kGlobalMagnitude;
    prune.pattern = parse_sparsity(is_global ? "0.3" : "4:8").value();
    prune.head = true;
    prune.documents = seen_;
    prune.calibration = {.windows_max = 24, .window_tokens = 128};
    const auto result = prune_checkpoint(kModel, path("p.gguf"), prune);
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_NEAR(result->sparsity(), is_global ? 0.3 : 0.5, 0.002) << method;
    const PrunedMatrix& head = result->matrices.back();
    EXPECT_EQ(head.name, "output.weight");
    const auto share = static_cast<double>(head.zeros) / static_cast<double>(head.values);
    EXPECT_GT(share, 0.05) << method;
    EXPECT_LE(share, 0.51) << method;
    const auto written = open_checkpoint(path("p.gguf")).value();
    const Tensor& stored = *written->find(head.name);
    std::vector<float> values(static_cast<size_t>(stored.values()));
    decode_values(stored, 0, stored.values(), values.data());
    EXPECT_EQ(std::count(values.begin(), values.end(), 0.0f), head.zeros) << method;
    kl[method] = quality(path("p.gguf")).divergence->kl.value;
  }
  EXPECT_LT(kl["wanda"], kl["magnitude"]);
  EXPECT_LT(kl["sparsegpt"], kl["wanda"]);
}

TEST_F(Compressed, GlobalMagnitudeRemovesExactlyTheShare) {
  PruneOptions prune;
  prune.method = PruneMethod::kGlobalMagnitude;
  prune.pattern.sparsity = 0.9;
  const auto result = prune_checkpoint(kModel, path("p.gguf"), prune);
  ASSERT_TRUE(result.ok()) << result.status();
  int64_t values = 0, zeros = 0;
  for (const PrunedMatrix& matrix : result->matrices) {
    values += matrix.values;
    zeros += matrix.zeros;
  }
  EXPECT_EQ(zeros, std::llround(0.9 * static_cast<double>(values)));
}

TEST_F(Compressed, QuantisedWeightsAreNotPruned) {
  ASSERT_TRUE(quantize_checkpoint(kModel, path("q.gguf"), options("q8_0", "nearest")).ok());
  PruneOptions prune;
  prune.method = PruneMethod::kMagnitude;
  const auto result = prune_checkpoint(path("q.gguf"), path("p.gguf"), prune);
  EXPECT_EQ(result.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(message_of(result.status())), testing::HasSubstr("then quantise"));
}

TEST_F(Compressed, MethodsThatLookAtInputsWantAText) {
  QuantizeOptions blind = options("q4_0", "gptq");
  blind.documents.clear();
  EXPECT_EQ(quantize_checkpoint(kModel, path("q.gguf"), blind).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_FALSE(fs::exists(path("q.gguf")));
}

TEST_F(Compressed, WeightsThatAreNotFiniteAreNamed) {
  std::string bytes = read_file(kModel, 1 << 24).value();
  const float nan = NAN;
  std::memcpy(bytes.data() + bytes.size() - 4000, &nan, sizeof nan);  // in the last tensors
  ASSERT_TRUE(write_file_atomically(path("nan.gguf"), bytes).ok());
  const auto result =
      quantize_checkpoint(path("nan.gguf"), path("q.gguf"), options("q4_0", "nearest"));
  ASSERT_FALSE(result.ok());
  EXPECT_THAT(std::string(message_of(result.status())), testing::HasSubstr("is not finite"));
}

}  // namespace
}  // namespace brisk
