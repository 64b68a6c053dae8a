#include "server/engine/distributed/c10d_group.h"

#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "server/engine/cuda/cuda_module.h"
#include "torch/csrc/distributed/c10d/FileStore.hpp"
#include "torch/csrc/distributed/c10d/PrefixStore.hpp"
#include "torch/csrc/distributed/c10d/ProcessGroupGloo.hpp"

namespace yoke::engine {
namespace {

c10::intrusive_ptr<c10d::Backend> MakeGloo(const c10::intrusive_ptr<c10d::Store>& store,
                                           const GroupOptions& options) {
  auto gloo =
      c10d::ProcessGroupGloo::Options::create(std::chrono::seconds(options.timeout_seconds));
  gloo->devices.push_back(c10d::ProcessGroupGloo::createDeviceForInterface("lo"));
  gloo->threads = 2;
  return c10::make_intrusive<c10d::ProcessGroupGloo>(store, options.rank, options.world_size, gloo);
}

absl::Status Failed(const char* operation, int rank, const std::string& why) {
  return absl::UnavailableError(
      absl::StrCat("rank ", rank, ": ", operation,
                   " with the other ranks failed: ", why.substr(0, why.find('\n'))));
}

}  // namespace

absl::StatusOr<std::shared_ptr<C10dGroup>> C10dGroup::Connect(const GroupOptions& options) {
  std::shared_ptr<C10dGroup> group(new C10dGroup(options));
  try {
    c10::intrusive_ptr<c10d::Store> store =
        c10::make_intrusive<c10d::FileStore>(options.store_path, options.world_size);
    store->setTimeout(std::chrono::seconds(options.timeout_seconds));
    const auto scoped = [&](const char* name) {
      return c10::make_intrusive<c10d::PrefixStore>(name, store);
    };
    group->side_ = MakeGloo(scoped("side"), options);
    group->process_group_ =
        c10::make_intrusive<c10d::ProcessGroup>(scoped("main"), options.rank, options.world_size);
    if (options.backend == "nccl") {
      YOKE_ASSIGN_OR_RETURN(CudaModule * cuda, CudaModule::Load());
      group->process_group_->setBackend(
          c10::DeviceType::CUDA, c10d::ProcessGroup::BackendType::NCCL,
          cuda->MakeNccl(scoped("nccl"), options.rank, options.world_size,
                         options.timeout_seconds));
      group->cuda_ = cuda;
      group->process_group_->setDefaultBackend(c10d::ProcessGroup::BackendType::NCCL);
    } else {
      group->process_group_->setBackend(c10::DeviceType::CPU, c10d::ProcessGroup::BackendType::GLOO,
                                        MakeGloo(scoped("gloo"), options));
      group->process_group_->setDefaultBackend(c10d::ProcessGroup::BackendType::GLOO);
    }
  } catch (const std::exception& error) {
    return Failed("the rendezvous", options.rank, error.what());
  }
  return group;
}

// NCCL's threads must not outlive its communicators. To shut them down takes all ranks, who may be
// gone; to abort them takes nobody, but peers may still read what this rank has sent.
C10dGroup::~C10dGroup() {
  if (cuda_ == nullptr || process_group_ == nullptr) return;
  // What goes wrong now is no news: the process is about to end.
  try {
    if (!failed_) cuda_->Synchronize();
    if (!failed_) Max({0}).IgnoreError();
  } catch (const std::exception&) {
  }
  try {
    process_group_->abort();
  } catch (const std::exception&) {
  }
}

template <typename Start>
absl::Status C10dGroup::Await(const char* operation, Start start) {
  try {
    start()->wait();
  } catch (const std::exception& error) {
    failed_ = true;
    return Failed(operation, rank(), error.what());
  }
  return absl::OkStatus();
}

absl::Status C10dGroup::AllReduceSum(at::Tensor& tensor) {
  std::vector<at::Tensor> tensors = {tensor};
  return Await("an all-reduce", [&] { return process_group_->allreduce(tensors); });
}

absl::Status C10dGroup::Broadcast(at::Tensor& tensor, int root) {
  std::vector<at::Tensor> tensors = {tensor};
  c10d::BroadcastOptions options;
  options.rootRank = root;
  return Await("a broadcast", [&] { return process_group_->broadcast(tensors, options); });
}

absl::StatusOr<std::vector<std::string>> C10dGroup::AllGatherBytes(const std::string& mine) {
  // First the lengths, then the bytes padded to the longest.
  std::vector<at::Tensor> length = {at::full({1}, static_cast<int64_t>(mine.size()), at::kLong)};
  std::vector<std::vector<at::Tensor>> lengths(1);
  for (int i = 0; i < world_size(); ++i) lengths[0].push_back(at::zeros({1}, at::kLong));
  YOKE_RETURN_IF_ERROR(Await("a gather", [&] { return side_->allgather(lengths, length); }));
  int64_t longest = 1;
  for (const at::Tensor& one : lengths[0]) longest = std::max(longest, one.item<int64_t>());

  at::Tensor padded = at::zeros({longest}, at::kByte);
  std::memcpy(padded.data_ptr(), mine.data(), mine.size());
  std::vector<at::Tensor> input = {padded};
  std::vector<std::vector<at::Tensor>> output(1);
  for (int i = 0; i < world_size(); ++i) output[0].push_back(at::zeros({longest}, at::kByte));
  YOKE_RETURN_IF_ERROR(Await("a gather", [&] { return side_->allgather(output, input); }));
  std::vector<std::string> all;
  for (int i = 0; i < world_size(); ++i)
    all.emplace_back(static_cast<const char*>(output[0][i].data_ptr()),
                     lengths[0][i].item<int64_t>());
  return all;
}

absl::StatusOr<std::vector<int64_t>> C10dGroup::Max(const std::vector<int64_t>& mine) {
  std::vector<at::Tensor> numbers = {at::tensor(mine, at::kLong)};
  c10d::AllreduceOptions options;
  options.reduceOp = c10d::ReduceOp::MAX;
  YOKE_RETURN_IF_ERROR(Await("an agreement", [&] { return side_->allreduce(numbers, options); }));
  const auto* data = numbers[0].data_ptr<int64_t>();
  return std::vector<int64_t>(data, data + mine.size());
}

}  // namespace yoke::engine
