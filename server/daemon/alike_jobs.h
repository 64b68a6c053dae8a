// Long queues hold few kinds of jobs, and what can be planned for one is planned for those of its kind that are ahead first.
#pragma once

#include <cstddef>
#include <map>
#include <optional>

#include "yoke/v1/job.pb.h"

namespace yoke::daemon {

// Of one snapshot; the jobs must outlive it, and come by sequence. Pure.
class AlikeJobs {
 public:
  // The first `most` (above 0) of a kind are planned each for itself.
  explicit AlikeJobs(size_t most) : most_(most) {}

  // Absent: the waiting job shall be planned, and will be at `place` among those planned. Otherwise the place of the
  // last one planned that differs from it in nothing that a plan depends on but the sequence; so many of them are ahead
  // of it that it cannot start before they do, and what it has to say while it waits it says since its submission.
  std::optional<size_t> LikeWhich(const v1::Job& job, size_t place);

 private:
  struct ByKind {
    bool operator()(const v1::Job* a, const v1::Job* b) const;
  };
  struct Seen {
    size_t count = 0;
    size_t place = 0;  // of the last one planned
  };

  const size_t most_;
  using Kinds = std::map<const v1::Job*, Seen, ByKind>;
  Kinds seen_;                         // by the first of each kind
  Kinds::value_type* last_ = nullptr;  // of the job asked for last
};

}  // namespace yoke::daemon
