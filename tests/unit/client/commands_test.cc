// The real program `yoke` against a fake server: what is on stdout, what on stderr, and the exit code.
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/unit/client/fake_daemon.h"

namespace yoke::client {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

struct Result {
  int code;
  std::string out, err;
};

class Yoke : public ::testing::Test {
 protected:
  Yoke() {
    std::string pattern = (fs::temp_directory_path() / "yoke-cli.XXXXXX").string();
    dir_ = mkdtemp(pattern.data());
    std::ofstream(dir_ / "set.yaml") << "names: [a]\n";
    daemon_.Start();
  }
  ~Yoke() override { fs::remove_all(dir_); }

  pid_t Start(std::vector<std::string> words) {
    const char* bin = getenv("YOKE_BIN_DIR");
    std::vector<std::string> command = {bin == nullptr ? "build/dev-daemon/bin/yoke" : std::string(bin) + "/yoke"};
    command[0] = fs::absolute(command[0]).string();
    command.insert(command.end(), words.begin(), words.end());
    const std::string out = dir_ / "out", err = dir_ / "err", cwd = dir_, server = daemon_.address();
    const pid_t pid = fork();
    if (pid != 0) return pid;
    if (chdir(cwd.c_str()) != 0 || freopen(out.c_str(), "w", stdout) == nullptr || freopen(err.c_str(), "w", stderr) == nullptr) _exit(99);
    setenv("YOKE_SERVER", server.c_str(), 1);
    std::vector<char*> arguments;
    for (std::string& word : command) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    execv(arguments[0], arguments.data());
    _exit(98);
  }

  Result Finish(pid_t pid) {
    int status = 0;
    waitpid(pid, &status, 0);
    return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), Read("out"), Read("err")};
  }
  Result Run(std::vector<std::string> words) { return Finish(Start(std::move(words))); }

  std::string Read(const std::string& name) {
    std::stringstream text;
    text << std::ifstream(dir_ / name).rdbuf();
    return text.str();
  }

  void AddJob(const std::string& id, v1::Job::State state, v1::JobReason::Code reason = v1::JobReason::CODE_UNSPECIFIED) {
    v1::Job job;
    job.set_name("jobs/" + id);
    job.set_state(state);
    job.set_reason(reason);
    daemon_.AddJob(job);
  }

  FakeDaemon daemon_;
  fs::path dir_;
};

TEST_F(Yoke, SubmittingPrintsTheBareIdAndTalksOnStderr) {
  const Result result = Run({"train", "data=set.yaml", "model=yolov8n.yaml", "--name", "night"});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.out, ::testing::MatchesRegex("[0-9a-f]{8}\n"));
  EXPECT_THAT(result.err, AllOf(HasSubstr("Devices: CPU slot 0"), HasSubstr("rounded up to 96"), HasSubstr("yoke logs -f ")));
  MutexLock lock(daemon_.world().mutex);
  ASSERT_EQ(daemon_.world().creates.size(), 2u);
  EXPECT_TRUE(daemon_.world().creates[0].validate_only());
  EXPECT_EQ(daemon_.world().creates[1].spec().train().data(), (dir_ / "set.yaml").string());
  EXPECT_EQ(daemon_.world().creates[1].display_name(), "night");
}

TEST_F(Yoke, NoCheckAndDryRun) {
  EXPECT_EQ(Run({"train", "data=set.yaml", "--no-check"}).code, 0);
  const Result plan = Run({"train", "data=set.yaml", "epochs=3", "--dry-run", "-o", "json"});
  EXPECT_EQ(plan.code, 0);
  EXPECT_EQ(nlohmann::json::parse(plan.out)["spec"]["train"]["epochs"], 3);
  const Result text = Run({"train", "data=set.yaml", "epochs=3", "warmup_epochs=2", "--dry-run"});
  EXPECT_THAT(text.out, AllOf(HasSubstr("  epochs: 3\n"), HasSubstr("  warmup_epochs: 2\n")));
  MutexLock lock(daemon_.world().mutex);
  ASSERT_EQ(daemon_.world().creates.size(), 3u);
  EXPECT_FALSE(daemon_.world().creates[0].validate_only());
  EXPECT_TRUE(daemon_.world().creates[2].validate_only());
}

