// Files as the rest of the tree needs them: whole reads with a limit, replacement that a crash cannot
// tear, folders that are durable once made. Every error is a Status that names the path.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/os/unique_fd.h"

namespace yoke::os {

inline constexpr size_t kReadLimit = size_t{16} << 20;

// "WHAT: strerror". ENOENT, ENOTDIR: NotFound; EACCES, EPERM, EROFS: PermissionDenied; ENOSPC, EDQUOT,
// EMFILE, ENFILE, ENOMEM: ResourceExhausted; EEXIST: AlreadyExists; EISDIR, ELOOP, ENAMETOOLONG: InvalidArgument;
// EAGAIN: Unavailable; else Internal.
absl::Status ErrnoStatus(int error, std::string_view what);

// open(2) with O_CLOEXEC added.
absl::StatusOr<UniqueFd> Open(const std::string& path, int flags, mode_t mode = 0644);

// The whole file. ResourceExhausted if it is longer than `limit`.
absl::StatusOr<std::string> ReadFile(const std::string& path, size_t limit = kReadLimit);

// At most the last `limit` bytes of the file.
absl::StatusOr<std::string> ReadTail(const std::string& path, size_t limit);

// All of `bytes`, through short writes and interruptions. `path` is for the message.
absl::Status WriteAll(int fd, std::string_view bytes, std::string_view path);

// Whether what was written survives the loss of power when a call returns, or only once the file and
// its folders are synced by somebody. A process that dies takes nothing back either way.
enum class Sync { kNow, kLater };

// Replaces `path` as one step: temp file in the same folder, fsync, rename, fsync of the folder. After
// an error the old content stands and no temp file is left.
absl::Status AtomicWriteFile(const std::string& path, std::string_view bytes, mode_t mode = 0644,
                             Sync sync = Sync::kNow);

// Removes what AtomicWriteFile (*.tmp.PID.NUMBER) and the engine (*.tmp) left in `folder` when
// their process was killed. REQUIRES: no process writes there.
void RemoveUnfinished(const std::string& folder);

// mkdir -p; each folder made is synced into its parent. OK if it is there already.
absl::Status MakeDirs(const std::string& path, mode_t mode = 0755, Sync sync = Sync::kNow);

absl::Status SyncFile(int fd, std::string_view path);
absl::Status SyncFolder(const std::string& path);

bool FileExists(const std::string& path);

// unlink(2); OK if it is not there.
absl::Status RemoveFile(const std::string& path);

// Folder part of a path: "." if it has none, "/" for the root.
std::string FolderOf(const std::string& path);

}  // namespace yoke::os
