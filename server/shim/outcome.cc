#include "server/shim/outcome.h"

#include <string.h>

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"

namespace yoke::shim {
namespace {

const char* Meaning(int exit_code) {
  switch (exit_code) {
    case ipc::kWorkerError:
      return "error";
    case ipc::kWorkerBadInput:
      return "bad input";
    case ipc::kWorkerStopped:
      return "stopped, though nobody asked the attempt to stop";
    case ipc::kWorkerCudaUnavailable:
      return "CUDA is not available";
    case ipc::kWorkerOutOfMemory:
      return "out of memory";
    case ipc::kWorkerDiskFull:
      return "disk full";
    case kNotStarted:
      return "the worker could not be started";
    default:
      return nullptr;
  }
}

std::string NameOf(int rank) {
  return rank < 0 ? std::string("The preparation") : absl::StrCat("Rank ", rank);
}

ipc::RankExit ToRankExit(const Ended& member) {
  return {member.rank, member.exit.exit_code, member.exit.signal, member.exit.max_rss_bytes};
}

// "ran out of memory and was killed by signal 9 (SIGKILL); its resident memory was at most 312 MiB".
std::string DescribeMemory(const os::ExitStatus& exit) {
  return absl::StrCat("ran out of memory and ", Describe(exit), "; its resident memory was at most ",
                      exit.max_rss_bytes >> 20, " MiB");
}

bool AllOk(const PhaseResult& phase) {
  return std::all_of(phase.members.begin(), phase.members.end(),
                     [](const Ended& member) { return member.started && member.exit.ok(); });
}

void Fail(const PhaseResult& phase, ipc::ExitRecord& record) {
  const Ended& cause = phase.members[*phase.first_failure];
  record.outcome = "failed";
  record.has_first_failure = true;
  record.first_failure = ToRankExit(cause);
  if (!phase.start_error.empty()) {
    record.reason = "SPAWN_FAILED";
    record.message =
        absl::StrCat(NameOf(cause.rank), " could not be started: ", phase.start_error, ".");
  } else if (!phase.hang.empty()) {
    record.reason = "HANG";
    record.message = absl::StrCat(phase.hang, phase.members.size() == 1 ? " It was ended" : " All ranks were ended",
                                  "; what they were doing is in the attempt's folder hang.");
  } else {
    if (cause.out_of_memory) record.reason = "OUT_OF_MEMORY";
    if (cause.exit.exit_code == kNotStarted) record.reason = "SPAWN_FAILED";
    const bool alone = cause.rank < 0 || phase.members.size() == 1;
    record.message = absl::StrCat(NameOf(cause.rank), " ",
                                  cause.out_of_memory ? DescribeMemory(cause.exit) : Describe(cause.exit),
                                  alone ? "." : "; the other ranks were stopped.");
  }
}

void SayStopped(const Stop& stop, const History& history, ipc::ExitRecord& record) {
  record.outcome = stop.reason() == "time_limit" ? "timed_out" : "cancelled";
  record.message = stop.reason() == "time_limit" ? "Stopped at its time limit."
                   : stop.reason() == "signal"   ? "Stopped by a signal to its supervisor."
                                                 : "Stopped as asked.";
  for (const std::optional<PhaseResult>* phase : {&history.prepare, &history.ranks}) {
    if (!phase->has_value()) continue;
    for (const Ended& member : (*phase)->members) {
      if (!member.killed) continue;
      absl::StrAppend(&record.message, " ", NameOf(member.rank), " did not stop within ",
                      stop.grace_seconds(), " s and was killed.");
    }
  }
}

}  // namespace

std::string Describe(const os::ExitStatus& exit) {
  if (exit.signal != 0) {
    const char* name = sigabbrev_np(exit.signal);
    return absl::StrCat("was killed by signal ", exit.signal,
                        name == nullptr ? "" : absl::StrCat(" (SIG", name, ")"));
  }
  const char* meaning = Meaning(exit.exit_code);
  return absl::StrCat("ended with exit code ", exit.exit_code,
                      meaning == nullptr ? "" : absl::StrCat(" (", meaning, ")"));
}

ipc::ExitRecord Judge(const ipc::AttemptSpec& spec, const Stop& stop, const History& history) {
  ipc::ExitRecord record;
  record.run_id = spec.run_id;
  if (history.ranks) {
    for (const Ended& member : history.ranks->members) {
      if (!member.started) continue;
      record.ranks.push_back(ToRankExit(member));
      record.peak_rss_bytes += member.exit.max_rss_bytes;
    }
  }
  record.killed_strays = history.strays.killed;
  record.none_left = history.strays.none_left;

  if (history.prepare && history.prepare->first_failure) {
    Fail(*history.prepare, record);
  } else if (history.ranks && history.ranks->first_failure) {
    Fail(*history.ranks, record);
  } else if (history.ranks && AllOk(*history.ranks)) {
    record.outcome = "succeeded";
    record.message = "All ranks ended well.";
  } else {
    SayStopped(stop, history, record);
  }
  if (history.strays.left > 0) {
    absl::StrAppend(&record.message, " ", history.strays.left,
                    " of its processes could not be killed.");
  }
  return record;
}

}  // namespace yoke::shim
