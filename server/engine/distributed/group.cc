#include "server/engine/distributed/group.h"

#include "absl/strings/str_cat.h"
#include "server/engine/distributed/c10d_group.h"

namespace yoke::engine {
namespace {

class GroupOfOne : public Group {
 public:
  int rank() const override { return 0; }
  int world_size() const override { return 1; }
  absl::Status AllReduceSum(at::Tensor&) override { return absl::OkStatus(); }
  absl::Status Broadcast(at::Tensor&, int) override { return absl::OkStatus(); }
  absl::StatusOr<std::vector<std::string>> AllGatherBytes(const std::string& mine) override { return std::vector<std::string>{mine}; }
  absl::StatusOr<bool> AnyTrue(bool mine) override { return mine; }
  absl::Status Barrier() override { return absl::OkStatus(); }
};

}  // namespace

absl::StatusOr<std::shared_ptr<Group>> MakeGroup(const GroupOptions& options) {
  if (options.world_size < 1 || options.rank < 0 || options.rank >= options.world_size) {
    return absl::InvalidArgumentError(absl::StrCat("rank ", options.rank, " of a group of ", options.world_size, " does not exist"));
  }
  if (options.backend != "gloo" && options.backend != "nccl") {
    return absl::InvalidArgumentError(absl::StrCat("the backend is gloo or nccl, not '", options.backend, "'"));
  }
  if (options.world_size == 1) return std::make_shared<GroupOfOne>();
  return C10dGroup::Connect(options);
}

}  // namespace yoke::engine
