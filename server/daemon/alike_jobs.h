// Long queues hold few kinds of jobs, and what can be planned for one is planned for those of its kind that are ahead first.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>

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
  // Owner, queue, device, UUIDs that it stands for, priority, time limit (s, ns), share of memory.
  using Kind = std::tuple<std::string_view, std::string_view, std::string_view, std::string, int32_t, int64_t, int32_t, int64_t>;
  struct Seen {
    const v1::Job* job = nullptr;  // of this kind
    size_t count = 0;
    size_t place = 0;  // of the last one planned
  };
  static bool Same(const v1::Job& a, const v1::Job& b);
  static Kind KindOf(const v1::Job& job);

  const size_t most_;
  std::map<Kind, Seen> seen_;
  Seen* last_ = nullptr;
};

}  // namespace yoke::daemon
