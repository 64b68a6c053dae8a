#include "server/streams/attempt_walk.h"

#include <algorithm>

#include "common/base/status_macros.h"
#include "server/jobs/state_machine.h"

namespace yoke::streams {

absl::StatusOr<AttemptWalk> AttemptWalk::Make(jobs::JobStore& store, const std::string& job_id) {
  YOKE_ASSIGN_OR_RETURN(const jobs::JobRecord record, store.Get(job_id));
  AttemptWalk walk(store, record.id);
  YOKE_RETURN_IF_ERROR(walk.Refresh().status());
  return walk;
}

absl::StatusOr<bool> AttemptWalk::Refresh() {
  if (!changed_->exchange(false)) return false;
  YOKE_ASSIGN_OR_RETURN(jobs::JobRecord record, store_->Get(job_id_));
  job_ = std::move(record.public_job);
  return true;
}

void AttemptWalk::Begin(Position& position) const {
  if (position.attempt == 0 && job_.attempts_size() > 0) position.attempt = job_.attempts(0).number();
}

int AttemptWalk::WorldSize(const Position& position) const {
  for (const v1::Attempt& attempt : job_.attempts()) {
    if (attempt.number() == position.attempt) return std::max(1, attempt.world_size());
  }
  return 0;
}

bool AttemptWalk::AttemptDone(int number) const {
  if (jobs::IsTerminal(job_.state())) return true;
  for (const v1::Attempt& attempt : job_.attempts()) {
    if (attempt.number() > number) return true;
    if (attempt.number() == number) return attempt.outcome() != v1::Attempt::OUTCOME_UNSPECIFIED;
  }
  return false;
}

absl::StatusOr<AttemptWalk::Step> AttemptWalk::AtEnd(Position& position, bool follow) {
  // job_ was read before the files were: what it calls done had been written by then.
  const bool done = AttemptDone(position.attempt);
  for (const v1::Attempt& attempt : job_.attempts()) {
    if (attempt.number() > position.attempt && done) {
      position.attempt = attempt.number();
      position.offsets.clear();
      return Step::kAdvanced;
    }
  }
  if (jobs::IsTerminal(job_.state())) return Step::kEnd;
  YOKE_ASSIGN_OR_RETURN(const bool changed, Refresh());
  if (changed) return Step::kRead;
  return follow ? Step::kWait : Step::kEnd;
}

v1::End AttemptWalk::EndFrame() const {
  v1::End end;
  end.set_state(job_.state());
  end.set_reason(job_.reason());
  end.set_message(job_.message());
  if (job_.has_error()) *end.mutable_error() = job_.error();
  return end;
}

}  // namespace yoke::streams