TEST_F(Yoke, WhatTheCheckRefusesIsNotSubmitted) {
  {
    MutexLock lock(daemon_.world().mutex);
    daemon_.world().check = grpc::Status(grpc::INVALID_ARGUMENT, "GPU 5 not available. Only 4 GPU(s) detected.");
  }
  const Result result = Run({"train", "data=set.yaml", "device=5"});
  EXPECT_EQ(result.code, 2);
  EXPECT_EQ(result.out, "");
  EXPECT_THAT(result.err, HasSubstr("GPU 5 not available. Only 4 GPU(s) detected."));
  MutexLock lock(daemon_.world().mutex);
  EXPECT_EQ(daemon_.world().creates.size(), 1u);
}

TEST_F(Yoke, WaitingAndFollowingExitAsTheJobDid) {
  const Result fine = Run({"train", "data=set.yaml", "--wait", "-o", "json"});
  EXPECT_EQ(fine.code, 0) << fine.err;
  EXPECT_EQ(nlohmann::json::parse(fine.out)["state"], "SUCCEEDED");
  const Result failed = Run({"train", "data=set.yaml", "--wait", "name=fails"});
  EXPECT_EQ(failed.code, 10);
  EXPECT_THAT(failed.err, HasSubstr("failed"));
  {
    MutexLock lock(daemon_.world().mutex);
    daemon_.world().log = "Devices: CPU slot 0\nhello\n  1/2  0.5\nworld";
  }
  const Result followed = Run({"train", "data=set.yaml", "--follow", "--name", "fails"});
  EXPECT_EQ(followed.code, 10);
  EXPECT_THAT(followed.out, ::testing::MatchesRegex("[0-9a-f]{8}\n"));
  EXPECT_THAT(followed.err, AllOf(HasSubstr("hello\n  1/2  0.5\nworld\n"), Not(HasSubstr("epoch 1/2"))));
  const size_t banner = followed.err.find("Devices: CPU slot 0\n");
  ASSERT_NE(banner, std::string::npos);
  EXPECT_EQ(followed.err.find("Devices: CPU slot 0\n", banner + 1), std::string::npos) << "the plan said it already";
}

TEST_F(Yoke, CtrlCDetachesAndNeverCancels) {
  AddJob("abc", v1::Job::RUNNING);
  for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{{"logs", "abc", "-f"}, {"job", "wait", "abc"}}) {
    const pid_t pid = Start(words);
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    kill(pid, SIGINT);
    EXPECT_EQ(Finish(pid).code, 130) << words[0];
  }
}

TEST_F(Yoke, JobsAndTheirExitCodes) {
  AddJob("run", v1::Job::RUNNING);
  AddJob("good", v1::Job::SUCCEEDED);
  AddJob("bad", v1::Job::FAILED, v1::JobReason::RANK_FAILED);
  AddJob("gone", v1::Job::FAILED, v1::JobReason::LOST);
  AddJob("stop", v1::Job::CANCELLED);
  EXPECT_EQ(Run({"job", "wait", "good"}).code, 0);
  EXPECT_EQ(Run({"job", "wait", "bad"}).code, 10);
  EXPECT_EQ(Run({"job", "wait", "jobs/stop"}).code, 11);
  EXPECT_EQ(Run({"job", "wait", "gone"}).code, 12);
  EXPECT_EQ(Run({"job", "wait", "good", "stop", "bad"}).code, 11);
  EXPECT_EQ(Run({"job", "wait", "run", "--timeout", "100ms"}).code, 7);
  EXPECT_EQ(Run({"job", "show", "none"}).code, 3);
  EXPECT_EQ(Run({"job", "cancel", "good"}).code, 6);
  EXPECT_EQ(Run({"job", "cancel", "run", "--grace", "1s"}).code, 0);
  EXPECT_EQ(nlohmann::json::parse(Run({"jobs", "-o", "json"}).out)["jobs"].size(), 5u);
  EXPECT_EQ(nlohmann::json::parse(Run({"job", "show", "good", "--json"}).out)["name"], "jobs/good");
  EXPECT_EQ(Run({"jobs", "-o", "name"}).out, "bad\ngone\ngood\nrun\nstop\n");
  EXPECT_THAT(Run({"jobs"}).out, HasSubstr("RUNNING"));
}

