// The submission journal: an append-only file beside the database that alone can say which jobs
// were accepted, where they were when somebody last changed them, and how they ended.
//
//   YOKE_ASSIGN_OR_RETURN(Journal::Opened opened, Journal::Open(path));
//   for (const jobs::JobRecord& job : opened.jobs) ...  // the newest record of each job
//   opened.journal->Add(job);  // for each job of a commit group
//   opened.journal->Flush();  // one write; then the database commits
//   opened.journal->Keep();  // or Undo(), if the database has not committed the group
//   opened.journal->Sync();  // on whichever thread; the group counts once both files are synced
//
// File: 8 bytes "YOKEJRN1", then frames {marker, length, sequence, CRC-32C, StoredJob}; numbers are
// little-endian, the CRC covers all but itself. The marker "YJF1" begins what was written and
// synced together, "YJM1" continues it. A frame that fails its check is skipped. Each says up to which
// number frames were on the disk when it was added: what is missing behind the last such number a
// crash tore, and nobody was told of it, nor of the rest of its group. Jobs that were accepted together
// say how many of them follow: of a batch that was torn none is taken.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/mutex.h"
#include "common/os/unique_fd.h"
#include "server/jobs/job_store.h"

namespace yoke::store {

inline constexpr int64_t kJournalRewriteBytes = int64_t{4} << 20;

// Of the writer's thread alone, but for Sync.
class Journal {
 public:
  struct Opened {
    std::unique_ptr<Journal> journal;
    std::vector<jobs::JobRecord> jobs;  // by their first appearance
    bool created = false;               // there was none
    int64_t bytes_cut = 0;              // writes that a crash tore
    int64_t bytes_skipped = 0;          // damage
  };
  // Makes the file if there is none. What cannot be read is skipped, never an error.
  // A file of up to `rewrite_min` bytes is left as it is, whatever it holds.
  static absl::StatusOr<Opened> Open(const std::string& path,
                                     int64_t rewrite_min = kJournalRewriteBytes);

  // Remembers the record for the next Flush. `batch_left`: of a job accepted in a batch, how many of
  // the batch are added right after it.
  void Add(const jobs::JobRecord& job, size_t batch_left = 0) {
    Add(job, job.public_job.SerializeAsString(), batch_left);
  }
  // The same; `message`: the public job, encoded.
  void Add(const jobs::JobRecord& job, const std::string& message, size_t batch_left);
  // Writes what was added. After an error none of it is in the file. ResourceExhausted: disk full.
  absl::Status Flush();
  // Makes durable what was flushed. After an error only Rewrite makes it certain. From any thread.
  absl::Status Sync();
  // The database has what was flushed.
  void Keep();
  // It has not: what was added or flushed since the last Keep is taken back.
  void Undo();

  // Nothing is written any more until Rewrite.
  bool broken() const { return broken_; }
  // Whether most of the file is about jobs that have ended, or it must be written anew after an
  // error.
  bool WantsRewrite() const;
  // Replaces the file, in one step, by one that has these jobs only. After an error the old one
  // stands.
  absl::Status Rewrite(const std::vector<jobs::JobRecord>& jobs);

 private:
  struct Written {
    std::string id;
    bool ended = false;
    int64_t bytes = 0;
  };

  Journal(std::string path, int64_t rewrite_min)
      : path_(std::move(path)), rewrite_min_(rewrite_min) {}
  void Count(const Written& frame);
  std::shared_ptr<os::UniqueFd> File();

  const std::string path_;
  const int64_t rewrite_min_;
  Mutex mutex_;
  std::shared_ptr<os::UniqueFd> fd_ YOKE_GUARDED_BY(mutex_);  // replaced by Rewrite
  int64_t size_ = 0;  // of whole frames
  int64_t kept_ = 0;  // of those that the database has too
  int64_t next_sequence_ = 1;
  std::atomic<int64_t> flushed_ = 0, synced_ = 0;  // the last frames that are so
  std::atomic<bool> broken_ = false;  // what the file holds is not certain: only Rewrite helps
  int64_t rewrite_above_ = 0;  // no earlier try after one that failed
  std::string pending_;
  std::vector<Written> added_;  // since the last Keep
  // Of the newest record of each job that has not ended.
  absl::flat_hash_map<std::string, int64_t> open_bytes_;
  int64_t open_total_ = 0;
};

}  // namespace yoke::store
