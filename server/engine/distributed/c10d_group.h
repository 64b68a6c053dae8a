// A group of several ranks over c10d. Collectives of the trainer's tensors go through the process
// group (gloo or NCCL); small agreements between ranks go through a gloo side group, so that they
// never touch a device.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "server/engine/distributed/group.h"
#include "torch/csrc/distributed/c10d/ProcessGroup.hpp"

namespace yoke::engine {

class CudaModule;

class C10dGroup : public Group {
 public:
  static absl::StatusOr<std::shared_ptr<C10dGroup>> Connect(const GroupOptions& options);
  // With NCCL, after collectives that all went well, waits until every rank is here.
  ~C10dGroup() override;

  int rank() const override { return options_.rank; }
  int world_size() const override { return options_.world_size; }
  absl::Status AllReduceSum(at::Tensor& tensor) override;
  absl::Status Broadcast(at::Tensor& tensor, int root) override;
  absl::StatusOr<std::vector<std::string>> AllGatherBytes(const std::string& mine) override;
  absl::StatusOr<std::vector<int64_t>> Max(const std::vector<int64_t>& mine) override;

  // For the reducer.
  const c10::intrusive_ptr<c10d::ProcessGroup>& process_group() const { return process_group_; }

 private:
  explicit C10dGroup(const GroupOptions& options) : options_(options) {}
  // Waits for a collective; what goes wrong becomes Unavailable, naming `operation`.
  template <typename Start>
  absl::Status Await(const char* operation, Start start);

  GroupOptions options_;
  c10::intrusive_ptr<c10d::ProcessGroup> process_group_;
  c10::intrusive_ptr<c10d::Backend> side_;
  CudaModule* cuda_ = nullptr;  // with NCCL
  bool failed_ = false;
};

}  // namespace yoke::engine
