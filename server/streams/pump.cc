#include "server/streams/pump.h"

#include <utility>

#include "absl/strings/match.h"
#include "common/os/clock.h"
#include "spdlog/spdlog.h"

namespace yoke::streams {
namespace {

constexpr int kRunners = 2;
constexpr int64_t kSweepMs = 250;
// With the sweep's, a second.
constexpr int64_t kLookMs = 750;
// Within it a change is told of that a reader came before.
constexpr int64_t kTellMs = 1000;
// Nothing here waits for anybody: a turn that takes longer is worth a word.
constexpr int64_t kSlowTurnMs = 1000;
// What is written within this time is read together.
constexpr int64_t kCoalesceMs = 10;
constexpr int64_t kLetPassMs = 100;
constexpr int kEventsAtOnce = 256;

}  // namespace

Pump::Pump(jobs::JobStore& store) : store_(store) {
  for (int i = 0; i < kRunners; ++i) threads_.emplace_back([this] { Run(); });
  threads_.emplace_back([this] { Watch(); });
}

Pump::~Pump() {
  stopping_ = true;
  folders_.Interrupt();
  {
    MutexLock lock(mutex_);
    queued_.NotifyAll();
  }
  for (std::thread& thread : threads_) thread.join();
}

bool Pump::Add(std::shared_ptr<Tailer> tailer) {
  const Tailer* key = tailer.get();
  MutexLock lock(mutex_);
  if (entries_.size() >= kTailersMax) return false;
  // Before the first reader reads its job: what changes from now on is heard.
  if (entries_.empty()) job_sequence_ = store_.last_event_sequence();
  Entry& entry = entries_[key];
  entry.tailer = std::move(tailer);
  tailers_ = entries_.size();
  queue_.push_back(key);
  queued_.NotifyOne();
  folders_.Interrupt();  // who waits without any reader waits without limit
  return true;
}

void Pump::Wake(const Tailer* tailer) {
  MutexLock lock(mutex_);
  if (const auto found = entries_.find(tailer); found != entries_.end()) Enqueue(found->second);
}

void Pump::WakeAll() {
  MutexLock lock(mutex_);
  for (auto& [key, entry] : entries_) Enqueue(entry);
}

void Pump::JobsChanged() {
  if (tailers_ > 0) folders_.Interrupt();
}

void Pump::Tell(Entry& entry) {
  entry.found_ms = 0;
  Enqueue(entry);
}

void Pump::Enqueue(Entry& entry) {
  entry.looked_at = false;
  if (entry.state == State::kRunning) entry.state = State::kRunningAgain;
  if (entry.state != State::kParked) return;
  entry.state = State::kQueued;
  queue_.push_back(entry.tailer.get());
  queued_.NotifyOne();
}

void Pump::Run() {
  mutex_.Lock();
  while (true) {
    while (queue_.empty() && !stopping_) queued_.Wait(mutex_);
    if (stopping_) break;
    const Tailer* key = queue_.front();
    queue_.pop_front();
    Entry& entry = entries_.at(key);  // stays where it is until it is erased, by this thread
    entry.state = State::kRunning;
    const int64_t began = os::BootMilliseconds();
    entry.turn_ms = began;
    const std::shared_ptr<Tailer> tailer = entry.tailer;
    mutex_.Unlock();
    Wait wait = tailer->TakeTurn();
    if (const int64_t took = os::BootMilliseconds() - began; took > kSlowTurnMs)
      spdlog::warn("a reader of {} took {} ms for one turn; others waited", wait.job, took);
    mutex_.Lock();
    Settle(key, entry, std::move(wait));
  }
  mutex_.Unlock();
}

void Pump::Settle(const Tailer* key, Entry& entry, Wait wait) {
  if (wait.kind == Wait::Kind::kGone) {
    Forget(entry);
    entries_.erase(key);
    tailers_ = entries_.size();
    return;
  }
  const bool due = entry.wait.due_ms <= os::BootMilliseconds();
  if (std::exchange(entry.looked_at, false) && wait.found && !due) entry.found_ms = entry.turn_ms;
  bool again = wait.kind == Wait::Kind::kTurn ||
               std::exchange(entry.state, State::kParked) == State::kRunningAgain;
  if (wait.kind == Wait::Kind::kPark &&
      (wait.folder != entry.wait.folder || wait.job != entry.wait.job)) {
    Forget(entry);
    if (!wait.folder.empty()) {
      std::set<const Tailer*>& members = by_folder_[wait.folder];
      if (members.empty()) folders_.Add(wait.folder);
      members.insert(key);
    }
    if (!wait.job.empty()) by_job_[wait.job].insert(key);
    entry.tailer->JobChanged();
    again = true;  // for what came between its look and the watch
  }
  if (wait.kind == Wait::Kind::kPark) entry.wait = std::move(wait);
  entry.state = State::kParked;
  if (again) Enqueue(entry);
}

void Pump::Forget(Entry& entry) {
  const Tailer* key = entry.tailer.get();
  if (const auto found = by_folder_.find(entry.wait.folder); found != by_folder_.end()) {
    found->second.erase(key);
    if (found->second.empty()) {
      folders_.Remove(found->first);
      by_folder_.erase(found);
    }
  }
  if (const auto found = by_job_.find(entry.wait.job); found != by_job_.end()) {
    found->second.erase(key);
    if (found->second.empty()) by_job_.erase(found);
  }
}

void Pump::Watch() {
  while (!stopping_) {
    const std::vector<FolderChange> changes = folders_.Wait(tailers_ > 0 ? kSweepMs : kNever);
    if (stopping_) return;
    WakeJobs();
    WakeFolders(changes);
    WakeDue(os::BootMilliseconds());
    if (!changes.empty()) LetPass();
  }
}

void Pump::WakeJobs() {
  while (!stopping_ && tailers_ > 0 && store_.last_event_sequence() != job_sequence_) {
    const int64_t newest = store_.last_event_sequence();
    const auto events = store_.Events(job_sequence_, kEventsAtOnce, absl::ZeroDuration());
    MutexLock lock(mutex_);
    if (!events.ok() || events->empty()) {  // they cannot be told apart: everybody looks
      job_sequence_ = newest;
      for (auto& [key, entry] : entries_) {
        entry.tailer->JobChanged();
        Tell(entry);
      }
      return;
    }
    for (const jobs::JobEvent& event : *events) {
      job_sequence_ = event.sequence;
      const auto found = by_job_.find(event.job.name());
      if (found == by_job_.end()) continue;
      for (const Tailer* key : found->second) {
        Entry& entry = entries_.at(key);
        entry.tailer->JobChanged();
        Tell(entry);
      }
    }
  }
}

void Pump::WakeFolders(const std::vector<FolderChange>& changes) {
  MutexLock lock(mutex_);
  for (const FolderChange& change : changes) {
    const auto found = by_folder_.find(change.folder);
    if (found == by_folder_.end()) continue;
    for (const Tailer* key : found->second) {
      Entry& entry = entries_.at(key);
      if (change.name.empty() || absl::EndsWith(change.name, entry.wait.suffix)) Tell(entry);
    }
  }
}

void Pump::WakeDue(int64_t now_ms) {
  MutexLock lock(mutex_);
  for (auto& [key, entry] : entries_) {
    if (entry.wait.due_ms <= now_ms) Enqueue(entry);
    LookAt(entry, now_ms);
  }
}

void Pump::LookAt(Entry& entry, int64_t now_ms) {
  if (entry.found_ms > 0 && now_ms - entry.found_ms > kTellMs) {
    entry.found_ms = 0;
    ++late_finds_;
    spdlog::warn("a reader of {} was not told that files in {} grew, and found it by looking",
                 entry.wait.job, entry.wait.folder);
    WatchAnew(entry.wait.folder);
  }
  if (entry.state != State::kParked || now_ms - entry.turn_ms < kLookMs) return;
  Enqueue(entry);
  entry.looked_at = true;
}

void Pump::WatchAnew(const std::string& folder) {
  const auto found = by_folder_.find(folder);
  if (found == by_folder_.end()) return;
  folders_.Remove(folder);
  folders_.Add(folder);
  for (const Tailer* key : found->second) Tell(entries_.at(key));
}

void Pump::LetPass() {
  const int64_t until = os::BootMilliseconds() + kLetPassMs;
  while (!stopping_) {
    std::this_thread::sleep_for(std::chrono::milliseconds(kCoalesceMs));
    MutexLock lock(mutex_);
    if (queue_.empty() || os::BootMilliseconds() >= until) return;
  }
}

}  // namespace yoke::streams
