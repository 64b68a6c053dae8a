#include "server/scheduler/plan.h"

#include <algorithm>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "server/jobs/state_machine.h"
#include "server/scheduler/board.h"
#include "server/scheduler/fair_order.h"
#include "server/scheduler/preemption.h"
#include "server/scheduler/topology.h"

namespace yoke::scheduler {
namespace {

using Condition = v1::Scheduling::Dependency;
using v1::JobReason;

// What a job without a time limit is taken to use when its owner's next turn is decided.
constexpr Seconds kAssumedRunTime = 3600;
constexpr size_t kDependenciesNamed = 3;

bool IsMet(const Dependency& dependency) {
  switch (dependency.condition) {
    case Condition::NOT_OK:
      return jobs::IsTerminal(dependency.state) && dependency.state != v1::Job::SUCCEEDED;
    case Condition::ANY:
      return jobs::IsTerminal(dependency.state) || dependency.state == v1::Job::STATE_UNSPECIFIED;
    default:
      return dependency.state == v1::Job::SUCCEEDED;
  }
}

bool IsOpen(const Dependency& dependency) {
  return dependency.state != v1::Job::STATE_UNSPECIFIED && !jobs::IsTerminal(dependency.state);
}

std::string WhyNever(const Dependency& dependency) {
  const bool not_ok = dependency.condition == Condition::NOT_OK;
  return absl::StrCat("It was to start after jobs/", dependency.job_id,
                      not_ok ? " had failed or been cancelled" : " had succeeded",
                      ", but that job ",
                      dependency.state == v1::Job::STATE_UNSPECIFIED ? "is no longer known"
                      : not_ok                                       ? "succeeded"
                               : absl::StrCat("ended ", v1::Job::State_Name(dependency.state)),
                      ".");
}

// "waits for jobs/a (RUNNING) to succeed, jobs/b (QUEUED) to end"
std::string WhyNotYet(const std::vector<Dependency>& dependencies) {
  std::vector<std::string> words;
  size_t left = 0;
  for (const Dependency& dependency : dependencies) {
    if (IsMet(dependency)) continue;
    if (words.size() == kDependenciesNamed) {
      ++left;
      continue;
    }
    const char* what = dependency.condition == Condition::NOT_OK ? " to fail"
                       : dependency.condition == Condition::ANY  ? " to end"
                                                                 : " to succeed";
    words.push_back(absl::StrCat("jobs/", dependency.job_id, " (",
                                 v1::Job::State_Name(dependency.state), ")", what));
  }
  return absl::StrCat("waits for ", absl::StrJoin(words, ", "),
                      left > 0 ? absl::StrCat(" and ", left, " more") : "");
}

class Planner {
 public:
  explicit Planner(const Snapshot& snapshot)
      : snapshot_(snapshot), order_(snapshot), board_(snapshot), preemption_(snapshot, board_) {
    for (const RunningJob& job : snapshot.running) Count(job.owner, job.queue, job.array);
  }

  Plan Run() {
    EndWhatIsOutOfTime();
    while (const WaitingJob* job = order_.Next()) {
      order_.repeated() ? PlaceAgain(*job) : Place(*job);
    }
    for (Stop& stop : preemption_.TakeStops()) plan_.stops.push_back(std::move(stop));
    plan_.wake_at = std::min(plan_.wake_at, preemption_.wake_at());
    return std::move(plan_);
  }

 private:
  void WakeAt(Seconds moment) { plan_.wake_at = std::min(plan_.wake_at, moment); }

  void EndWhatIsOutOfTime() {
    for (const RunningJob& job : snapshot_.running) {
      if (job.time_limit <= 0 || (job.stopping && job.stop_grace <= 0)) continue;
      const Seconds end = job.started + job.time_limit;
      const Seconds before = job.stopping ? 0 : std::clamp(job.signal_before, 0.0, job.time_limit);
      if (snapshot_.now < end - before) {
        WakeAt(end - before);
        continue;
      }
      plan_.stops.push_back(
          {job.id, Stop::Why::kTimeLimit, std::max(0.0, end - snapshot_.now), ""});
      board_.MarkStopping(job);
    }
  }

  void Place(const WaitingJob& job) {
    for (const Dependency& dependency : job.dependencies) {
      if (IsMet(dependency) || IsOpen(dependency)) continue;
      plan_.ends.push_back({job.id, JobReason::DEPENDENCY_FAILED, WhyNever(dependency)});
      return;
    }
    if (!std::all_of(job.dependencies.begin(), job.dependencies.end(), IsMet)) {
      return WaitFor(job, JobReason::WAITING_FOR_DEPENDENCY, WhyNotYet(job.dependencies),
                     {kNever, "nobody knows when the jobs before it end"});
    }
    if (job.tasks_left > 0) {
      const auto free = std::count_if(board_.slots().begin(), board_.slots().end(),
                                      [](const Slot& slot) { return slot.free; });
      plan_.makes.push_back({job.id, std::clamp(static_cast<int>(free), 1, job.tasks_left)});
      return;
    }
    if (job.array_held) {
      return WaitFor(job, JobReason::HELD_BY_USER,
                     absl::StrCat("waits until its array, jobs/", job.array, ", is released"),
                     {kNever, "nobody knows when its array is released"});
    }
    if (snapshot_.now < job.not_before) {
      WakeAt(job.not_before);
      return WaitFor(job, JobReason::WAITING_FOR_RETRY,
                     job.not_before_why.empty() ? "waits for its next try" : job.not_before_why,
                     {job.not_before, ""});
    }
    if (const std::string full = LimitReached(job); !full.empty()) {
      return WaitFor(job, JobReason::WAITING_FOR_LIMIT, full,
                     {kNever, "nobody knows when one of these jobs ends"});
    }
    if (!job.unresolved.empty()) {
      return WaitFor(job, JobReason::WAITING_FOR_DEVICES,
                     absl::StrCat("waits for ", job.unresolved),
                     {kNever, "this machine has no such devices now"});
    }
    job.bound.empty() ? PlaceAny(job) : PlaceBound(job);
  }

