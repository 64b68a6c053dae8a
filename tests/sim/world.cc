#include "tests/sim/world.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "server/jobs/array.h"
#include "server/jobs/ids.h"
#include "server/jobs/state_machine.h"
#include "server/jobs/sweep.h"
#include "server/jobs/transitions.h"
#include "server/jobs/update.h"

namespace yoke::sim {
namespace {

using v1::Job;
using Dependency = v1::Scheduling::Dependency;

constexpr int kInterferences = 24;
constexpr double kGrace = 5;

}  // namespace

World::World(uint64_t seed)
    : seed_(seed), random_(seed), inventory_(1 + static_cast<int>(seed % 5)) {
  policy_.min_run_time = Roll(2) * 20;
  policy_.half_life = 50 + Roll(1000);
  policy_.owner_running_max = Chance(30) ? 1 + Roll(2) : 0;
  if (Chance(30)) policy_.queue_running_max["night"] = 1 + Roll(2);
}

void World::Say(const std::string& line) { trace_.push_back(absl::StrCat("t=", now_, " ", line)); }

void World::Run() {
  int interferences = 0;
  double deadline = scheduler::kNever;
  for (;;) {
    EndProcesses();
    if (!quiet_ && now_ >= interfere_at_) {
      if (++interferences > kInterferences) {
        BeginQuiet();
        // Time for all the work one after the other, and for every stop and start between.
        deadline = now_ + work_total_ * 2 + 100.0 * static_cast<double>(store_.jobs.size() + 1);
      } else {
        Interfere();
        interfere_at_ = now_ + Between(0, 15);
      }
    }
    if (ledger_ == nullptr && now_ >= up_again_at_) {
      ledger_ = std::make_unique<daemon::Ledger>(policy_);
      ledger_->Seed(store_.Ended(), Now());
      changed_ = true;
      Say("daemon up");
    }
    if (ledger_ != nullptr) Daemon();
    CheckStore();
    if (quiet_ && store_.Open().empty()) return;
    const double next = NextEvent();
    if (next == scheduler::kNever || now_ > deadline) {
      const jobs::JobRecord stuck = store_.Open().front();
      throw Violation{absl::StrCat("job ", stuck.id,
                                   " never ends: ", Job::State_Name(stuck.public_job.state()), ", ",
                                   stuck.public_job.message())};
    }
    now_ = std::max(now_, next);
  }
}

double World::NextEvent() const {
  double next = quiet_ ? scheduler::kNever : interfere_at_;
  next = std::min(next, ledger_ == nullptr ? up_again_at_ : wake_at_);
  for (const auto& [run_id, process] : processes_) {
    if (!process.alive) continue;
    next = std::min({next, process.ends_at, process.stop_ends_at.value_or(scheduler::kNever)});
  }
  return next;
}

// ---- People.

std::string World::AnyJob() {
  if (store_.jobs.empty()) return "";
  auto at = store_.jobs.begin();
  std::advance(at, Roll(static_cast<int>(store_.jobs.size())));
  return at->first;
}

void World::Edit(const std::string& id, const char* what,
                 const std::function<absl::Status(jobs::JobRecord&)>& edit,
                 const ArrayEdit& edit_array) {
  if (id.empty()) return;
  absl::Status done;
  if (jobs::IsArray(store_.jobs.at(id).public_job)) {
    done = EditArray(id, edit_array);
  } else {
    jobs::JobRecord copy = store_.jobs.at(id);
    done = edit(copy);
    if (done.ok()) {
      std::swap(store_.jobs.at(id), copy);
      Follow(store_.jobs.at(id), copy.public_job.state());
    }
  }
  Say(absl::StrCat(what, " ", id, done.ok() ? "" : " refused"));
  changed_ |= done.ok();
}

absl::Status World::EditArray(const std::string& id, const ArrayEdit& edit) {
  jobs::ArrayWithTasks before{store_.jobs.at(id), {}, {}};
  for (const jobs::JobRecord& job : store_.Open()) {
    if (job.public_job.array_job() == jobs::JobName(id)) before.tasks.push_back(job);
  }
  jobs::ArrayWithTasks after = before;
  if (const absl::Status edited = edit(after); !edited.ok()) return edited;
  jobs::FollowTasks(before, Now().wall, after);
  store_.jobs.at(id) = after.array;
  for (const jobs::JobRecord& task : after.tasks) store_.jobs.at(task.id) = task;
  for (jobs::JobRecord& task : after.added) {
    task.sequence = ++sequence_;
    task.public_job.set_name(jobs::JobName(task.id));
    work_left_[task.id] = Between(1, 60);
    ++tasks_;
    store_.jobs[task.id] = std::move(task);
  }
  return absl::OkStatus();
}

void World::Follow(const jobs::JobRecord& task, Job::State before) {
  if (!jobs::IsTask(task.public_job)) return;
  jobs::JobRecord& array = store_.jobs.at(*jobs::ParseJobName(task.public_job.array_job()));
  jobs::FollowTask(before, task.public_job.state(), Now().wall, array);
}

// One of the fields that can change, as the service lets it.
void World::Update() {
  const std::string id = AnyJob();
  if (id.empty()) return;
  Job wanted;
  wanted.set_priority(Roll(4));
  v1::Scheduling& scheduling = *wanted.mutable_scheduling();
  scheduling.set_queue(Chance(50) ? "night" : "default");
  scheduling.set_preemptible(Chance(50));
  scheduling.set_share_memory_bytes(Roll(6) * (int64_t{4} << 30));
  if (Chance(70)) scheduling.mutable_time_limit()->set_seconds(5 + Roll(40));
  for (int i = Roll(3); i > 0; --i) {
    Dependency& dependency = *scheduling.add_dependencies();
    dependency.set_job(jobs::JobName(AnyJob()));
    dependency.set_condition(static_cast<Dependency::Condition>(1 + Roll(3)));
  }
  wanted.mutable_array()->set_running_max(Roll(4));
  const std::vector<std::string>& paths = jobs::UpdatablePaths();
  const std::string path = paths[static_cast<size_t>(Roll(static_cast<int>(paths.size())))];
  const bool circle =
      !jobs::WaitsForItself(jobs::JobName(id), scheduling, store_.Open()).empty();
  if (path == "scheduling.dependencies" && circle) return;
  if (path == "scheduling.time_limit") {
    // A shorter one may have passed already.
    for (auto& [run_id, process] : processes_) process.disturbed = true;
  }
  Edit(
      id, path.c_str(),
      [&](jobs::JobRecord& job) { return jobs::UpdateFields(wanted, {path}, job); },
      [&](jobs::ArrayWithTasks& array) { return jobs::UpdateArrayFields(wanted, {path}, array); });
}

void World::Interfere() {
  const int what = Roll(100);
  // Nobody can ask a daemon that is down.
  if (what < 80 && ledger_ == nullptr) return;
  if (what < 45) return Submit();
  if (what < 52) {
    const double grace = Between(0, 8);
    const jobs::StopIntent intent{jobs::kStopCancel, grace, "", ""};
    return Edit(
        AnyJob(), "cancel",
        [&](jobs::JobRecord& job) {
          const absl::Status asked = jobs::IntendStop(job, intent, Now().wall);
          if (asked.ok()) cancelled_.insert(job.id);
          return asked;
        },
        [&](jobs::ArrayWithTasks& array) {
          const absl::Status asked = jobs::StopArray(intent, Now().wall, array);
          if (asked.ok()) cancelled_.insert(array.array.id);
          for (const jobs::JobRecord& task : array.tasks) {
            if (asked.ok()) cancelled_.insert(task.id);
          }
          return asked;
        });
  }
  if (what < 58) return Edit(AnyJob(), "hold", jobs::Hold, jobs::HoldArray);
  if (what < 66) return Edit(AnyJob(), "release", jobs::Release, jobs::ReleaseArray);
  if (what < 72) {
    const jobs::StopIntent intent{jobs::kStopRequeue, kGrace, "", ""};
    return Edit(
        AnyJob(), "requeue", [&](jobs::JobRecord& job) { return jobs::StopAttempt(job, intent); },
        [&](jobs::ArrayWithTasks& array) { return jobs::StopAttempt(array.array, intent); });
  }
  if (what < 80) return Update();
  if (what < 86) return ledger_ != nullptr ? Crash() : void();
  if (what < 90) {
    wall_jump_ += Between(-4000, 4000);
    for (auto& [run_id, process] : processes_) process.disturbed = true;
    return Say("the wall clock jumps");
  }
  if (what < 95) {
    const int device = Roll(inventory_.size());
    const bool lost = Chance(60);
    inventory_.SetLost(device, lost);
    changed_ = true;
    Say(absl::StrCat(lost ? "lost " : "back ", inventory_.uuid(device)));
    for (auto& [run_id, process] : processes_) {
      const bool on_it = std::find(process.devices.begin(), process.devices.end(),
                                   inventory_.uuid(device)) != process.devices.end();
      if (!lost || !on_it || !process.alive) continue;
      process.ends_at = now_;
      process.fails = true;
    }
    return;
  }
  for (auto& [run_id, process] : processes_) {
    if (!process.alive || !Chance(50)) continue;
    process.ends_at = now_;
    process.lost = true;
    Say(absl::StrCat("the supervisor of ", process.job_id, " dies"));
  }
}

void World::Submit() {
  jobs::JobRecord record;
  ++sequence_;
  record.id = absl::StrCat("job", std::string(1, static_cast<char>('a' + sequence_ / 26)),
                           std::string(1, static_cast<char>('a' + sequence_ % 26)));
  record.sequence = sequence_;
  Job& job = record.public_job;
  job.set_name(jobs::JobName(record.id));
  job.set_state(Job::QUEUED);
  job.set_owner(absl::StrCat("owner", Roll(3)));
  job.set_priority(Chance(50) ? 0 : Roll(4));
  job.mutable_spec()->mutable_selftest();
  const int wanted = 1 + Roll(inventory_.size());
  if (Chance(50)) {
    job.mutable_spec()->set_device(absl::StrCat("gpus:", wanted));
  } else {
    const int first = Roll(inventory_.size());
    for (int i = 0; i < wanted; ++i)
      job.add_device_uuids(inventory_.uuid((first + i) % inventory_.size()));
  }
  v1::Scheduling& asked = *job.mutable_scheduling();
  asked.set_queue(Chance(50) ? "night" : "default");
  asked.set_preemptible(Chance(40));
  if (Chance(30)) asked.set_share_memory_bytes((2 + Roll(20)) * (int64_t{1} << 30));
  if (Chance(50)) {
    const int limit = 5 + Roll(40);
    asked.mutable_time_limit()->set_seconds(limit);
    asked.mutable_signal_before()->set_seconds(Roll(5));
  }
  for (int i = Chance(35) ? 1 + Roll(2) : 0; i > 0 && !store_.jobs.empty(); --i) {
    Dependency& dependency = *asked.add_dependencies();
    dependency.set_job(jobs::JobName(AnyJob()));
    dependency.set_condition(static_cast<Dependency::Condition>(1 + Roll(3)));
  }
  if (Chance(20)) MakeArray(record);
  if (Chance(10)) {
    jobs::Hold(record).IgnoreError();
    if (jobs::IsArray(job)) job.mutable_array()->set_held(true);
  }
  const double work = Between(1, 60);
  work_left_[record.id] = work;
  work_total_ += work;
  Say(absl::StrCat(
      "submit ", record.id, " ", job.owner(), " priority ", job.priority(), " on ",
      job.device_uuids_size() > 0 ? absl::StrJoin(job.device_uuids(), ",") : job.spec().device(),
      " limit ", asked.time_limit().seconds(), asked.preemptible() ? " preemptible" : "",
      asked.share_memory_bytes() > 0 ? absl::StrCat(" share ", asked.share_memory_bytes() >> 30)
                                     : "",
      jobs::IsArray(job) ? absl::StrCat(" x", job.array().count()) : "", " after ",
      asked.dependencies_size()));
  store_.jobs[record.id] = std::move(record);
  changed_ = true;
}

void World::MakeArray(jobs::JobRecord& record) {
  v1::Array asked;
  asked.set_count(1 + Roll(6));
  asked.set_running_max(Roll(4));
  jobs::CompleteArray(record.public_job.spec(), 1, asked);
  work_total_ += asked.count() * 110;
  *record.public_job.mutable_array() = std::move(asked);
}

void World::BeginQuiet() {
  quiet_ = true;
  Say("quiet");
  for (int i = 0; i < inventory_.size(); ++i) inventory_.SetLost(i, false);
  for (auto& [id, job] : store_.jobs) {
    if (job.public_job.state() != Job::HELD) continue;
    jobs::IsArray(job.public_job) ? EditArray(id, jobs::ReleaseArray).IgnoreError()
                                  : jobs::Release(job).IgnoreError();
  }
  up_again_at_ = now_;
  changed_ = true;
}

// ---- Processes.

void World::EndProcesses() {
  for (auto& [run_id, process] : processes_) {
    if (!process.alive) continue;
    const bool by_itself = process.ends_at <= now_;
    if (!by_itself && process.stop_ends_at.value_or(scheduler::kNever) > now_) continue;
    process.alive = false;
    process.stopped = !by_itself;
    work_left_[process.job_id] -= now_ - process.started;
    changed_ = true;
    Say(absl::StrCat("process of ", process.job_id,
                     process.lost      ? " lost"
                     : process.stopped ? " stopped"
                                       : " ended"));
    CheckRunTime(process);
  }
}

void World::AskToStop(Process& process, double grace) {
  const double ends = now_ + std::min(grace, process.stops_within);
  process.stop_ends_at = std::min(ends, process.stop_ends_at.value_or(scheduler::kNever));
}

}  // namespace yoke::sim
