// Runs all readers of streams on a few threads. A reader takes short turns; between them it costs
// no thread, and it is woken by what it waits for: its files (inotify), its job (the store's
// events), its client, its time. The files are looked at once a second all the same, and whoever
// reads one that changed has a turn; what is found only so is counted: it ought to have been told.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <deque>
#include <limits>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "common/base/mutex.h"
#include "server/jobs/job_store.h"
#include "server/streams/folder_watch.h"

namespace yoke::streams {

inline constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

// What a reader waits for until its next turn; Wake ends any wait.
struct Wait {
  enum class Kind {
    kTurn,  // nothing: the next turn as soon as others had theirs
    kPark,  // any of what follows
    kGone,  // no turn is wanted any more
  };
  Kind kind = Kind::kPark;
  std::string job;          // a change of "jobs/..."; empty: of none
  std::string folder;       // a file of this folder grows or appears; empty: none
  std::string suffix;       // ... whose name ends so
  int64_t due_ms = kNever;  // os::BootMilliseconds
  bool found = false;       // this turn found something in the files
};

class Tailer {
 public:
  virtual ~Tailer() = default;
  // At most some milliseconds of work. Never called by two threads at once.
  virtual Wait TakeTurn() = 0;
  // The job of the last Wait changed; a turn follows. From any thread.
  virtual void JobChanged() = 0;
};

// Thread-safe. `store` must outlive it.
class Pump {
 public:
  explicit Pump(jobs::JobStore& store);
  // REQUIRES: nobody calls it any more. Tailers that are not gone are let go of.
  ~Pump();

  // Gives `tailer` turns until it is gone. False: there are kTailersMax already.
  bool Add(std::shared_ptr<Tailer> tailer);
  // A turn soon; nothing if it is gone. Cheap.
  void Wake(const Tailer* tailer);
  void WakeAll();
  // The store changed. Cheap, from any thread.
  void JobsChanged();

  // How often a reader found something by being looked at, and was told of it neither before nor
  // within a second. Not 0: a wake-up was lost.
  int64_t late_finds() const { return late_finds_; }

  static constexpr int kTailersMax = 4000;

 private:
  enum class State { kParked, kQueued, kRunning, kRunningAgain };
  struct Entry {
    std::shared_ptr<Tailer> tailer;
    Wait wait;
    State state = State::kQueued;
    int64_t turn_ms = 0;      // of its last turn
    bool looked_at = false;   // nobody told of a change that its next turn is for
  };

  // Who reads files of one folder whose names end alike.
  struct Readers {
    std::set<const Tailer*> tailers;
    uint64_t stamp = 0;  // of FolderStamps; 0: since one came the files were not looked at
  };
  struct Folder {
    std::map<std::string, Readers> by_suffix;
    int64_t looked_ms = 0;
  };

  void Run();    // one of the threads that give turns
  void Watch();  // the thread that waits for files, jobs and times
  void Enqueue(Entry& entry) YOKE_REQUIRES(mutex_);
  // The same for what it reads: its files or its job.
  void Tell(Entry& entry) YOKE_REQUIRES(mutex_);
  void Settle(const Tailer* key, Entry& entry, Wait wait) YOKE_REQUIRES(mutex_);
  void Forget(Entry& entry) YOKE_REQUIRES(mutex_);
  void ForgetFolder(const Entry& entry) YOKE_REQUIRES(mutex_);
  void ForgetDue(const Entry& entry) YOKE_REQUIRES(mutex_);
  void WakeJobs();
  void WakeFolders(const std::vector<FolderChange>& changes);
  void WakeDue(int64_t now_ms);
  void LookAtFolders(int64_t now_ms);
  void CountLateFinds(int64_t now_ms);
  // Kernels before 6.12 can forget the files of a watch that begins while another one of its folder
  // ends and a file is written to.
  void WatchAnew(const std::string& folder) YOKE_REQUIRES(mutex_);
  // Returns once most of what was woken had its turn: whoever writes fast is read in large pieces.
  void LetPass();

  jobs::JobStore& store_;
  std::atomic<bool> stopping_ = false;
  std::atomic<size_t> tailers_ = 0;
  std::atomic<int64_t> late_finds_ = 0;
  std::atomic<int64_t> job_sequence_ = -1;  // of the last event that was looked at
  FolderWatch folders_;

  Mutex mutex_;
  CondVar queued_;
  std::unordered_map<const Tailer*, Entry> entries_ YOKE_GUARDED_BY(mutex_);
  std::deque<const Tailer*> queue_ YOKE_GUARDED_BY(mutex_);
  std::map<std::string, Folder> by_folder_ YOKE_GUARDED_BY(mutex_);
  std::map<std::string, std::set<const Tailer*>> by_job_ YOKE_GUARDED_BY(mutex_);
  std::set<std::pair<int64_t, const Tailer*>> by_due_ YOKE_GUARDED_BY(mutex_);
  // Who found something by looking, and was not told of it yet: since when.
  std::map<const Tailer*, int64_t> found_ms_ YOKE_GUARDED_BY(mutex_);

  std::vector<std::thread> threads_;
};

}  // namespace yoke::streams
