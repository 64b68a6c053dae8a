// What a fake worker shall do: a JSON object, in the environment variable YOKE_FAKE_WORKER itself,
// in the file it names, or else in RUN_DIR/fake.json. Everything has a default: one second of
// steps, a few log lines and events, a result, exit code 0. Members:
//   run_for           seconds of steps (1)
//   lines_per_second  steps, each with a log line and an event (20)
//   epochs            the steps are spread over (3)
//   end_at_step       ends at this step instead (0: never)
//   exit_code         at the end (0)
//   signal            dies of it at the end, by its default action (0: none)
//   hang              sleeps for ever instead of ending (false); still heeds SIGTERM
//   collective        a step ends only once every rank has begun it, as an all-reduce does (false)
//   stuck_at_step     does nothing any more at this step (0: never); heeds SIGTERM
//   spin_at_step      computes at this step and never reports again (0: never); heeds SIGTERM
//   phase             in which it does its steps ("train")
//   ignore_term       ignores SIGTERM (false); else SIGTERM saves and ends with 11
//   eat               allocates and writes memory at the end until no more is given: MiB that it
//                     may have beyond what it has then (0: never). std::bad_alloc ends it, uncaught
//   eat_in            joins this (version 1) memory cgroup first, whose limit then counts ("")
//   eat_caught        catches std::bad_alloc and ends as a worker does for want of memory (false)
//   fork_bomb         forks at the end, each child too, for ever; ends itself a second after no
//                     more could be forked (false)
//   stray             leaves a process in a session of its own: "marked" keeps the attempt's
//                     environment, "bare" has an empty one (""); its pid goes to RUN_DIR/stray.pid
//   lines             log lines written first, as they are ([])
//   error             {"reason", "message"}: an event before the end (none)
//   result            fields of the result event of rank 0; {} writes none
//   events            writes events at all (true)
//   witness           file outside the attempt (none) that gets "START JOB ATTEMPT RUN_ID RANK PID
//                     TICKS TIME", the time in microseconds, and "END JOB ATTEMPT RUN_ID RANK CODE"
//   checked           each step's line ends with the CRC-32 of what stands before it (false)
//   data              {"NAME": {…}}: members that replace the above where data is …/NAME.yaml
//   ranks             {"1": {…}}: members that replace the above for one rank
//   prepare           {…}: members of the prepare phase before several ranks, which otherwise does
//                     nothing and succeeds; none of the above hold for it, the witness neither
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/ipc/attempt_files.h"

namespace yoke::fake_worker {

inline constexpr char kScriptVariable[] = "YOKE_FAKE_WORKER";
inline constexpr int kPrepareRank = -1;

struct Script {
  double run_for = 1;
  double lines_per_second = 20;
  int epochs = 3;
  int end_at_step = 0;
  int exit_code = 0;
  int signal = 0;
  bool hang = false;
  bool collective = false;
  int stuck_at_step = 0;
  int spin_at_step = 0;
  std::string phase = "train";
  bool ignore_term = false;
  bool checked = false;
  int eat = 0;
  std::string eat_in;
  bool eat_caught = false;
  bool fork_bomb = false;
  std::string stray;
  std::vector<std::string> lines;
  std::string error_reason;
  std::string error_message;
  nlohmann::json result;
  bool events = true;
  std::string witness;
};

// The script of one rank, or of the prepare phase. InvalidArgument for a script that cannot be read.
absl::StatusOr<Script> ReadScript(const ipc::AttemptSpec& spec, int rank);

}  // namespace yoke::fake_worker
