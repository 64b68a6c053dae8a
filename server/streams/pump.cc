#include "server/streams/pump.h"

#include <utility>

#include "absl/strings/match.h"
#include "common/os/clock.h"
#include "spdlog/spdlog.h"

namespace yoke::streams {
namespace {

constexpr int kRunners = 2;
constexpr int64_t kSweepMs = 250;
constexpr int64_t kLookMs = 1000;
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
  found_ms_.erase(entry.tailer.get());
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
    ForgetDue(entry);
    found_ms_.erase(key);
    entries_.erase(key);
    tailers_ = entries_.size();
    return;
  }
  const bool due = entry.wait.due_ms <= os::BootMilliseconds();
  if (std::exchange(entry.looked_at, false) && wait.found && !due) found_ms_[key] = entry.turn_ms;
  bool again = wait.kind == Wait::Kind::kTurn ||
               std::exchange(entry.state, State::kParked) == State::kRunningAgain;
  if (wait.kind == Wait::Kind::kPark &&
      (wait.folder != entry.wait.folder || wait.suffix != entry.wait.suffix ||
       wait.job != entry.wait.job)) {
    Forget(entry);
    if (!wait.folder.empty()) {
      if (!by_folder_.contains(wait.folder)) folders_.Add(wait.folder);
      Readers& readers = by_folder_[wait.folder].by_suffix[wait.suffix];
      readers.tailers.insert(key);
      readers.stamp = 0;
    }
    if (!wait.job.empty()) by_job_[wait.job].insert(key);
    entry.tailer->JobChanged();
    again = true;  // for what came between its look and the watch
  }
  if (wait.kind == Wait::Kind::kPark) {
    ForgetDue(entry);
    if (wait.due_ms != kNever) by_due_.emplace(wait.due_ms, key);
    entry.wait = std::move(wait);
  }
  entry.state = State::kParked;
  if (again) Enqueue(entry);
}

void Pump::ForgetFolder(const Entry& entry) {
  const auto folder = by_folder_.find(entry.wait.folder);
  if (folder == by_folder_.end()) return;
  std::map<std::string, Readers>& by_suffix = folder->second.by_suffix;
  const auto readers = by_suffix.find(entry.wait.suffix);
  if (readers == by_suffix.end()) return;
  readers->second.tailers.erase(entry.tailer.get());
  if (readers->second.tailers.empty()) by_suffix.erase(readers);
  if (!by_suffix.empty()) return;
  folders_.Remove(folder->first);
  by_folder_.erase(folder);
}

void Pump::ForgetDue(const Entry& entry) { by_due_.erase({entry.wait.due_ms, entry.tailer.get()}); }

void Pump::Forget(Entry& entry) {
  const Tailer* key = entry.tailer.get();
  ForgetFolder(entry);
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
    const int64_t now = os::BootMilliseconds();
    WakeDue(now);
    LookAtFolders(now);
    CountLateFinds(now);
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
    for (const auto& [suffix, readers] : found->second.by_suffix) {
      if (!change.name.empty() && !absl::EndsWith(change.name, suffix)) continue;
      for (const Tailer* key : readers.tailers) Tell(entries_.at(key));
    }
  }
}

void Pump::WakeDue(int64_t now_ms) {
  MutexLock lock(mutex_);
  for (auto next = by_due_.begin(); next != by_due_.end() && next->first <= now_ms; ++next)
    Enqueue(entries_.at(next->second));
}

void Pump::LookAtFolders(int64_t now_ms) {
  struct Look {
    std::string folder;
    std::vector<std::string> suffixes;
  };
  std::vector<Look> looks;
  {
    MutexLock lock(mutex_);
    for (auto& [path, folder] : by_folder_) {
      if (now_ms - folder.looked_ms < kLookMs) continue;
      folder.looked_ms = now_ms;
      Look& look = looks.emplace_back(Look{path, {}});
      for (const auto& [suffix, readers] : folder.by_suffix) look.suffixes.push_back(suffix);
    }
  }
  for (const Look& look : looks) {
    const std::vector<uint64_t> stamps = FolderStamps(look.folder, look.suffixes);
    MutexLock lock(mutex_);
    const auto folder = by_folder_.find(look.folder);
    if (folder == by_folder_.end()) continue;
    for (size_t i = 0; i < stamps.size(); ++i) {
      const auto readers = folder->second.by_suffix.find(look.suffixes[i]);
      if (readers == folder->second.by_suffix.end()) continue;
      if (std::exchange(readers->second.stamp, stamps[i]) == stamps[i]) continue;
      for (const Tailer* key : readers->second.tailers) {
        Entry& entry = entries_.at(key);
        const bool parked = entry.state == State::kParked;
        Enqueue(entry);
        if (parked) entry.looked_at = true;
      }
    }
  }
}

void Pump::CountLateFinds(int64_t now_ms) {
  MutexLock lock(mutex_);
  std::set<std::string> forgotten;
  for (auto next = found_ms_.begin(); next != found_ms_.end();) {
    const auto& [key, since_ms] = *next;
    if (now_ms - since_ms <= kTellMs) {
      ++next;
      continue;
    }
    const Entry& entry = entries_.at(key);
    next = found_ms_.erase(next);
    ++late_finds_;
    spdlog::warn("a reader of {} was not told that files in {} grew, and found it by looking",
                 entry.wait.job, entry.wait.folder);
    forgotten.insert(entry.wait.folder);
  }
  for (const std::string& folder : forgotten) WatchAnew(folder);
}

void Pump::WatchAnew(const std::string& folder) {
  const auto found = by_folder_.find(folder);
  if (found == by_folder_.end()) return;
  folders_.Remove(folder);
  folders_.Add(folder);
  for (const auto& [suffix, readers] : found->second.by_suffix) {
    for (const Tailer* key : readers.tailers) Tell(entries_.at(key));
  }
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
