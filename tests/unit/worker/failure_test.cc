#include "server/worker/failure.h"

#include "gtest/gtest.h"

namespace yoke::worker {
namespace {

struct Case {
  absl::Status status;
  ipc::WorkerExit exit;
  const char* reason;
};

TEST(Failure, HasTheExitCodeAndReasonThatScriptsMatch) {
  const Case cases[] = {
      {absl::InvalidArgumentError("a.txt:2: class 7"), ipc::kWorkerBadInput, "BAD_INPUT"},
      {absl::NotFoundError("x.pt"), ipc::kWorkerBadInput, "BAD_INPUT"},
      {absl::FailedPreconditionError("x"), ipc::kWorkerBadInput, "BAD_INPUT"},
      {absl::PermissionDeniedError("x"), ipc::kWorkerBadInput, "BAD_INPUT"},
      {absl::AlreadyExistsError("out is not empty"), ipc::kWorkerBadInput, "BAD_INPUT"},
      {absl::OutOfRangeError("the loss is not finite"), ipc::kWorkerBadInput, "BAD_INPUT"},
      {absl::DataLossError("no checkpoint verifies"), ipc::kWorkerBadInput, "BAD_INPUT"},
      {absl::ResourceExhaustedError("x: No space left on device"), ipc::kWorkerDiskFull,
       "DISK_FULL"},
      {absl::ResourceExhaustedError("x: Disk quota exceeded"), ipc::kWorkerDiskFull, "DISK_FULL"},
      {absl::ResourceExhaustedError("fork: Cannot allocate memory"), ipc::kWorkerOutOfMemory,
       "OUT_OF_MEMORY"},
      {absl::InternalError("DefaultCPUAllocator: can't allocate memory: you tried"),
       ipc::kWorkerOutOfMemory, "OUT_OF_MEMORY"},
      {absl::InternalError("CUDA out of memory. Tried to"), ipc::kWorkerOutOfMemory,
       "OUT_OF_MEMORY"},
      {OutOfMemory("lower batch"), ipc::kWorkerOutOfMemory, "OUT_OF_MEMORY"},
      {CudaUnavailable("no driver"), ipc::kWorkerCudaUnavailable, "CUDA_UNAVAILABLE"},
      {absl::UnavailableError("rank 0: a gather with the other ranks failed"), ipc::kWorkerError,
       "RANK_FAILED"},
      {absl::UnavailableError("a.jpg: cannot read: Input/output error"), ipc::kWorkerError,
       "INTERNAL"},
      {absl::InternalError("a bug"), ipc::kWorkerError, "INTERNAL"},
      {absl::CancelledError("stopped"), ipc::kWorkerStopped, ""},
  };
  for (const Case& one : cases) {
    const Failure failure = FailureOf(one.status);
    EXPECT_EQ(failure.exit, one.exit) << one.status;
    EXPECT_EQ(failure.reason, one.reason) << one.status;
  }
}

TEST(Failure, IsOneLineWhateverTheEngineSaid) {
  EXPECT_EQ(FailureOf(absl::InternalError("first\nsecond\n")).message, "first second");
  EXPECT_FALSE(FailureOf(absl::InternalError("")).message.empty());
}

}  // namespace
}  // namespace yoke::worker
