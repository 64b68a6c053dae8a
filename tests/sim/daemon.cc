// The daemon of a World: what launcher and dispatcher do, step by step, by the functions they use.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "google/protobuf/util/time_util.h"
#include "server/daemon/dispatcher.h"
#include "server/jobs/array.h"
#include "server/jobs/ids.h"
#include "server/jobs/state_machine.h"
#include "server/jobs/transitions.h"
#include "tests/sim/world.h"

namespace yoke::sim {
namespace {

using google::protobuf::util::TimeUtil;
using v1::Job;

constexpr launcher::Tries kTries;
constexpr double kPreemptGrace = 5;
// A daemon that is woken so often at one moment turns in circles.
constexpr int kRoundsMax = 100;

google::protobuf::Timestamp ToTimestamp(absl::Time time) {
  return TimeUtil::MillisecondsToTimestamp(absl::ToUnixMillis(time));
}

bool SharesDevices(const jobs::JobRecord& job) {
  return job.public_job.scheduling().share_memory_bytes() > 0;
}

}  // namespace

void World::Crash() {
  ++crashes_;
  ledger_.reset();
  wake_at_ = scheduler::kNever;
  up_again_at_ = now_ + Between(0, 30);
  for (auto& [run_id, process] : processes_) process.disturbed = true;
  Say("daemon killed");
}

// At one in some hundred of its steps the daemon dies.
bool World::Survives() {
  if (quiet_ || Roll(250) != 0) return true;
  Crash();
  return false;
}

void World::Daemon() {
  if (!changed_ && now_ < wake_at_) return;
  for (int round = 0; round < kRoundsMax; ++round) {
    changed_ = false;
    if (!Launch() || !Dispatch()) return;
    if (!changed_) return;
  }
  throw Violation{"the daemon turns in circles"};
}

// Brings processes and store together, attempt by attempt.
bool World::Launch() {
  for (const jobs::JobRecord& seen : store_.Open()) {
    if (!jobs::HasLiveAttempt(seen.public_job.state()) || jobs::IsArray(seen.public_job)) continue;
    if (!Survives()) return false;
    jobs::JobRecord& record = store_.jobs.at(seen.id);
    const v1::Attempt& newest = *record.public_job.attempts().rbegin();
    const auto found = processes_.find(newest.run_id());
    if (found == processes_.end()) {
      Process process;
      process.job_id = record.id;
      process.run_id = newest.run_id();
      process.devices.assign(newest.device_uuids().begin(), newest.device_uuids().end());
      process.started = now_;
      if (record.stop_requested) {
        process.alive = false;
        process.stopped = true;
        FinishAttempt(process);
        continue;
      }
      for (const auto& [run_id, other] : processes_) {
        if (other.alive && other.job_id == process.job_id)
          throw Violation{absl::StrCat("two live attempts of ", other.job_id)};
        for (const std::string& uuid : process.devices) {
          const bool there =
              std::find(other.devices.begin(), other.devices.end(), uuid) != other.devices.end();
          const bool share = SharesDevices(store_.jobs.at(other.job_id)) && SharesDevices(record);
          if (other.alive && there && !share)
            throw Violation{
                absl::StrCat("processes of ", other.job_id, " and ", process.job_id, " on ", uuid)};
        }
      }
      process.ends_at = now_ + std::max(0.5, work_left_[record.id]);
      process.stops_within = Chance(80) ? Between(0, 4) : 1e6;
      process.fails = Chance(15);
      processes_[process.run_id] = process;
      record.public_job.set_state(
          *jobs::Next(record.public_job.state(), jobs::JobEventKind::kRanksUp));
      changed_ = true;
      continue;
    }
    Process& process = found->second;
    if (!process.alive) {
      FinishAttempt(process);
      processes_.erase(found);
    } else if (record.stop_requested) {
      AskToStop(process, record.stop_grace_seconds);
    }
  }
  return true;
}

void World::FinishAttempt(const Process& process) {
  launcher::Ending ending = launcher::LostEnding(store_.jobs.at(process.job_id).stop_requested, false);
  if (!process.lost) {
    ipc::ExitRecord exit;
    const std::string& reason = store_.jobs.at(process.job_id).stop_reason;
    exit.outcome = process.stopped ? (reason == jobs::kStopTimeLimit ? "timed_out" : "cancelled")
                   : process.fails ? "failed"
                                   : "succeeded";
    exit.has_first_failure = process.fails && !process.stopped;
    ending = launcher::EndingOf(exit, {});
  }
  jobs::JobRecord& record = store_.jobs.at(process.job_id);
  const Job::State before = record.public_job.state();
  const bool again = jobs::RequeuesAfterStop(record) && (process.stopped || process.lost);
  if (const absl::Status ended = launcher::EndAttempt(ending, kTries, Now().wall, record);
      !ended.ok()) {
    throw Violation{absl::StrCat("the end of ", record.id, " cannot be stored: ", ended.message())};
  }
  if (again != (record.public_job.state() == Job::QUEUED) && !process.lost) {
    throw Violation{absl::StrCat(record.id, " is ", Job::State_Name(record.public_job.state()),
                                 " after a stop for '", record.stop_reason, "'")};
  }
  Follow(record, before);
  if (process.lost) not_before_[record.id] = now_ + Between(0, 20);
  for (const std::string& uuid : process.devices) store_.leases.erase({uuid, record.id});
  changed_ = true;
  Say(absl::StrCat(record.id, " is ", Job::State_Name(record.public_job.state())));
}

scheduler::Snapshot World::Take() {
  const std::vector<jobs::JobRecord> open = store_.Open();
  scheduler::Snapshot snapshot =
      daemon::TakeSnapshot(open, store_.Leases(), inventory_, daemon::kAlikePlanned);
  ledger_->Complete(
      open, Now(), [this](const std::string& id) { return store_.StateOf(id); }, snapshot);
  for (scheduler::WaitingJob& job : snapshot.jobs) {
    if (const auto found = not_before_.find(job.id); found != not_before_.end())
      job.not_before = found->second;
  }
  return snapshot;
}

bool World::Dispatch() {
  const scheduler::Snapshot snapshot = Take();
  const scheduler::Plan plan = scheduler::MakePlan(snapshot);
  CheckPlan(snapshot, plan);
  wake_at_ = plan.wake_at;
  for (const scheduler::Start& start : plan.starts) {
    if (!Survives()) return false;
    if (!Start(start)) throw Violation{absl::StrCat(start.job_id, " cannot start")};
  }
  for (const scheduler::Stop& stop : plan.stops) {
    if (!Survives()) return false;
    const bool preempts = stop.why == scheduler::Stop::Why::kPreempt;
    jobs::StopIntent intent{preempts ? jobs::kStopPreempt : jobs::kStopTimeLimit,
                            preempts ? kPreemptGrace : stop.grace, "", stop.for_job};
    if (!jobs::StopAttempt(store_.jobs.at(stop.job_id), intent).ok())
      throw Violation{absl::StrCat(stop.job_id, " cannot be stopped")};
    preemptions_ += preempts ? 1 : 0;
    changed_ = true;
    Say(absl::StrCat("stop ", stop.job_id,
                     preempts ? absl::StrCat(" for ", stop.for_job) : " at its limit"));
  }
  for (const scheduler::End& end : plan.ends) {
    if (!Survives()) return false;
    if (!jobs::EndUnstarted(store_.jobs.at(end.job_id), end.reason, end.sentence, Now().wall).ok())
      throw Violation{"a job cannot be ended"};
    Follow(store_.jobs.at(end.job_id), Job::QUEUED);
    changed_ = true;
    Say(absl::StrCat("end ", end.job_id, ": ", end.sentence));
  }
  for (const scheduler::Make& make : plan.makes) {
    if (!Survives()) return false;
    if (!MakeTasks(make))
      throw Violation{absl::StrCat("no tasks of ", make.array_id, " can be made")};
  }
  for (const scheduler::Wait& wait : plan.waits) {
    Job& job = store_.jobs.at(wait.job_id).public_job;
    if (job.message() == wait.sentence && job.reason() == wait.reason) continue;
    if (!jobs::ShowWait(store_.jobs.at(wait.job_id), wait.reason, wait.sentence).ok())
      throw Violation{"a wait cannot be shown"};
  }
  return true;
}

bool World::MakeTasks(const scheduler::Make& make) {
  if (cancelled_.contains(make.array_id))
    throw Violation{absl::StrCat("tasks of ", make.array_id, ", which was cancelled")};
  const auto new_id = [this, next = tasks_]() mutable {
    const auto letter = [](int digit) {
      return std::string(1, static_cast<char>('a' + digit % 26));
    };
    ++next;
    return absl::StrCat("task", letter(next / 676), letter(next / 26), letter(next));
  };
  const absl::Status made = EditArray(make.array_id, [&](jobs::ArrayWithTasks& array) {
    return jobs::MakeTasks(make.tasks, Now().wall, new_id, array);
  });
  changed_ = true;
  Say(absl::StrCat("make ", make.tasks, " tasks of ", make.array_id));
  return made.ok();
}

bool World::Start(const scheduler::Start& start) {
  jobs::JobRecord& record = store_.jobs.at(start.job_id);
  CheckStart(record, start);
  Job& job = record.public_job;
  const auto next = jobs::Next(job.state(), jobs::JobEventKind::kStart);
  if (!next.ok()) return false;
  job.set_state(*next);
  Follow(record, Job::QUEUED);
  v1::Attempt& attempt = *job.add_attempts();
  attempt.set_number(job.attempts_size());
  attempt.set_run_id(absl::StrCat(record.id, "/", attempt.number()));
  attempt.mutable_device_uuids()->Assign(start.device_uuids.begin(), start.device_uuids.end());
  *attempt.mutable_start_time() = ToTimestamp(Now().wall);
  const size_t leases = store_.leases.size();
  const int64_t share = job.scheduling().share_memory_bytes();
  for (const std::string& uuid : start.device_uuids) {
    for (const auto& [held, lease] : store_.leases) {
      if (held.first == uuid && share > 0) ++shared_starts_;
    }
    store_.leases[{uuid, record.id}] = {uuid, record.id, attempt.number(), false, "", share};
  }
  if (store_.leases.size() != leases + start.device_uuids.size())
    throw Violation{absl::StrCat(record.id, " gets a device that it has")};
  CheckLeases();
  ++attempts_;
  changed_ = true;
  Say(absl::StrCat("start ", record.id, " on ", absl::StrJoin(start.device_uuids, ",")));
  return true;
}

}  // namespace yoke::sim
