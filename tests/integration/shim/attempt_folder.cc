#include "tests/integration/shim/attempt_folder.h"

#include <signal.h>
#include <stdlib.h>

#include <cstdlib>
#include <filesystem>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "common/os/file.h"
#include "gtest/gtest.h"
#include "tests/integration/shim/until.h"
#include "tests/support/signal_one.h"

namespace yoke {
namespace {

std::string BinFolder() {
  const char* folder = std::getenv("YOKE_BIN_DIR");
  return folder == nullptr ? "." : folder;
}

}  // namespace

AttemptFolder::AttemptFolder(int ranks, const nlohmann::json& script) {
  root_ = (std::filesystem::temp_directory_path() / "yoke-shim-XXXXXX").string();
  if (mkdtemp(root_.data()) == nullptr) std::abort();
  spec.job = "jobs/test";
  spec.run_id = "shim-test-" + std::filesystem::path(root_).filename().string();
  spec.attempt_dir = root_ + "/attempt";
  spec.run_dir = root_ + "/run";
  spec.cache_dir = root_ + "/cache";
  spec.worker = BinFolder() + "/fake_worker";
  spec.grace_seconds = 1;
  for (int rank = 0; rank < ranks; ++rank) {
    spec.ranks.push_back({{absl::StrCat("cpu:", rank)}, 1});
  }
  std::filesystem::create_directories(spec.attempt_dir);
  std::filesystem::create_directories(spec.run_dir);
  nlohmann::json whole = script;
  whole["witness"] = witness();
  script_ = whole.dump();
}

AttemptFolder::~AttemptFolder() {
  for (const pid_t pid : os::FindProcessesWithEnv("YOKE_RUN_ID=" + spec.run_id)) {
    SignalOne(pid, SIGKILL);
  }
  std::error_code ignored;
  std::filesystem::remove_all(root_, ignored);
}

pid_t AttemptFolder::Start() {
  const std::string path = spec.attempt_dir + "/spec.json";
  EXPECT_TRUE(ipc::WriteJsonFile(path, ipc::ToJson(spec)).ok());
  os::SpawnOptions options;
  options.argv = {BinFolder() + "/yoke-shim", "--spec", path};
  options.env = os::CurrentEnv();
  os::SetEnv(options.env, "YOKE_FAKE_WORKER", script_);
  const absl::StatusOr<pid_t> pid = os::Spawn(options);
  EXPECT_TRUE(pid.ok()) << pid.status();
  return pid.value_or(0);
}

int AttemptFolder::Wait(pid_t shim) {
  const absl::StatusOr<os::ExitStatus> exit = os::Wait(shim);
  EXPECT_TRUE(exit.ok()) << exit.status();
  return exit.ok() && exit->signal == 0 ? exit->exit_code : -1;
}

ipc::ExitRecord AttemptFolder::Run() {
  EXPECT_EQ(Wait(Start()), 0);
  return ReadExit();
}

void AttemptFolder::AskToStop(pid_t shim, const std::string& reason, double grace_seconds) {
  const ipc::StopRequest request = {reason, grace_seconds};
  EXPECT_TRUE(ipc::WriteJsonFile(spec.attempt_dir + "/stop.json", ipc::ToJson(request)).ok());
  SignalOne(shim, SIGTERM);
}

ipc::ExitRecord AttemptFolder::ReadExit() const {
  const absl::StatusOr<nlohmann::json> json = ipc::ReadJsonFile(spec.attempt_dir + "/exit.json");
  EXPECT_TRUE(json.ok()) << json.status();
  if (!json.ok()) return {};
  const absl::StatusOr<ipc::ExitRecord> record = ipc::ExitRecordFromJson(*json);
  EXPECT_TRUE(record.ok()) << record.status();
  return record.value_or(ipc::ExitRecord());
}

std::string AttemptFolder::ReadText(const std::string& name) const {
  return os::ReadFile(spec.attempt_dir + "/" + name).value_or("");
}

bool AttemptFolder::Has(const std::string& name) const {
  return os::FileExists(spec.attempt_dir + "/" + name);
}

std::vector<pid_t> AttemptFolder::Processes() const {
  return os::FindProcessesWithEnv("YOKE_RUN_ID=" + spec.run_id);
}

bool AttemptFolder::WaitForLogs(int ranks) const {
  return Until(5, [&] {
    for (int rank = 0; rank < ranks; ++rank) {
      if (ReadText(ipc::RankLogName(rank)).empty()) return false;
    }
    return true;
  });
}

pid_t AttemptFolder::PidOfRank(int wanted) const {
  std::istringstream lines(os::ReadFile(witness()).value_or(""));
  std::string word, job, run_id;
  int attempt = 0, rank = 0;
  pid_t pid = 0;
  int64_t ticks = 0, time = 0;
  while (lines >> word >> job >> attempt >> run_id >> rank) {
    if (word != "START") {
      lines >> pid;
      continue;
    }
    lines >> pid >> ticks >> time;
    if (rank == wanted) return pid;
  }
  return 0;
}

}  // namespace yoke