  // One more like `job`. Where that one waits, this one waits behind it and reserves as much.
  void PlaceAgain(const WaitingJob& job) {
    const auto found = reserved_.find(&job);
    if (found != reserved_.end()) order_.Charge(found->second);
  }

  void Count(const std::string& owner, const std::string& queue, const std::string& array) {
    ++by_owner_[owner];
    ++by_queue_[queue];
    if (!array.empty()) ++by_array_[array];
  }

  // "waits: ann has 2 jobs running, …"; empty: one more may run.
  std::string LimitReached(const WaitingJob& job) const {
    const auto count = [](const std::map<std::string, int>& counts, const std::string& name) {
      const auto found = counts.find(name);
      return found == counts.end() ? 0 : found->second;
    };
    const int owner_max = snapshot_.policy.owner_running_max;
    if (owner_max > 0 && count(by_owner_, job.owner) >= owner_max) {
      return absl::StrCat("waits until fewer than ", owner_max, " jobs of ", job.owner,
                          " run: an owner may have no more at once");
    }
    const int queue_max = count(snapshot_.policy.queue_running_max, job.queue);
    if (queue_max > 0 && count(by_queue_, job.queue) >= queue_max) {
      return absl::StrCat("waits until fewer than ", queue_max, " jobs of queue ", job.queue,
                          " run: it may have no more at once");
    }
    if (job.array_running_max > 0 && count(by_array_, job.array) >= job.array_running_max) {
      return absl::StrCat("waits until fewer than ", job.array_running_max, " tasks of jobs/",
                          job.array, " run: it may have no more at once");
    }
    return "";
  }

  void StartOn(const WaitingJob& job, const std::vector<Slot*>& slots) {
    board_.Give(job, slots);
    Start start{job.id, {}};
    for (const Slot* slot : slots) start.device_uuids.push_back(slot->device->uuid);
    plan_.starts.push_back(std::move(start));
    Count(job.owner, job.queue, job.array);
    order_.Charge(UseOf(job, slots.size()));
  }

  static double UseOf(const WaitingJob& job, size_t devices) {
    return static_cast<double>(devices) * (job.time_limit > 0 ? job.time_limit : kAssumedRunTime);
  }

  void WaitFor(const WaitingJob& job, JobReason::Code reason, std::string sentence,
               const Reservation& when) {
    Wait wait;
    wait.job_id = job.id;
    wait.reason = reason;
    wait.sentence = std::move(sentence);
    wait.place = static_cast<int>(plan_.waits.size()) + 1;
    if (when.start < kNever) wait.earliest_start = when.start;
    wait.earliest_why = when.unknown_why;
    wait.tag = job.tag;
    plan_.waits.push_back(std::move(wait));
  }

  void PlaceBound(const WaitingJob& job) {
    std::vector<std::string> missing;
    std::vector<Slot*> slots, blocked;
    for (const std::string& uuid : job.bound) {
      Slot* slot = board_.Find(uuid);
      if (slot == nullptr) {
        missing.push_back(uuid);
        continue;
      }
      slots.push_back(slot);
      if (!board_.MayStart(*slot, job, job.time_limit)) blocked.push_back(slot);
    }
    if (!missing.empty()) {
      const std::string absent =
          absl::StrCat(absl::StrJoin(missing, ", "), ", which this machine does not show now");
      return WaitFor(job, JobReason::WAITING_FOR_DEVICES, absl::StrCat("waits for ", absent),
                     {kNever, absl::StrCat("it needs ", absent)});
    }
    if (blocked.empty()) return StartOn(job, slots);
    if (AllUsable(blocked)) preemption_.FreeThese(job, blocked);
    std::string key = absl::StrCat("b", job.share_bytes);
    for (const Slot* slot : blocked) absl::StrAppend(&key, " ", slot->device->uuid);
    const Told& told = Tell(
        key, [&] { return absl::StrCat("waits for ", Board::WhyEach(AsConst(blocked))); }, blocked);
    Reserve(job, told, blocked, slots);
  }

