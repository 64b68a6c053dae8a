// At most one start per attempt: the shim that wins the lock and creates `started` runs it.
#pragma once

#include "absl/status/statusor.h"
#include "common/ipc/attempt_files.h"
#include "common/os/ofd_lock.h"

namespace yoke::shim {

// Locks the attempt's `lock` and creates `started` with this process' StartRecord. The attempt is
// claimed as long as the returned lock lives. FailedPrecondition: another shim has the lock.
// AlreadyExists: a shim has started this attempt before. Other errors: nothing was started, and
// `started` is gone again.
absl::StatusOr<os::OfdLock> ClaimAttempt(const ipc::AttemptSpec& spec);

// Makes the claim durable, and with it, as Linux's file systems log a new file, the new folders it
// is in. No rank starts before: after a loss of power the attempt must not look as if it had never
// begun.
absl::Status SyncClaim(const ipc::AttemptSpec& spec);
// Takes the claim back: nothing of the attempt runs or has run.
void DropClaim(const ipc::AttemptSpec& spec);

}  // namespace yoke::shim
