#include "server/daemon/dispatcher.h"

#include <algorithm>
#include <map>
#include <set>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "common/base/status_macros.h"
#include "common/os/clock.h"
#include "common/os/failpoint.h"
#include "server/daemon/alike_jobs.h"
#include "server/daemon/array_snapshot.h"
#include "server/jobs/array.h"
#include "server/jobs/ids.h"
#include "server/jobs/spec.h"
#include "server/jobs/state_machine.h"
#include "server/jobs/transitions.h"
#include "spdlog/spdlog.h"

namespace yoke::daemon {
namespace {

constexpr std::chrono::milliseconds kRetryAfterError(1000);
// A moment farther away than that is waited for in parts: the clock it is on goes on while the machine sleeps.
constexpr double kLookAgain = 60;

// The jobs at the head of the queue whose sentence is kept up to date. Each is a durable write, and
// a change at the head changes the sentences of all behind it.
constexpr size_t kExplained = 64;
// The rest after a plan, or after writing those sentences, as a multiple of what it took: nothing could start meanwhile,
// and who submits to a long queue needs the cores more.
constexpr int kRestShare = 19;
constexpr std::chrono::seconds kRestMax(2);
// Between two writings of those sentences, at least.
constexpr std::chrono::milliseconds kExplainRest(100);

double BootSeconds() { return static_cast<double>(os::BootMilliseconds()) / 1000; }

// No longer so since the snapshot: the change that did it wakes us again.
bool Overtaken(const absl::Status& status) { return absl::IsFailedPrecondition(status); }

scheduler::DeviceView ToView(const v1::Device& device) {
  scheduler::DeviceView view;
  view.uuid = device.uuid();
  view.cpu = device.kind() == v1::Device::CPU_SLOT;
  view.index = device.index();
  if (!view.cpu) view.memory_bytes = device.memory_total_bytes();
  if (device.state() == v1::Device::LOST) view.unusable = absl::StrCat("is lost: ", device.message());
  if (device.state() == v1::Device::DRAINED) view.unusable = absl::StrCat("is drained: ", device.message());
  if (device.state() == v1::Device::BUSY_FOREIGN) view.unusable = absl::StrCat("is busy: ", device.message());
  return view;
}

// What device strings mean, each looked up once: thousands of jobs have the same.
class Resolver {
 public:
  explicit Resolver(const devices::DeviceInventory& inventory) : inventory_(inventory) {}

  const absl::StatusOr<devices::DeviceSelection>& Resolve(const std::string& device_string) {
    const auto known = known_.find(device_string);
    if (known != known_.end()) return known->second;
    return known_.emplace(device_string, inventory_.Resolve(device_string)).first->second;
  }

 private:
  const devices::DeviceInventory& inventory_;
  std::map<std::string, absl::StatusOr<devices::DeviceSelection>> known_;
};

scheduler::WaitingJob ToWaiting(const jobs::JobRecord& job, Resolver& resolver) {
  scheduler::WaitingJob waiting;
  waiting.id = job.id;
  waiting.priority = job.public_job.priority();
  waiting.sequence = job.sequence;
  AddScheduling(job.public_job, waiting);
  waiting.bound.assign(job.public_job.device_uuids().begin(), job.public_job.device_uuids().end());
  if (!waiting.bound.empty()) return waiting;
  if (const auto& selection = resolver.Resolve(job.public_job.spec().device()); selection.ok()) {
    for (const v1::Device& device : selection->devices) waiting.bound.push_back(device.uuid());
    waiting.wanted = selection->gpus_wanted;
    waiting.cpu = selection->cpu;
  } else {
    // The machine may show it again.
    waiting.unresolved = absl::StrCat("device=", job.public_job.spec().device(),
                                      ", which this machine does not have now: ",
                                      absl::StripSuffix(selection.status().message(), "."));
  }
  return waiting;
}

}  // namespace

scheduler::Snapshot TakeSnapshot(const jobs::OpenJobs& open, const std::vector<jobs::Lease>& leases,
                                 const devices::DeviceInventory& inventory, size_t most_alike) {
  const ArraySnapshot arrays(open);
  AlikeJobs alike(most_alike);
  std::map<std::string, std::string> tasks;
  scheduler::Snapshot snapshot;
  Resolver resolver(inventory);
  for (size_t place = 0; place < open.size(); ++place) {
    const jobs::JobRecord& job = open[place];
    if (jobs::HasLiveAttempt(job.public_job.state())) tasks[job.id] = jobs::TaskName(job.public_job.spec());
    if (job.public_job.state() != v1::Job::QUEUED || jobs::IsArray(job.public_job)) continue;
    if (const auto like = alike.LikeWhich(job.public_job, snapshot.jobs.size())) {
      snapshot.repeats.push_back({*like, job.sequence});
      continue;
    }
    snapshot.jobs.push_back(ToWaiting(job, resolver));
    snapshot.jobs.back().tag = place;
    arrays.AddToTask(job.public_job, snapshot.jobs.back());
  }
  for (scheduler::WaitingJob& array : arrays.Arrays()) snapshot.jobs.push_back(std::move(array));
  std::map<std::string, std::vector<const jobs::Lease*>> held;
  for (const jobs::Lease& lease : leases) held[lease.device_uuid].push_back(&lease);
  for (const v1::Device& device : inventory.Devices()) {
    scheduler::DeviceView view = ToView(device);
    if (!view.cpu) view.peers = inventory.Peers(view.uuid);
    for (const jobs::Lease* lease : held[view.uuid]) {
      if (lease->quarantined) {
        view.unusable = absl::StrCat("is quarantined: ", lease->quarantine_reason);
        continue;
      }
      const std::string& id = lease->job_id;
      absl::StrAppend(&view.holder, view.holder.empty() ? "" : ", ", jobs::JobName(id),
                      tasks.contains(id) ? absl::StrCat(" (", tasks[id], ")") : "");
    }
    snapshot.devices.push_back(std::move(view));
  }
  return snapshot;
}

Dispatcher::Dispatcher(jobs::JobStore& store, devices::DeviceInventory& inventory, launcher::Launcher& launcher, SchedulingDesk& desk)
    : store_(store), inventory_(inventory), launcher_(launcher), desk_(desk), thread_([this] { Loop(); }) {}

Dispatcher::~Dispatcher() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    woken_.NotifyAll();
  }
  thread_.join();
}

