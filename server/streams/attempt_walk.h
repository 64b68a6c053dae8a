// Leads a reader through a job's attempts, oldest first, and knows when nothing more can come.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/jobs/job_store.h"
#include "server/streams/position.h"
#include "yoke/v1/stream.pb.h"

namespace yoke::streams {

// Not thread-safe, but for JobChanged.
class AttemptWalk {
 public:
  // NotFound: no such job.
  static absl::StatusOr<AttemptWalk> Make(jobs::JobStore& store, const std::string& job_id);

  enum class Step {
    kRead,     // the files of `attempt` may hold more
    kAdvanced, // `attempt` is done; position names the next one
    kWait,     // nothing now
    kEnd,      // nothing ever (or, without follow, nothing now)
  };

  // Puts a position that has no attempt yet on the first one, once there is one.
  void Begin(Position& position) const;

  // REQUIRES: since the last call every file of position.attempt was read to its end (or there is no attempt).
  absl::StatusOr<Step> AtEnd(Position& position, bool follow);

  // Whether `attempt` had ended when the job was read last: then its files are whole.
  bool AttemptDone(int attempt) const;

  // The job is read again at the next end. From any thread.
  void JobChanged() { *changed_ = true; }

  const std::string& job_id() const { return job_id_; }
  const v1::Job& job() const { return job_; }
  // Ranks of the position's attempt; 0 if there is none.
  int WorldSize(const Position& position) const;
  v1::End EndFrame() const;

 private:
  AttemptWalk(jobs::JobStore& store, std::string job_id) : store_(&store), job_id_(std::move(job_id)) {}
  // Reads the job again if it changed; true if it did.
  absl::StatusOr<bool> Refresh();

  jobs::JobStore* store_;
  std::string job_id_;
  v1::Job job_;
  std::unique_ptr<std::atomic<bool>> changed_ = std::make_unique<std::atomic<bool>>(true);
};

}  // namespace yoke::streams
