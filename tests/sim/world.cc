#include "tests/sim/world.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "server/jobs/ids.h"
#include "server/jobs/state_machine.h"
#include "server/jobs/transitions.h"

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
                 const std::function<absl::Status(jobs::JobRecord&)>& edit) {
  if (id.empty()) return;
  jobs::JobRecord copy = store_.jobs.at(id);
  const absl::Status done = edit(copy);
  Say(absl::StrCat(what, " ", id, done.ok() ? "" : " refused"));
  if (!done.ok()) return;
  store_.jobs.at(id) = std::move(copy);
  changed_ = true;
}

void World::Interfere() {
  const int what = Roll(100);
  // Nobody can ask a daemon that is down.
  if (what < 80 && ledger_ == nullptr) return;
  if (what < 45) return Submit();
  if (what < 52) {
    const double grace = Between(0, 8);
    return Edit(AnyJob(), "cancel", [&](jobs::JobRecord& job) {
      const absl::Status asked =
          jobs::IntendStop(job, {jobs::kStopCancel, grace, "", ""}, Now().wall);
      if (asked.ok()) cancelled_.insert(job.id);
      return asked;
    });
  }
  if (what < 58) return Edit(AnyJob(), "hold", jobs::Hold);
  if (what < 66) return Edit(AnyJob(), "release", jobs::Release);
  if (what < 72) {
    return Edit(AnyJob(), "requeue", [](jobs::JobRecord& job) {
      return jobs::StopAttempt(job, {jobs::kStopRequeue, kGrace, "", ""});
    });
  }
  if (what < 80) {
    return Edit(AnyJob(), "priority", [&](jobs::JobRecord& job) {
      job.public_job.set_priority(Roll(4));
      return absl::OkStatus();
    });
  }
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
  if (Chance(10)) jobs::Hold(record).IgnoreError();
  const double work = Between(1, 60);
  work_left_[record.id] = work;
  work_total_ += work;
  Say(absl::StrCat(
      "submit ", record.id, " ", job.owner(), " priority ", job.priority(), " on ",
      job.device_uuids_size() > 0 ? absl::StrJoin(job.device_uuids(), ",") : job.spec().device(),
      " limit ", asked.time_limit().seconds(), asked.preemptible() ? " preemptible" : "", " after ",
      asked.dependencies_size()));
  store_.jobs[record.id] = std::move(record);
  changed_ = true;
}

void World::BeginQuiet() {
  quiet_ = true;
  Say("quiet");
  for (int i = 0; i < inventory_.size(); ++i) inventory_.SetLost(i, false);
  for (auto& [id, job] : store_.jobs) {
    if (job.public_job.state() == Job::HELD) jobs::Release(job).IgnoreError();
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
