// BatchNorm over the images of all ranks.
#pragma once

#include "c10/util/Exception.h"
#include "server/engine/distributed/group.h"
#include "server/engine/model/bn_silu.h"

namespace yoke::engine {

// Adds up BatchNorm's sums by the group, which must outlive it.
class GroupStatistics : public StatisticsExchange {
 public:
  explicit GroupStatistics(Group& group) : group_(group) {}
  void Sum(at::Tensor& sums) override {
    const absl::Status status = group_.AllReduceSum(sums);
    TORCH_CHECK(status.ok(), status.message());
  }

 private:
  Group& group_;
};

}  // namespace yoke::engine