void Dispatcher::Wake() {
  MutexLock lock(mutex_);
  pending_ = true;
  woken_.NotifyAll();
}

void Dispatcher::Loop() {
  std::string told;  // the error told last: one that lasts, such as a full disk, is told once
  for (bool failed = false;;) {
    {
      MutexLock lock(mutex_);
      const auto wake = std::chrono::steady_clock::now() + (failed ? kRetryAfterError : UntilDue());
      while (!pending_ && !stopping_) {
        if (!failed && !put_off_ && !explain_later_ && wake_at_ == scheduler::kNever) {
          woken_.Wait(mutex_);
        } else if (!woken_.WaitUntil(mutex_, wake)) {
          break;
        }
      }
      if (stopping_) return;
      pending_ = false;
    }
    pulse_.Work();
    const absl::Status dispatched = Dispatch();
    pulse_.Rest();
    failed = !dispatched.ok();
    const std::string problem = failed ? dispatched.ToString() : "";
    if (!problem.empty() && problem != told) spdlog::error("scheduling: {}", problem);
    if (problem != told) desk_.SetProblem(std::string(dispatched.message()));
    told = problem;
  }
}

std::chrono::milliseconds Dispatcher::UntilDue() const {
  double due = std::clamp(wake_at_ - BootSeconds(), 0.0, kLookAgain);
  if (put_off_ || explain_later_) {
    const auto until = put_off_ ? rest_until_ : explain_after_;
    due = std::clamp(std::chrono::duration<double>(until - std::chrono::steady_clock::now()).count(), 0.0, due);
  }
  return std::chrono::milliseconds(static_cast<int64_t>(due * 1000) + 1);
}

bool Dispatcher::MayStart(const std::vector<jobs::Lease>& leases) const {
  const auto same = [](const jobs::Lease& a, const jobs::Lease& b) {
    return a.device_uuid == b.device_uuid && a.job_id == b.job_id && a.quarantined == b.quarantined;
  };
  if (!std::equal(leases.begin(), leases.end(), planned_leases_.begin(), planned_leases_.end(),
                  same))
    return true;
  std::set<std::string> held;
  for (const jobs::Lease& lease : leases) {
    if (lease.quarantined || lease.shared_bytes == 0) held.insert(lease.device_uuid);
  }
  const std::vector<v1::Device> devices = inventory_.Devices();
  return std::any_of(devices.begin(), devices.end(), [&](const v1::Device& device) {
    return !held.contains(device.uuid()) && ToView(device).unusable.empty();
  });
}

absl::Status Dispatcher::Dispatch() {
  const auto begin = std::chrono::steady_clock::now();
  YOKE_ASSIGN_OR_RETURN(std::vector<jobs::Lease> leases, store_.ListLeases());
  put_off_ = begin < rest_until_ && BootSeconds() < wake_at_ && !MayStart(leases);
  if (put_off_) return absl::OkStatus();
  explain_later_ = false;
  const jobs::OpenJobs open = store_.Open();
  YOKE_ASSIGN_OR_RETURN(const scheduler::Snapshot snapshot,
                        desk_.Take(open, leases, kAlikePlanned));
  const scheduler::Plan plan = scheduler::MakePlan(snapshot);
  wake_at_ = plan.wake_at;
  planned_leases_ = std::move(leases);
  YOKE_RETURN_IF_ERROR(CarryOut(plan, open));
  if (!plan.starts.empty()) {
    YOKE_ASSIGN_OR_RETURN(planned_leases_, store_.ListLeases());
  }
  const auto end = std::chrono::steady_clock::now();
  rest_until_ = end + std::min<std::chrono::steady_clock::duration>(kRestShare * (end - begin), kRestMax);
  return absl::OkStatus();
}

