#include "server/engine/distributed/group.h"

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "server/engine/distributed/c10d_group.h"

namespace yoke::engine {
namespace {

class GroupOfOne : public Group {
 public:
  int rank() const override { return 0; }
  int world_size() const override { return 1; }
  absl::Status AllReduceSum(at::Tensor&) override { return absl::OkStatus(); }
  absl::Status Broadcast(at::Tensor&, int) override { return absl::OkStatus(); }
  absl::StatusOr<std::vector<std::string>> AllGatherBytes(const std::string& mine) override {
    return std::vector<std::string>{mine};
  }
  absl::StatusOr<std::vector<int64_t>> Max(const std::vector<int64_t>& mine) override {
    return mine;
  }
};

}  // namespace

absl::StatusOr<bool> Group::AnyTrue(bool mine) {
  YOKE_ASSIGN_OR_RETURN(const std::vector<int64_t> any, Max({mine ? 1 : 0}));
  return any[0] != 0;
}

absl::Status Group::Barrier() { return Max({0}).status(); }

absl::StatusOr<std::shared_ptr<Group>> MakeGroup(const GroupOptions& options) {
  if (options.world_size < 1 || options.rank < 0 || options.rank >= options.world_size) {
    return absl::InvalidArgumentError(absl::StrCat("rank ", options.rank, " of a group of ",
                                                   options.world_size, " does not exist"));
  }
  if (options.backend != "gloo" && options.backend != "nccl") {
    return absl::InvalidArgumentError(
        absl::StrCat("the backend is gloo or nccl, not '", options.backend, "'"));
  }
  if (options.world_size == 1) return std::make_shared<GroupOfOne>();
  return C10dGroup::Connect(options);
}

}  // namespace yoke::engine
