// One seed's world: people who submit and interfere, a daemon that dies and comes back, processes,
// devices, time.
#pragma once

#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "server/daemon/ledger.h"
#include "server/launcher/ending.h"
#include "server/scheduler/plan.h"
#include "tests/sim/model.h"

namespace yoke::sim {

// What went wrong; an invariant's violation ends the world.
struct Violation {
  std::string what;
};

class World {
 public:
  explicit World(uint64_t seed);

  // Lives through it: a busy time, then a quiet one in which every job has to end. Throws
  // Violation.
  void Run();

  // What happened, a line each.
  const std::vector<std::string>& trace() const { return trace_; }
  int jobs() const { return static_cast<int>(store_.jobs.size()); }
  int attempts() const { return attempts_; }
  int crashes() const { return crashes_; }
  int preemptions() const { return preemptions_; }
  int tasks() const { return tasks_; }
  int shared_starts() const { return shared_starts_; }

 private:
  // Chance and time.
  int Roll(int sides) { return static_cast<int>(random_() % static_cast<uint64_t>(sides)); }
  bool Chance(int percent) { return Roll(100) < percent; }
  double Between(double low, double high) {
    return low + (high - low) * static_cast<double>(Roll(1000)) / 1000;
  }
  void Say(const std::string& line);
  daemon::Moment Now() const {
    return {now_, absl::FromUnixSeconds(1'800'000'000) + absl::Seconds(now_ + wall_jump_)};
  }

  // People.
  void Interfere();
  void Submit();
  std::string AnyJob();
  using ArrayEdit = std::function<absl::Status(jobs::ArrayWithTasks&)>;
  void Edit(const std::string& id, const char* what,
            const std::function<absl::Status(jobs::JobRecord&)>& edit, const ArrayEdit& edit_array);
  void Update();
  void MakeArray(jobs::JobRecord& record);
  void BeginQuiet();

  // The daemon. Each step may be its last: it then returns false.
  void Daemon();
  bool Launch();
  bool Dispatch();
  bool Survives();
  void Crash();
  bool Start(const scheduler::Start& start);
  void FinishAttempt(const Process& process);
  // As the store does: an array with its tasks in one step, and its counts with each task.
  absl::Status EditArray(const std::string& id, const ArrayEdit& edit);
  void Follow(const jobs::JobRecord& task, v1::Job::State before);
  bool MakeTasks(const scheduler::Make& make);
  scheduler::Snapshot Take();

  // Processes.
  void EndProcesses();
  void AskToStop(Process& process, double grace);
  double NextEvent() const;

  // Invariants.
  void CheckPlan(const scheduler::Snapshot& snapshot, const scheduler::Plan& plan);
  void CheckPassing(const scheduler::Snapshot& snapshot, const scheduler::Plan& plan) const;
  void CheckStore() const;
  void CheckLeases() const;
  void CheckArray(const jobs::JobRecord& array) const;
  void CheckStart(const jobs::JobRecord& job, const scheduler::Start& start) const;
  void CheckRunTime(const Process& process) const;

  const uint64_t seed_;
  std::mt19937_64 random_;
  double now_ = 0, wall_jump_ = 0;
  bool quiet_ = false;
  scheduler::Policy policy_;
  ModelInventory inventory_;
  ModelStore store_;
  std::map<std::string, Process> processes_;  // by run id
  std::map<std::string, double> work_left_;   // by job: what its attempts still have to do
  double work_total_ = 0;
  std::map<std::string, double> not_before_;  // of jobs whose attempt was lost
  std::set<std::string> cancelled_;           // jobs of which somebody did not want more
  int sequence_ = 0, attempts_ = 0, crashes_ = 0, preemptions_ = 0, tasks_ = 0, shared_starts_ = 0;

  // The daemon's memory: gone when it dies.
  std::unique_ptr<daemon::Ledger> ledger_;  // null: it is down
  bool changed_ = false;
  double up_again_at_ = 0, wake_at_ = scheduler::kNever, interfere_at_ = 0;
  std::vector<std::string> trace_;
};

}  // namespace yoke::sim
