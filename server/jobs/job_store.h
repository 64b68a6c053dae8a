// Where jobs, attempts, leases and the event sequence are kept. The implementation is SQLite (server/store);
// everything else of the daemon knows only this interface.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "yoke/v1/job.pb.h"

namespace yoke::jobs {

// A job as it is stored: the API's message plus what the API does not show. `public_job.attempts` holds all
// attempts, oldest first.
struct JobRecord {
  std::string id;            // without "jobs/"
  int64_t sequence = 0;      // order of submission
  v1::Job public_job;
  std::vector<std::string> user_set;  // spec keys the user gave
  std::string request_id, request_hash;
  bool stop_requested = false;   // a stop is an intent, resumed after a crash
  std::string stop_reason;
  double stop_grace_seconds = 10;
  int64_t uid = 0;               // whom the attempt folders belong to
};

class OpenJobs;  // open_jobs.h

struct Lease {
  std::string device_uuid;
  std::string job_id;
  int attempt = 0;
  bool quarantined = false;
  std::string quarantine_reason;
  int64_t shared_bytes = 0;  // of memory that it takes of a device it shares; 0: the device is its own
};

// An array with those of its tasks that have not ended, changed together.
struct ArrayWithTasks {
  JobRecord array;
  std::vector<JobRecord> tasks;  // by index
  std::vector<JobRecord> added;  // made by the change; name and sequence are the store's to give
};

struct JobFilter {
  std::vector<v1::Job::State> states;   // empty: any
  std::optional<std::string> owner, display_name;
  std::optional<std::string> array;     // "": jobs that are no tasks of an array; an id: the tasks of that array
};

struct Page {
  std::vector<JobRecord> jobs;          // newest first
  std::string next_page_token;          // empty: last
  int64_t event_sequence = 0;           // of the last change contained
};

// A job as its row has it: what clients may filter by, and the encoded v1::Job.
struct StoredJob {
  int64_t sequence = 0;
  v1::Job::State state = v1::Job::STATE_UNSPECIFIED;
  std::string owner, display_name;
  std::string message;
};

struct StoredPage {  // as Page
  std::vector<StoredJob> jobs;
  std::string next_page_token;
  int64_t event_sequence = 0;
};

struct JobEvent {            // one change of one job
  int64_t sequence = 0;
  v1::Job job;               // as it was after the change
};

// A number in decimal digits.
inline constexpr char kIndexPayload[] = "yoke.index";

// When a change returns: once nothing can take it back, or already once every reader sees it and only a loss of power,
// within milliseconds, could. The latter is for what files tell as well.
enum class Until { kDurable, kWritten };

// Thread-safe. Every mutation is durable, in database and journal, when it returns OK, unless less is asked for. Readers
// and the listener see it some milliseconds before.
// ResourceExhausted: disk full, nothing was changed. Unavailable: it could not be synced, so it is there now but may not be
// after a loss of power. Aborted: `expected_etag` did not match. DataLoss: damaged.
class JobStore {
 public:
  virtual ~JobStore() = default;

  // Inserts a job (state QUEUED or HELD). AlreadyExists never: the same request_id and hash returns the stored
  // job; another hash is InvalidArgument "REQUEST_ID_REUSED".
  virtual absl::StatusOr<JobRecord> Create(JobRecord job) = 0;
  // All of them, in this order and with one commit, or none. The payload kIndexPayload of an error says which one
  // caused it, where one did.
  virtual absl::StatusOr<std::vector<JobRecord>> CreateAll(std::vector<JobRecord> jobs) = 0;
  // `id_or_prefix`: a full id or unique prefix. NotFound; InvalidArgument if ambiguous.
  virtual absl::StatusOr<JobRecord> Get(const std::string& id_or_prefix) = 0;
  virtual absl::StatusOr<Page> List(const JobFilter& filter, int page_size, const std::string& page_token) = 0;
  // The same for who only passes the jobs on: checked, but not decoded.
  virtual absl::StatusOr<StoredPage> ListStored(const JobFilter& filter, int page_size,
                                                const std::string& page_token) = 0;
  // All jobs that have not ended, by sequence, as they are stored.
  virtual absl::StatusOr<std::vector<JobRecord>> ListOpen() = 0;
  // The same in brief, from memory: as of the last change that anybody was told of.
  virtual OpenJobs Open() = 0;
  // How many of these requests of `owner` have a job.
  virtual absl::StatusOr<int64_t> CountRequests(const std::string& owner, const std::vector<std::string>& request_ids) = 0;
  // Reads, lets `change` edit, writes, in one transaction with an event; the counts of a task's array follow in the
  // same transaction (jobs::FollowTask). `change` may refuse with a status, and then nothing is written. Leases named
  // in `release`/`take` change in the same transaction; a lease that is already held is FailedPrecondition. A job with
  // scheduling.share_memory_bytes takes a share: that may be held together with others as long as all of them fit into
  // `memory_bytes`.
  struct LeaseChange {
    std::vector<std::string> take;         // device UUIDs, for the job's newest attempt
    std::map<std::string, int64_t> memory_bytes;  // of devices in `take`; absent: whatever is asked fits
    std::vector<std::string> release;
    std::vector<std::string> quarantine;   // stay leased to nobody, with the reason
    std::string quarantine_reason;
  };
  virtual absl::StatusOr<JobRecord> Update(const std::string& id,
                                           const std::function<absl::Status(JobRecord&, LeaseChange&)>& change,
                                           Until until = Until::kDurable) = 0;
  // The same for each of these jobs, by itself: one that is refused does not touch the others. All with one commit.
  struct Edit {
    std::string id;
    std::function<absl::Status(JobRecord&, LeaseChange&)> change;
  };
  virtual std::vector<absl::StatusOr<JobRecord>> UpdateEach(const std::vector<Edit>& edits, Until until) = 0;
  // Reads an array and its open tasks, lets `change` edit them and add tasks, and writes all of it in one transaction,
  // the array's counts (jobs::FollowTasks) with it. NotFound; FailedPrecondition: it is no array.
  virtual absl::StatusOr<ArrayWithTasks> UpdateArray(
      const std::string& id, const std::function<absl::Status(ArrayWithTasks&)>& change) = 0;
  virtual absl::StatusOr<std::vector<Lease>> ListLeases() = 0;

  // A copy of everything as it is at one moment, in the new file `path`, durable when it returns OK. AlreadyExists.
  virtual absl::Status BackUp(const std::string& path) = 0;

  // Events after `sequence`, at most `limit`; blocks up to `wait` for the first one. OutOfRange if
  // `sequence` is older than what is kept.
  virtual absl::StatusOr<std::vector<JobEvent>> Events(int64_t sequence, int limit, absl::Duration wait) = 0;
  virtual int64_t last_event_sequence() = 0;
  // Called (from a thread of the store) after every commit that changed a job; `planned`: one of them not PlansAlike
  // (open_jobs.h), or who holds a device.
  virtual void SetListener(std::function<void(bool planned)> listener) = 0;
};

}  // namespace yoke::jobs
