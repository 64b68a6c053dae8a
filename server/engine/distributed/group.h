// The ranks of one job as a group: gloo on CPU slots, NCCL on GPUs, or a group of one.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "ATen/ATen.h"
#include "absl/status/statusor.h"

namespace yoke::engine {

struct GroupOptions {
  int rank = 0, world_size = 1;
  std::string store_path;        // c10d FileStore; unused for a group of one
  std::string backend = "gloo";  // gloo | nccl
  int timeout_seconds = 1800;
};

// Collectives over CPU or device tensors. Blocking; every rank must call the same in the same
// order. Errors (a peer died, time-out): Unavailable, naming the operation.
class Group {
 public:
  virtual ~Group() = default;
  virtual int rank() const = 0;
  virtual int world_size() const = 0;
  virtual absl::Status AllReduceSum(at::Tensor& tensor) = 0;
  virtual absl::Status Broadcast(at::Tensor& tensor, int root) = 0;
  // Gathers byte strings of any length; the result is ordered by rank, on every rank.
  virtual absl::StatusOr<std::vector<std::string>> AllGatherBytes(const std::string& mine) = 0;
  // The largest of each number over the ranks, on every rank. Never touches a device.
  virtual absl::StatusOr<std::vector<int64_t>> Max(const std::vector<int64_t>& mine) = 0;

  // True on every rank as soon as any rank says true: how ranks agree to stop.
  absl::StatusOr<bool> AnyTrue(bool mine);
  absl::Status Barrier();
};

absl::StatusOr<std::shared_ptr<Group>> MakeGroup(const GroupOptions& options);

}  // namespace yoke::engine