TEST_F(Yoke, LogsArePrintedAsTheyWereWritten) {
  AddJob("abc", v1::Job::SUCCEEDED);
  {
    MutexLock lock(daemon_.world().mutex);
    daemon_.world().log = "one\ntwo\nthree\n";
    daemon_.world().cut_after = 1;
  }
  const Result result = Run({"logs", "abc", "-f"});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.out, "one\ntwo\nthree\n");
}

TEST_F(Yoke, MetricsAsTableAndLines) {
  AddJob("abc", v1::Job::SUCCEEDED);
  EXPECT_THAT(Run({"metrics", "abc"}).out, ::testing::ContainsRegex("EPOCH.*\n1/2"));
  EXPECT_EQ(nlohmann::json::parse(Run({"metrics", "abc", "-o", "jsonl"}).out)["fields"]["epochs"], 2);
}

TEST_F(Yoke, DevicesAndCheck) {
  const nlohmann::json devices = nlohmann::json::parse(Run({"devices", "-o", "json"}).out);
  EXPECT_EQ(devices.size(), 2u);
  EXPECT_EQ(devices["devices"][0]["uuid"], "cpu:0");
  EXPECT_EQ(devices["choices"][0]["label"], "CPU");
  EXPECT_EQ(Run({"check"}).code, 0);
}

TEST_F(Yoke, ACheckThatFailsExitsWithOne) {
  {
    MutexLock lock(daemon_.world().mutex);
    daemon_.world().check = grpc::Status(grpc::INTERNAL, "x");
  }
  EXPECT_EQ(Run({"check"}).code, 1);
}

TEST_F(Yoke, UsageErrorsExitWithTwoAndSayWhy) {
  EXPECT_THAT(Run({"jbos"}).err, HasSubstr("did you mean 'jobs'"));
  for (const std::vector<std::string>& words :
       std::vector<std::vector<std::string>>{{},
                                             {"jbos"},
                                             {"train", "epoch=3"},
                                             {"jobs", "--nonsense"},
                                             {"jobs", "-o", "xml"},
                                             {"jobs", "--color", "pink"},
                                             {"job"},
                                             {"logs"},
                                             {"help", "nothing"},
                                             {"help", "keys", "nothing"},
                                             {"completion", "csh"},
                                             {"train", "data=set.yaml", "--priority", "1000"},
                                             {"jobs", "--server", "tls://x:1"}}) {
    const Result result = Run(words);
    EXPECT_EQ(result.code, 2) << ::testing::PrintToString(words) << result.err;
    EXPECT_NE(result.err, "") << ::testing::PrintToString(words);
  }
  EXPECT_EQ(Run({"train", "data=nowhere.yaml"}).code, 3);
  EXPECT_EQ(Run({"--help"}).code, 0);
  EXPECT_THAT(Run({"train", "--help"}).out, HasSubstr("warmup_bias_lr"));
  EXPECT_THAT(Run({"help", "exit-codes"}).out, HasSubstr("130"));
  EXPECT_THAT(Run({"help", "job", "wait"}).out, HasSubstr("--timeout"));
}

TEST_F(Yoke, NoServerExitsWithFive) {
  daemon_.Stop();
  const Result result = Run({"jobs"});
  EXPECT_EQ(result.code, 5);
  EXPECT_THAT(result.err, HasSubstr("yoked &"));
}

TEST_F(Yoke, ProjectGetsALinkToTheRunFolder) {
  const Result first = Run({"train", "data=set.yaml", "project=runs", "name=night"});
  EXPECT_EQ(first.code, 0) << first.err;
  EXPECT_TRUE(fs::is_symlink(fs::symlink_status(dir_ / "runs" / "night"))) << first.err;
  Run({"train", "data=set.yaml", "project=runs", "name=night"});
  EXPECT_TRUE(fs::is_symlink(fs::symlink_status(dir_ / "runs" / "night2")));
}

}  // namespace
}  // namespace yoke::client
