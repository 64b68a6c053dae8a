// At most one start per attempt: the shim that wins the lock and creates `started` runs it.
#pragma once

#include "absl/status/statusor.h"
#include "common/ipc/attempt_files.h"
#include "common/os/ofd_lock.h"

namespace yoke::shim {

// Locks the attempt's `lock` and creates `started` with this process' StartRecord, both durable. The
// attempt is claimed as long as the returned lock lives. FailedPrecondition: another shim has the
// lock. AlreadyExists: a shim has started this attempt before. Other errors: nothing was started,
// and `started` is gone again.
absl::StatusOr<os::OfdLock> ClaimAttempt(const ipc::AttemptSpec& spec);

}  // namespace yoke::shim
