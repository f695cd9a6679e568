// Edits that were killed and are started again.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

#include "compress/edit/edit_journal.h"
#include "compress/factorize/factorize.h"
#include "compress/prune/prune.h"
#include "compress/prune/structured.h"
#include "compress/quantize/quantize.h"
#include "compute/sys/mapped_file.h"
#include "tests/compress/stories_fixture.h"

namespace brisk {
namespace {

namespace fs = std::filesystem;

// One run of an edit: what it makes, where it keeps what is finished (empty: nowhere), and what it
// tells of its progress.
using OnProgress = std::function<void(std::string_view stage, int64_t done, int64_t total)>;
using Edit = std::function<absl::Status(const std::string& out, const std::string& work,
                                        const OnProgress& on_progress)>;

// Where a run is killed: after so much of a stage.
struct Kill {
  std::string_view stage;
  int64_t done;
};

class Resumed : public StoriesTest {
 protected:
  std::string bytes(const std::string& out) const {
    const bool is_directory = fs::is_directory(out);
    return read_file(out + (is_directory ? "/model.safetensors" : ""), 1 << 24).value();
  }

  // A child is killed, once for each of `kills`; what the last run makes is what one run makes.
  void expect_same_after(std::initializer_list<Kill> kills, const Edit& run,
                         const std::string& end = ".gguf") const {
    const std::string whole = path("whole" + end), resumed = path("resumed" + end);
    const std::string work = path("work");
    ASSERT_TRUE(run(whole, "", nullptr).ok());
    for (const Kill& kill : kills) {
      const pid_t child = ::fork();
      if (child == 0) {
        (void)run(resumed, work, [&kill](std::string_view stage, int64_t done, int64_t /*total*/) {
          if (stage == kill.stage && done == kill.done) ::kill(::getpid(), SIGKILL);
        });
        ::_exit(1);
      }
      int status = 0;
      ASSERT_EQ(::waitpid(child, &status, 0), child);
      ASSERT_TRUE(WIFSIGNALED(status)) << kill.stage << " " << kill.done;
      ASSERT_FALSE(fs::exists(resumed));
    }
    EXPECT_GT(fs::file_size(work + "/steps"), 64u);  // more than a key
    const absl::Status last = run(resumed, work, nullptr);
    ASSERT_TRUE(last.ok()) << last;
    EXPECT_EQ(bytes(whole), bytes(resumed));
    EditJournal::remove(work);
    fs::remove_all(whole);
    fs::remove_all(resumed);
  }
};

TEST_F(Resumed, QuantisingMakesTheSameBytes) {
  struct Job {
    std::string scheme, method;
    double bits = 0;
    bool kv = false;
    std::string end = ".gguf";
  };
  for (const Job& job : {Job{"q4_0", "awq+gptq", 0, true}, Job{"q4_0", "awq+gptq", 8, true},
                         Job{"int4-g32-asym", "awq+gptq", 0, false, ""}, Job{"q8_0", "nearest"}}) {
    const Edit run = [&](const std::string& out, const std::string& work, const OnProgress& told) {
      QuantizeOptions options;
      options.scheme = job.scheme;
      options.method = parse_quantize_method(job.method).value();
      options.bits = job.bits;
      if (job.kv) options.kv_calibration = KvElement::kInt4;
      options.documents = seen_;
      options.calibration = calibration_;
      options.threads = 2;
      options.work_directory = work;
      options.on_progress = told;
      return quantize_checkpoint(kStories, out, options).status();
    };
    expect_same_after({{"layers", 3}}, run, job.end);
  }
}

TEST_F(Resumed, PruningWeightsMakesTheSameBytes) {
  for (const char* method : {"sparsegpt", "global-magnitude"}) {
    expect_same_after({{"layers", 3}}, [&](const std::string& out, const std::string& work,
                                           const OnProgress& told) {
      PruneOptions options;
      options.method = parse_prune_method(method).value();
      options.pattern.sparsity = 0.5;
      options.head = true;
      options.documents = seen_;
      options.calibration = calibration_;
      options.threads = 2;
      options.work_directory = work;
      if (told) options.on_progress = [&](int64_t done, int64_t all) { told("layers", done, all); };
      return prune_checkpoint(kStories, out, options).status();
    });
  }
}

TEST_F(Resumed, PruningStructuresMakesTheSameBytes) {
  for (const int layers : {0, 1}) {
    expect_same_after({{"layers", 2}, {"layers", 4}},
                      [&](const std::string& out, const std::string& work, const OnProgress& told) {
                        StructuredOptions options;
                        options.neurons = 0.3;
                        options.kv_heads = 0.25;
                        options.channels = layers > 0 ? 0.25 : 0;
                        options.layers = layers;
                        options.documents = seen_;
                        options.calibration = calibration_;
                        options.threads = 2;
                        options.work_directory = work;
                        if (told)
                          options.on_progress = [&](int64_t done, int64_t all) {
                            told("layers", done, all);
                          };
                        return prune_structures(kStories, out, options).status();
                      });
  }
}

// While spectra are measured, among the layers, and again among them.
TEST_F(Resumed, FactorisingMakesTheSameBytes) {
  struct Job {
    bool calibrated, dense;
    std::string end;
  };
  for (const Job& job : {Job{true, false, ".gguf"}, Job{true, false, ""}, Job{true, true, ".gguf"},
                         Job{false, false, ".gguf"}}) {
    const Edit run = [&](const std::string& out, const std::string& work, const OnProgress& told) {
      FactorizeOptions options;
      options.ratio = 0.3;
      options.dense = job.dense;
      if (job.calibrated) options.documents = seen_;
      options.calibration = calibration_;
      options.threads = 2;
      options.work_directory = work;
      options.on_progress = told;
      return factorize_checkpoint(kStories, out, options).status();
    };
    expect_same_after({{"spectra", 3}, {"layers", 2}, {"layers", 4}}, run, job.end);
  }
}

TEST_F(Resumed, FactorisingByEnergyMakesTheSameBytes) {
  expect_same_after({{"layers", 3}},
                    [&](const std::string& out, const std::string& work, const OnProgress& told) {
                      FactorizeOptions options;
                      options.energy = 0.9;
                      options.documents = seen_;
                      options.calibration = calibration_;
                      options.work_directory = work;
                      options.on_progress = told;
                      return factorize_checkpoint(kStories, out, options).status();
                    });
}

TEST_F(Resumed, WorkOfOtherArgumentsIsNotGoneOnWith) {
  QuantizeOptions job;
  job.method = parse_quantize_method("gptq").value();
  job.documents = seen_;
  job.calibration = calibration_;
  job.work_directory = path("work");
  ASSERT_TRUE(quantize_checkpoint(kStories, path("a.gguf"), job).ok());
  job.damping = 0.5;
  ASSERT_TRUE(quantize_checkpoint(kStories, path("b.gguf"), job).ok());
  job.work_directory.clear();
  ASSERT_TRUE(quantize_checkpoint(kStories, path("c.gguf"), job).ok());
  EXPECT_NE(bytes(path("a.gguf")), bytes(path("b.gguf")));
  EXPECT_EQ(bytes(path("b.gguf")), bytes(path("c.gguf")));
}

}  // namespace
}  // namespace brisk
