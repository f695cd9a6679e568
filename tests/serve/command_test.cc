// `brisk serve` as a process: what it prints, what it refuses, how it stops.
#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <atomic>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "tests/serve/raw_client.h"

namespace brisk {
namespace {

using test::RawClient;
using testing::HasSubstr;

const std::string kBinary = std::string(BRISK_BINARY_DIR) + "/brisk";
const std::string kModel = std::string(BRISK_DATA_DIR) + "/models/stories260K/stories260K.bin";
const std::string kShippedModel = std::string(BRISK_SOURCE_DIR) + "/models/brisk-small";

// A child whose stdout and stderr come through one pipe.
class Process {
 public:
  explicit Process(std::vector<std::string> arguments) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return;
    std::vector<char*> argv;
    for (std::string& each : arguments) argv.push_back(each.data());
    argv.push_back(nullptr);
    pid_ = ::fork();
    if (pid_ == 0) {
      ::dup2(ends[1], 1);
      ::dup2(ends[1], 2);
      ::execv(argv[0], argv.data());
      ::_exit(127);
    }
    ::close(ends[1]);
    output_ = ends[0];
  }

  ~Process() {
    if (pid_ > 0) ::kill(pid_, SIGKILL);
    if (pid_ > 0) ::waitpid(pid_, nullptr, 0);
    ::close(output_);
  }

  std::string read_line() {
    std::string line;
    char c = 0;
    while (::read(output_, &c, 1) == 1 && c != '\n') line += c;
    return line;
  }

  void send(int signal) const { ::kill(pid_, signal); }

  // Whether it holds back a signal itself (man 5 proc: SigBlk), or has ended.
  bool holds(int signal) const {
    std::ifstream status(fmt::format("/proc/{}/status", pid_));
    for (std::string line; std::getline(status, line);) {
      if (!line.starts_with("SigBlk:")) continue;
      return (std::stoull(line.substr(7), nullptr, 16) >> (signal - 1) & 1) != 0;
    }
    return true;
  }

  // The exit code, or -1 when a signal ended it.
  int wait() {
    int status = 0;
    ::waitpid(pid_, &status, 0);
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

 private:
  pid_t pid_ = -1;
  int output_ = -1;
};

class ServeCommandTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(kBinary)) GTEST_SKIP() << kBinary << " is not built";
    if (!std::filesystem::exists(kModel)) GTEST_SKIP() << kModel << " is not here";
  }

  // The port in "serving NAME at http://HOST:PORT".
  static int port_of(const std::string& line) {
    EXPECT_THAT(line, HasSubstr("serving "));
    const size_t colon = line.rfind(':');
    return colon == std::string::npos ? 0 : std::atoi(line.c_str() + colon + 1);
  }
};

TEST_F(ServeCommandTest, ServesAndStopsCleanlyOnSigterm) {
  Process server({kBinary, "serve", kModel, "--port", "0", "--threads", "1"});
  const int port = port_of(server.read_line());
  RawClient client(port);
  client.post("/v1/completions", R"({"prompt":"Once upon a time","max_tokens":4,"temperature":0})");
  EXPECT_THAT(client.read_response().body, HasSubstr(", there was"));
  server.send(SIGTERM);
  EXPECT_EQ(server.wait(), 0);
  EXPECT_FALSE(RawClient(port).connected());
}

TEST_F(ServeCommandTest, HangupsWhileItLoadsAreKeptForLater) {
  Process server({kBinary, "serve", kShippedModel, "--port", "0", "--threads", "1"});
  while (!server.holds(SIGHUP)) std::this_thread::yield();
  std::atomic<bool> serves = false;
  std::thread hangups([&] {
    while (!serves) server.send(SIGHUP);
  });
  const int port = port_of(server.read_line());
  serves = true;
  hangups.join();
  RawClient client(port);
  client.get("/health");
  EXPECT_EQ(client.read_response().status, 200);
  server.send(SIGTERM);
  EXPECT_EQ(server.wait(), 0);
}

