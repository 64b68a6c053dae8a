// What the launcher's thread knows about one attempt that has not ended.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/os/unique_fd.h"
#include "server/launcher/attempt_folder.h"
#include "server/launcher/ending.h"
#include "server/launcher/event_follower.h"

namespace yoke::launcher {

inline constexpr int64_t kNever = INT64_MAX;

struct LiveAttempt {
  LiveAttempt(std::string job, int attempt_number, std::string run, std::string dir)
      : job_id(std::move(job)), number(attempt_number), run_id(std::move(run)), folder(std::move(dir)), events(folder.Path(ipc::RankEventsName(0))) {}

  const std::string job_id;
  const int number;
  const std::string run_id;
  const AttemptFolder folder;
  EventFollower events;
  std::vector<std::string> device_uuids;
  bool alone = true;  // nobody else may be on them

  // The shim. `child`: this daemon started it and reaps it.
  pid_t shim_pid = 0;
  bool child = false;
  bool alive = false;  // it was seen to have claimed the attempt
  os::UniqueFd pidfd;
  int spawns = 0;
  std::string spawn_problem;  // how the last spawned shim ended
  int refusals = 0;           // how often the machine had nothing left to start it with
  int64_t spawn_due_ms = 0;   // not tried again before; os::BootMilliseconds

  bool watched = false;  // by inotify
  bool running_told = false;
  bool pid_told = false;
  int64_t tell_due_ms = 0;  // its pid and that it runs, not before
  std::optional<ipc::StopRequest> stop;
  bool stop_sent = false;
  int64_t grace_ends_ms = kNever;  // of the stop that was sent

  bool report_dirty = false;    // events were read that the store does not show yet
  int64_t report_due_ms = 0;    // not before
  int64_t look_due_ms = kNever;  // look again, whatever happens

  // Set once it is over: its processes are being swept.
  std::optional<Observation> over;
  std::optional<Ending> over_without_record;
  int64_t sweep_deadline_ms = 0;
  std::optional<std::string> cgroup;  // empty: none; nothing: not known yet
  int64_t emptied_ms = 0;  // when the last of its processes was gone; 0: not yet
};

}  // namespace yoke::launcher
