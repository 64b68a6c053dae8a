#include "server/shim/attempt.h"

#include <sys/prctl.h>
#include <unistd.h>

#include <cstdio>

#include "absl/strings/str_cat.h"
#include "common/base/file_use.h"
#include "common/base/status_macros.h"
#include "common/os/clock.h"
#include "common/os/failpoint.h"
#include "server/shim/claim.h"
#include "server/shim/commands.h"
#include "server/shim/exit_writer.h"
#include "server/shim/last_lines.h"
#include "server/shim/oom.h"
#include "server/shim/outcome.h"
#include "server/shim/strays.h"

namespace yoke::shim {
namespace {

constexpr double kStrayLimitSeconds = 30;
constexpr double kDiskPatienceSeconds = 60;

int Complain(int code, const absl::Status& status) {
  std::fprintf(stderr, "yoke-shim: %s\n", std::string(status.message()).c_str());
  return code;
}

absl::StatusOr<ipc::AttemptSpec> ReadSpec(const std::string& path) {
  YOKE_ASSIGN_OR_RETURN(const nlohmann::json json, ipc::ReadJsonFile(path));
  YOKE_ASSIGN_OR_RETURN(ipc::AttemptSpec spec, ipc::AttemptSpecFromJson(json));
  if (spec.ranks.empty()) return absl::InvalidArgumentError(absl::StrCat(path, ": no ranks"));
  // Strays are found by it; an empty one would be found in processes that are not ours.
  if (spec.run_id.empty()) return absl::InvalidArgumentError(absl::StrCat(path, ": no run_id"));
  return spec;
}

int ClaimFailureCode(const absl::Status& status) {
  if (absl::IsFailedPrecondition(status)) return kLockHeld;
  if (absl::IsAlreadyExists(status)) return kAlreadyStarted;
  return kNotClaimed;
}

// `synced`: whether the claim became durable. The preparation, which changes nothing of the job,
// goes on beside that and beside setting room aside; ranks are started only after it.
History RunPhases(const ipc::AttemptSpec& spec, const ExitWriter& writer, Signals& signals,
                  Stop& stop, absl::Status& synced) {
  History history;
  const int64_t processes_max = UserProcessesMax(spec);
  const auto settle = [&] {
    synced = SyncClaim(spec);
    writer.Reserve();
  };
  stop.Look(/*signalled=*/false);
  if (ipc::PreparesApart(spec) && !stop.requested()) {
    history.prepare = RunPhase(spec, {PrepareCommand(spec, processes_max)}, signals, stop, settle);
  } else {
    synced = SyncClaim(spec);
  }
  const bool prepared = !history.prepare || history.prepare->members[0].exit.ok();
  if (prepared && synced.ok() && !stop.requested()) {
    history.ranks = RunPhase(spec, RankCommands(spec, processes_max), signals, stop, [&] {
      if (!history.prepare) writer.Reserve();
    });
  }
  YOKE_FAILPOINT("shim.sweep.before");
  history.strays = KillStrays(spec.run_id, spec.cgroup, kStrayLimitSeconds);
  return history;
}

std::string LogOf(const ipc::AttemptSpec& spec, int rank) {
  return absl::StrCat(spec.attempt_dir, "/", rank < 0 ? "prepare.log" : ipc::RankLogName(rank));
}

}  // namespace

int RunAttempt(const std::string& spec_path) {
  const double start_time = os::EpochSeconds();
  const absl::StatusOr<ipc::AttemptSpec> spec = ReadSpec(spec_path);
  if (!spec.ok()) return Complain(kUsage, spec.status());
  // From here on a request to stop waits to be read instead of ending the shim.
  absl::StatusOr<Signals> signals = Signals::Open();
  if (!signals.ok()) return Complain(kNotClaimed, signals.status());
  const absl::StatusOr<os::OfdLock> claim = ClaimAttempt(*spec);
  if (!claim.ok()) return Complain(ClaimFailureCode(claim.status()), claim.status());

  setsid();  // fails, rightly, if the daemon made the session already
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  os::SetOomScore(0, kShimOomScore);
  ExitWriter writer(spec->attempt_dir);

  Stop stop(absl::StrCat(spec->attempt_dir, "/stop.json"), spec->grace_seconds);
  absl::Status synced;
  const History history = RunPhases(*spec, writer, *signals, stop, synced);
  if (!synced.ok()) {
    DropClaim(*spec);
    return Complain(kNotClaimed, synced);
  }
  SweepSharedMemory();  // of ranks that were killed
  ipc::ExitRecord record = Judge(*spec, stop, history);
  if (record.has_first_failure) {
    record.last_lines = LastLines(LogOf(*spec, record.first_failure.rank), kLastLines);
  }
  record.start_time = start_time;
  record.end_time = os::EpochSeconds();
  const absl::Status written = writer.Write(record, kDiskPatienceSeconds);
  return written.ok() ? kDone : Complain(kExitNotWritten, written);
}

}  // namespace yoke::shim
