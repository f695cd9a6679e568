// Runs that were interrupted.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <fstream>

#include "base/status.h"
#include "tests/train/small_run.h"

namespace brisk::train {
namespace {

struct TinyRun {
  std::unique_ptr<LlamaModel> model;
  TrainSettings settings;
  std::unique_ptr<Trainer> trainer;

  TinyRun(SmallTraining& training, const std::string& directory, Json shared = Json::object()) {
    model = LlamaModel::create(tiny_shape(), ComputeType::kF32, 7, 0.05);
    settings.optimizer.steps = 12;
    settings.optimizer.average_decay = 0.9;
    settings.batch = 4;
    settings.micro_batch = 2;
    settings.checkpoint_every = 4;
    settings.log_every = 1;
    std::filesystem::create_directories(directory);
    training.stream->seek({});
    trainer = std::make_unique<Trainer>(Trainer::Parts{.model = model.get(),
                                                       .objective = &training.objective,
                                                       .stream = training.stream.get(),
                                                       .validation = nullptr,
                                                       .run = directory,
                                                       .settings = std::move(shared)},
                                        settings);
  }
};

void expect_equal_weights(LlamaModel& a, LlamaModel& b) {
  const std::vector<Weight*> left = a.weights(), right = b.weights();
  for (size_t i = 0; i < left.size(); ++i) {
    EXPECT_TRUE(left[i]->master.equal(right[i]->master)) << left[i]->parts[0].name;
  }
}

TEST(Resume, GoesOnBitForBit) {
  const TestDirectory directory("resume");
  SmallTraining training(directory);
  TinyRun whole(training, directory / "whole");
  ASSERT_TRUE(whole.trainer->run(nullptr).ok());

  // As after a crash: the last step is gone, and only a part of another was written.
  std::filesystem::copy(directory / "whole", directory / "cut",
                        std::filesystem::copy_options::recursive);
  std::filesystem::remove_all(directory / "cut/checkpoints/step-00000012");
  std::filesystem::create_directories(directory / "cut/checkpoints/step-00000012.part");
  TinyRun cut(training, directory / "cut");
  ASSERT_TRUE(cut.trainer->resume().ok());
  ASSERT_TRUE(cut.trainer->run(nullptr).ok());
  expect_equal_weights(*whole.model, *cut.model);
  for (size_t i = 0; i < whole.trainer->optimizer().moments().size(); ++i) {
    EXPECT_TRUE(whole.trainer->optimizer().moments()[i].average.equal(
        cut.trainer->optimizer().moments()[i].average));
  }
}

TEST(Resume, ADamagedCheckpointIsPassedOver) {
  const TestDirectory directory("damaged");
  SmallTraining training(directory);
  TinyRun whole(training, directory / "run");
  ASSERT_TRUE(whole.trainer->run(nullptr).ok());
  const std::string newest = steps_of(directory / "run").back();
  std::ofstream(newest + "/weights.safetensors", std::ios::app) << "x";
  const auto found = find_step(directory / "run");
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->state.step, 8);
  EXPECT_EQ(found->damaged, std::vector<std::string>{newest});
}

TEST(Resume, OtherSettingsAreRefusedByName) {
  const TestDirectory directory("settings");
  SmallTraining training(directory);
  TinyRun first(training, directory / "run", {{"lr", 0.1}});
  ASSERT_TRUE(first.trainer->run(nullptr).ok());
  TinyRun second(training, directory / "run", {{"lr", 0.2}});
  const absl::Status status = second.trainer->resume();
  EXPECT_NE(message_of(status).find("lr = 0.1, not 0.2"), std::string::npos) << status;
}

TEST(Resume, AFullDiskKeepsTheLastCheckpointAndSaysSo) {
  const TestDirectory directory("full");
  SmallTraining training(directory);
  TinyRun run(training, directory / "run");
  ASSERT_TRUE(run.trainer->run(nullptr).ok());
  const auto before = steps_of(directory / "run");
  rlimit old = {};
  ::getrlimit(RLIMIT_FSIZE, &old);
  const rlimit small = {.rlim_cur = 20000, .rlim_max = old.rlim_max};
  ::signal(SIGXFSZ, SIG_IGN);
  ::setrlimit(RLIMIT_FSIZE, &small);
  RunState state;
  state.step = 16;
  const absl::Status status =
      save_step(directory / "run", state, run.model->weights(), run.trainer->optimizer(), 2);
  ::setrlimit(RLIMIT_FSIZE, &old);
  EXPECT_NE(message_of(status).find("the last good one is " + before.back()), std::string::npos)
      << status;
  EXPECT_EQ(steps_of(directory / "run"), before);
}

}  // namespace
}  // namespace brisk::train
