#include "tests/integration/worker/attempt.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/os/clock.h"
#include "common/os/file.h"
#include "gtest/gtest.h"

namespace yoke::worker {

using nlohmann::json;

Attempt::Attempt(const std::string& folder, const std::vector<std::string>& devices) {
  spec.job = "jobs/test";
  spec.run_id = "test-run";
  spec.attempt_dir = folder + "/attempt";
  spec.run_dir = folder + "/run";
  spec.cache_dir = folder + "/state/cache";
  spec.worker = absl::StrCat(std::getenv("YOKE_BIN_DIR"), "/yoke-worker");
  for (const std::string& device : devices) {
    spec.ranks.push_back({{device}, 1});
    spec.device_words.push_back("CPU slot " + device.substr(device.find(':') + 1));
  }
  spec.spec = {{"device", "0"}};
}

Attempt::~Attempt() {
  for (const pid_t pid : pids_) {
    if (pid == 0) continue;
    kill(pid, SIGKILL);
    os::Wait(pid).status().IgnoreError();
  }
}

json Attempt::Resolved(const std::string& message, const json& changes) {
  static const auto messages = ReadProtoMessages(YOKE_SPEC_PROTO);
  json resolved = ResolvedMessage(messages.at(message));
  resolved.update(changes);
  return resolved;
}

void Attempt::Save() const {
  for (const std::string& folder : {spec.attempt_dir, spec.run_dir, spec.cache_dir}) {
    ASSERT_TRUE(os::MakeDirs(folder).ok());
  }
  ASSERT_TRUE(ipc::WriteJsonFile(spec.attempt_dir + "/spec.json", ipc::ToJson(spec)).ok());
}

pid_t Attempt::Start(int rank, const std::vector<std::string>& flags, const std::string& out,
                     const std::string& err) const {
  const auto out_fd = os::Open(out, O_WRONLY | O_CREAT | O_APPEND);
  const auto err_fd = os::Open(err, O_WRONLY | O_CREAT | O_APPEND);
  os::SpawnOptions options;
  options.argv = {spec.worker};
  options.argv.insert(options.argv.end(), flags.begin(), flags.end());
  options.env = os::CurrentEnv();
  os::SetEnv(options.env, "OMP_NUM_THREADS", "1");
  if (rank >= 0) {
    os::SetEnv(options.env, "RANK", std::to_string(rank));
    os::SetEnv(options.env, "LOCAL_RANK", std::to_string(rank));
    os::SetEnv(options.env, "WORLD_SIZE", std::to_string(spec.ranks.size()));
  }
  options.stdout_fd = out_fd->get();
  options.stderr_fd = err_fd->get();
  options.cwd = spec.attempt_dir;
  const auto pid = os::Spawn(options);
  EXPECT_TRUE(pid.ok()) << pid.status();
  return pid.ok() ? *pid : 0;
}

void Attempt::StartRanks(int count) {
  Save();
  if (count < 0) count = static_cast<int>(spec.ranks.size());
  for (int rank = 0; rank < count; ++rank) {
    const std::string log = absl::StrCat(spec.attempt_dir, "/", ipc::RankLogName(rank));
    pids_.push_back(Start(rank, {"--spec", spec.attempt_dir + "/spec.json"}, log, log));
  }
}

void Attempt::Signal(int rank, int signal) { kill(pids_[static_cast<size_t>(rank)], signal); }

std::vector<int> Attempt::Wait(int seconds) {
  const int64_t deadline = os::BootMilliseconds() + seconds * 1000;
  std::vector<int> codes(pids_.size(), -SIGKILL);
  for (size_t rank = 0; rank < pids_.size(); ++rank) {
    while (pids_[rank] != 0) {
      const auto exit = os::TryWait(pids_[rank]);
      if (exit.ok() && exit->has_value()) {
        pids_[rank] = 0;
        codes[rank] = (*exit)->signal != 0 ? -(*exit)->signal : (*exit)->exit_code;
      } else if (os::BootMilliseconds() > deadline) {
        ADD_FAILURE() << "rank " << rank << " still runs after " << seconds << " s\n"
                      << Log(static_cast<int>(rank));
        kill(pids_[rank], SIGKILL);
        os::Wait(pids_[rank]).status().IgnoreError();
        pids_[rank] = 0;
      } else {
        usleep(20'000);
      }
    }
  }
  return codes;
}

Attempt::Answer Attempt::Prepare() {
  Save();
  const std::string out = spec.attempt_dir + "/prepare.out",
                    err = spec.attempt_dir + "/prepare.err";
  const pid_t pid = Start(-1, {"--prepare", "--spec", spec.attempt_dir + "/spec.json"}, out, err);
  Answer answer;
  answer.exit_code = os::Wait(pid)->exit_code;
  const std::string text = os::ReadFile(out).value();
  answer.json =
      json::parse(text, nullptr, false);  // discarded unless it is one object and nothing else
  answer.talk = os::ReadFile(err).value();
  return answer;
}

std::string Attempt::Log(int rank) const {
  return os::ReadFile(absl::StrCat(spec.attempt_dir, "/", ipc::RankLogName(rank))).value_or("");
}

std::vector<ipc::ParsedEvent> Attempt::Events(int rank, const std::string& type) const {
  std::vector<ipc::ParsedEvent> events;
  const std::string text =
      os::ReadFile(absl::StrCat(spec.attempt_dir, "/", ipc::RankEventsName(rank))).value_or("");
  for (const absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    auto event = ipc::ParseEvent({line.data(), line.size()});
    if (event.ok() && (type.empty() || event->type == type)) events.push_back(*event);
  }
  return events;
}

json Attempt::Result() const {
  const auto results = Events(0, "result");
  return results.empty() ? json() : results.back().fields;
}

bool Attempt::Await(const std::string& type, int seconds) const {
  const int64_t deadline = os::BootMilliseconds() + seconds * 1000;
  while (os::BootMilliseconds() < deadline) {
    if (!Events(0, type).empty()) return true;
    usleep(20'000);
  }
  return false;
}

}  // namespace yoke::worker