  void PlaceAny(const WaitingJob& job) {
    std::vector<Slot*> unclaimed, passable, blocked, usable;
    for (Slot& slot : board_.slots()) {
      if (slot.device->cpu != job.cpu) continue;
      if (slot.usable()) usable.push_back(&slot);
      if (board_.MayStart(slot, job, 0)) {
        unclaimed.push_back(&slot);
      } else {
        (board_.MayStart(slot, job, job.time_limit) ? passable : blocked).push_back(&slot);
      }
    }
    const size_t wanted = static_cast<size_t>(std::max(1, job.wanted));
    if (job.share_bytes > 0) {
      // The fullest first, so that others stay free.
      std::stable_sort(unclaimed.begin(), unclaimed.end(), [](const Slot* a, const Slot* b) {
        return a->shared_bytes > b->shared_bytes;
      });
      if (unclaimed.size() >= wanted) {
        unclaimed.resize(wanted);
        return StartOn(job, unclaimed);
      }
    }
    if (unclaimed.size() >= wanted) return StartOn(job, PickLinked(unclaimed, job.wanted));
    if (unclaimed.size() + passable.size() >= wanted) {
      unclaimed.insert(unclaimed.end(), passable.begin(),
                       passable.begin() + static_cast<ptrdiff_t>(wanted - unclaimed.size()));
      return StartOn(job, unclaimed);
    }
    blocked.insert(blocked.end(), passable.begin(), passable.end());
    if (usable.size() >= wanted) preemption_.FreeAny(job, usable, wanted - unclaimed.size());
    const std::string key =
        absl::StrCat(job.cpu ? "c " : "g ", wanted, " ", unclaimed.size(), " ", job.share_bytes);
    const Told& told = Tell(
        key,
        [&] {
          const std::string what =
              job.share_bytes > 0
                  ? absl::StrFormat(" GPU(s) with %.1f GiB to share; ",
                                    static_cast<double>(job.share_bytes) / (1 << 30))
                  : absl::StrCat(" idle ", job.cpu ? "CPU slot(s)" : "GPU(s)", "; ");
          return absl::StrCat(
              "waits for ", wanted, what, unclaimed.size(),
              job.share_bytes > 0 ? " now" : " idle now",
              blocked.empty() ? "" : absl::StrCat(", ", Board::WhyEach(AsConst(blocked))));
        },
        blocked);
    if (usable.size() < wanted) {
      return WaitFor(job, told.reason, told.sentence,
                     {kNever, absl::StrCat("it needs ", wanted, " and this machine has ",
                                           usable.size(), " that can be used")});
    }
    // Those that are to be had first.
    std::stable_sort(usable.begin(), usable.end(),
                     [](const Slot* a, const Slot* b) { return a->available < b->available; });
    usable.resize(wanted);
    Reserve(job, told, usable, usable);
  }

  // A sentence and its reason, made once for all jobs that wait for the same.
  struct Told {
    int version = -1;
    JobReason::Code reason = JobReason::WAITING_FOR_DEVICES;
    std::string sentence;
  };
  template <typename Make>
  const Told& Tell(const std::string& key, Make make, const std::vector<Slot*>& blocked) {
    Told& told = told_[key];
    if (told.version == board_.version()) return told;
    told.version = board_.version();
    told.sentence = make();
    const bool held =
        blocked.empty() || std::any_of(blocked.begin(), blocked.end(), [](const Slot* slot) {
          return !slot->holders.empty() || !slot->device->holder.empty() || !slot->usable();
        });
    told.reason = held ? JobReason::WAITING_FOR_DEVICES : JobReason::WAITING_FOR_PRIORITY;
    return told;
  }

  static std::vector<const Slot*> AsConst(const std::vector<Slot*>& slots) {
    return {slots.begin(), slots.end()};
  }
  static bool AllUsable(const std::vector<Slot*>& slots) {
    return std::all_of(slots.begin(), slots.end(), [](const Slot* slot) { return slot->usable(); });
  }

  // REQUIRES: `needed` are all that the job will have.
  void Reserve(const WaitingJob& job, const Told& told, const std::vector<Slot*>& blocked,
               const std::vector<Slot*>& needed) {
    if (!AllUsable(blocked)) {
      // Others shall not wait for a device that may never come back.
      const auto broken = std::find_if(blocked.begin(), blocked.end(),
                                       [](const Slot* slot) { return !slot->usable(); });
      return WaitFor(job, told.reason, told.sentence, {kNever, (*broken)->unknown_why});
    }
    WaitFor(job, told.reason, told.sentence, board_.Reserve(job, needed));
    const double use = UseOf(job, needed.size());
    if (!snapshot_.repeats.empty()) reserved_[&job] = use;
    order_.Charge(use);
  }

  const Snapshot& snapshot_;
  FairOrder order_;
  Board board_;
  Preemption preemption_;
  std::map<std::string, int> by_owner_, by_queue_, by_array_;  // live attempts and starts
  std::map<std::string, Told> told_;
  std::map<const WaitingJob*, double>
      reserved_;  // what those that wait will use, for their repeats
  Plan plan_;
};

}  // namespace

Plan MakePlan(const Snapshot& snapshot) { return Planner(snapshot).Run(); }

}  // namespace yoke::scheduler