TEST_F(ServeCommandTest, LooksForModelsAgainOnSighup) {
  namespace fs = std::filesystem;
  const fs::path directory = testing::TempDir() + "brisk_models";
  fs::remove_all(directory);
  fs::create_directories(directory);
  fs::create_symlink(kShippedModel, directory / "one");
  Process server({kBinary, "serve", "--models", directory.string(), "--port", "0"});
  RawClient client(port_of(server.read_line()));
  const auto models = [&] {
    client.get("/v1/models");
    return client.read_response().body;
  };
  const auto becomes = [&](const std::string& name, bool is_there) {
    for (int i = 0; i < 500; ++i) {
      if ((models().find("\"id\":\"" + name + "\"") != std::string::npos) == is_there) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    return false;
  };
  EXPECT_TRUE(becomes("one", true));
  fs::create_symlink(kShippedModel, directory / "two");
  server.send(SIGHUP);
  EXPECT_TRUE(becomes("two", true));
  fs::remove(directory / "one");
  server.send(SIGHUP);
  EXPECT_TRUE(becomes("one", false));
  fs::remove(directory / "two");
  server.send(SIGHUP);
  EXPECT_THAT(server.read_line(), HasSubstr("holds no .gguf file"));
  EXPECT_THAT(models(), HasSubstr("two")) << "nothing changes";
  server.send(SIGTERM);
  EXPECT_EQ(server.wait(), 0);
  fs::remove_all(directory);
}

TEST_F(ServeCommandTest, FinishesARunningStreamBeforeItStops) {
  Process server({kBinary, "serve", kModel, "--port", "0", "--threads", "1"});
  RawClient client(port_of(server.read_line()));
  client.post("/v1/completions",
              R"({"prompt":"The","max_tokens":450,"ignore_eos":true,"stream":true})");
  EXPECT_TRUE(client.read_until("\"text\""));
  server.send(SIGINT);
  EXPECT_TRUE(client.read_until("data: [DONE]"));
  EXPECT_EQ(server.wait(), 0);
}

TEST_F(ServeCommandTest, AsksForTheKeyItWasGiven) {
  Process server({kBinary, "serve", kModel, "--port", "0", "--threads", "1", "--api-key", "k",
                  "--served-model-name", "a,b"});
  RawClient client(port_of(server.read_line()));
  client.get("/v1/models");
  EXPECT_EQ(client.read_response().status, 401);
  client.get("/v1/models/b", "Authorization: Bearer k\r\n");
  EXPECT_EQ(client.read_response().status, 200);
  client.get("/health");
  EXPECT_EQ(client.read_response().status, 200);
}

TEST_F(ServeCommandTest, ReadsKeysWithWeightsFromAFile) {
  const std::string path = testing::TempDir() + "brisk_keys.txt";
  std::ofstream(path) << "# of the team\n\nsk-alice 3\nsk-bob\n";
  Process server({kBinary, "serve", kModel, "--port", "0", "--threads", "1", "--api-keys", path});
  EXPECT_THAT(server.read_line(), HasSubstr("in plain text"));
  RawClient client(port_of(server.read_line()));
  client.get("/v1/models");
  EXPECT_EQ(client.read_response().status, 401);
  for (const char* key : {"sk-alice", "sk-bob"}) {
    client.get("/v1/models", fmt::format("Authorization: Bearer {}\r\n", key));
    EXPECT_EQ(client.read_response().status, 200);
  }
  for (const char* wrong : {"", "k 0\n", "k x\n", "k 1 2\n", "k 99999999\n"}) {
    std::ofstream(path) << wrong;
    Process refused({kBinary, "serve", kModel, "--port", "0", "--api-keys", path});
    EXPECT_THAT(refused.read_line(), HasSubstr("brisk_keys.txt")) << wrong;
    EXPECT_EQ(refused.wait(), 1) << wrong;
  }
}

TEST_F(ServeCommandTest, RefusesToListenToEverybodyWithoutAKey) {
  Process server({kBinary, "serve", kModel, "--host", "0.0.0.0", "--port", "0"});
  EXPECT_THAT(server.read_line(), HasSubstr("--api-key"));
  EXPECT_EQ(server.wait(), 1);
  Process open({kBinary, "serve", kModel, "--host", "0.0.0.0", "--port", "0", "--allow-no-key"});
  EXPECT_GT(port_of(open.read_line()), 0);
}

TEST_F(ServeCommandTest, SaysWhatItCannotLoad) {
  Process server({kBinary, "serve", "/no/such/model", "--port", "0"});
  EXPECT_THAT(server.read_line(), HasSubstr("/no/such/model"));
  EXPECT_EQ(server.wait(), 1);
}

}  // namespace
}  // namespace brisk
