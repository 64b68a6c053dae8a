#include "server/shim/hang_watch.h"

#include <dirent.h>
#include <unistd.h>

#include <cstdio>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/os/clock.h"
#include "common/os/file.h"
#include "common/os/process.h"
#include "server/shim/last_lines.h"

namespace yoke::shim {
namespace {

std::string ProcessName(int rank) { return rank < 0 ? "prepare" : absl::StrCat("rank", rank); }

std::vector<std::string> ThreadsOf(const std::string& process) {
  std::vector<std::string> threads;
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(opendir((process + "/task").c_str()), closedir);
  while (folder != nullptr) {
    const dirent* entry = readdir(folder.get());
    if (entry == nullptr) break;
    if (entry->d_name[0] != '.') threads.emplace_back(entry->d_name);
  }
  return threads;
}

std::string ProcText(pid_t pid) {
  const std::string process = absl::StrCat("/proc/", pid);
  std::string text =
      absl::StrCat("== status\n", os::ReadFile(process + "/status").value_or("unreadable\n"));
  for (const std::string& thread : ThreadsOf(process)) {
    const std::string folder = absl::StrCat(process, "/task/", thread);
    absl::StrAppend(&text, "== thread ", thread, " ", os::ReadFile(folder + "/comm").value_or("\n"),
                    "wchan ", os::ReadFile(folder + "/wchan").value_or("unreadable"), "\n",
                    os::ReadFile(folder + "/stack").value_or(""));
  }
  return text;
}

}  // namespace

HangWatch::HangWatch(const ipc::AttemptSpec& spec, bool prepare)
    : spec_(spec),
      prepare_(prepare),
      watchdog_(static_cast<int64_t>(spec.hang_seconds * 1000),
                /*cpu_counts=*/spec.backend != "nccl") {
  if (spec.hang_seconds <= 0) return;
  if (!prepare) {
    absl::StatusOr<ipc::ProgressFile> slots =
        ipc::ProgressFile::Create(absl::StrCat(spec.attempt_dir, "/", ipc::kProgressName),
                                  static_cast<int>(spec.ranks.size()));
    if (!slots.ok()) {
      std::fprintf(stderr, "yoke-shim: ranks that hang will not be noticed: %s\n",
                   std::string(slots.status().message()).c_str());
      return;
    }
    slots_.emplace(*std::move(slots));
  }
  watches_ = true;
}

std::optional<Hang> HangWatch::Look(const std::vector<pid_t>& pids) {
  const int64_t now = os::BootMilliseconds();
  if (!watches_ || now < next_ms_) return std::nullopt;
  next_ms_ = now + tick_ms();
  const int64_t ticks_per_second = sysconf(_SC_CLK_TCK);
  std::vector<Sight> sights;
  for (size_t i = 0; i < pids.size(); ++i) {
    if (pids[i] == 0) continue;
    const absl::StatusOr<os::ProcessStat> stat = os::ReadProcessStat(pids[i]);
    if (!stat.ok() || stat->state == 'Z') continue;  // its end is about to be seen
    Sight& sight = sights.emplace_back();
    sight.rank = prepare_ ? -1 : static_cast<int>(i);
    if (slots_) sight.progress = slots_->Read(static_cast<int>(i));
    sight.state = stat->state;
    sight.cpu_ms = stat->cpu_ticks * 1000 / ticks_per_second;
  }
  std::optional<Hang> hang = watchdog_.Look(now, sights);
  if (hang) WriteEvidence(sights, pids, *hang);
  return hang;
}

void HangWatch::WriteEvidence(const std::vector<Sight>& sights, const std::vector<pid_t>& pids,
                              const Hang& hang) const {
  const std::string folder = absl::StrCat(spec_.attempt_dir, "/hang");
  // What cannot be written is missing; the ranks are ended all the same.
  os::MakeDirs(folder).IgnoreError();
  nlohmann::json slots = nlohmann::json::array();
  for (const Sight& sight : sights) {
    const pid_t pid = pids[prepare_ ? 0 : static_cast<size_t>(sight.rank)];
    slots.push_back(
        {{"rank", sight.rank},
         {"pid", pid},
         {"phase", sight.progress.phase},
         {"step", sight.progress.step},
         {"reports", sight.progress.reports},
         {"silent_ms",
          sight.progress.boot_ms == 0 ? -1 : os::BootMilliseconds() - sight.progress.boot_ms},
         {"state", std::string(1, sight.state)},
         {"cpu_ms", sight.cpu_ms}});
    const std::string name = ProcessName(sight.rank),
                      log = absl::StrCat(spec_.attempt_dir, "/", name, ".log");
    os::AtomicWriteFile(absl::StrCat(folder, "/", name, ".proc"), ProcText(pid)).IgnoreError();
    os::AtomicWriteFile(absl::StrCat(folder, "/", name, ".log"),
                        absl::StrJoin(LastLines(log, kLastLines), "\n") + "\n")
        .IgnoreError();
  }
  const nlohmann::json all = {{"rank", hang.rank},
                              {"message", hang.message},
                              {"limit_seconds", spec_.hang_seconds},
                              {"ranks", slots}};
  ipc::WriteJsonFile(folder + "/slots.json", all).IgnoreError();
}

}  // namespace yoke::shim