absl::Status Dispatcher::CarryOutStop(const scheduler::Stop& stop) {
  jobs::StopIntent intent{jobs::kStopTimeLimit, stop.grace, "", stop.for_job};
  if (stop.why == scheduler::Stop::Why::kPreempt) {
    intent.reason = jobs::kStopPreempt;
    intent.grace_seconds = desk_.preempt_grace_seconds();
  }
  const auto stopped = store_.Update(stop.job_id, [&](jobs::JobRecord& job, jobs::JobStore::LeaseChange&) { return jobs::StopAttempt(job, intent); });
  if (!stopped.ok()) return stopped.status();
  launcher_.CarryOutStop(stop.job_id);
  return absl::OkStatus();
}

absl::Status Dispatcher::CarryOut(const scheduler::Plan& plan, const jobs::OpenJobs& open) {
  std::vector<launcher::StartOrder> orders;
  for (const scheduler::Start& start : plan.starts) orders.push_back({start.job_id, start.device_uuids});
  if (!orders.empty()) {
    YOKE_FAILPOINT("dispatch.start.before");
    const std::vector<absl::Status> started = launcher_.StartEach(orders);
    YOKE_FAILPOINT("dispatch.start.after");
    for (const absl::Status& status : started) {
      if (!status.ok() && !Overtaken(status)) return status;
    }
  }
  for (const scheduler::Stop& stop : plan.stops) {
    const absl::Status stopped = CarryOutStop(stop);
    if (!stopped.ok() && !Overtaken(stopped)) return stopped;
  }
  for (const scheduler::End& end : plan.ends) {
    const auto ended = store_.Update(end.job_id, [&](jobs::JobRecord& job, jobs::JobStore::LeaseChange&) {
      return jobs::EndUnstarted(job, end.reason, end.sentence, absl::Now());
    });
    if (!ended.ok() && !Overtaken(ended.status())) return ended.status();
  }
  for (const scheduler::Make& make : plan.makes) {
    const auto made = store_.UpdateArray(make.array_id, [&](jobs::ArrayWithTasks& change) {
      return jobs::MakeTasks(make.tasks, absl::Now(), jobs::NewJobId, change);
    });
    if (!made.ok() && !Overtaken(made.status())) return made.status();
  }
  return Explain(plan, open);
}

absl::Status Dispatcher::Explain(const scheduler::Plan& plan, const jobs::OpenJobs& open) {
  std::vector<jobs::JobStore::Edit> edits;
  for (size_t i = 0; i < plan.waits.size(); ++i) {
    const scheduler::Wait& wait = plan.waits[i];
    const v1::Job& now = open[wait.tag].public_job;
    const bool for_turn = wait.reason == v1::JobReason::WAITING_FOR_DEVICES || wait.reason == v1::JobReason::WAITING_FOR_PRIORITY;
    // Behind the head it says what it says since its submission; that is written only for one that was overtaken.
    const bool behind = i >= kExplained && for_turn;
    const v1::JobReason::Code reason = behind ? v1::JobReason::WAITING_FOR_PRIORITY : wait.reason;
    const std::string_view sentence = behind ? std::string_view(jobs::kWaitsItsTurn) : wait.sentence;
    // An array some of whose tasks were made says nothing.
    if (now.state() != v1::Job::QUEUED || (now.reason() == reason && now.message() == sentence)) continue;
    edits.push_back({wait.job_id, [reason, sentence = std::string(sentence)](jobs::JobRecord& job, jobs::JobStore::LeaseChange&) {
                       return jobs::ShowWait(job, reason, sentence);
                     }});
  }
  if (edits.empty()) return absl::OkStatus();
  const auto begin = std::chrono::steady_clock::now();
  if (begin < explain_after_) {
    explain_later_ = true;
    return absl::OkStatus();
  }
  YOKE_FAILPOINT("dispatch.wait.before");
  const std::vector<absl::StatusOr<jobs::JobRecord>> explained = store_.UpdateEach(edits, jobs::Until::kWritten);
  const auto end = std::chrono::steady_clock::now();
  explain_after_ = end + std::clamp<std::chrono::steady_clock::duration>(kRestShare * (end - begin), kExplainRest, kRestMax);
  for (const absl::StatusOr<jobs::JobRecord>& job : explained) {
    if (!job.ok() && !Overtaken(job.status())) return job.status();
  }
  return absl::OkStatus();
}

}  // namespace yoke::daemon
