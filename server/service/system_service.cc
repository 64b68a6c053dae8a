#include "server/service/system_service.h"

#include <fcntl.h>
#include <limits.h>
#include <openssl/sha.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/os/file.h"
#include "server/jobs/job_control.h"
#include "server/service/durations.h"
#include "server/service/errors.h"
#include "server/service/system_check.h"

namespace yoke::service {
namespace {

constexpr char kGetServerInfo[] = "yoke.v1.SystemService/GetServerInfo";
constexpr char kCreateBackup[] = "yoke.v1.SystemService/CreateBackup";
constexpr char kCheckSystem[] = "yoke.v1.SystemService/CheckSystem";
// A nonce is short; nothing longer is read, nor anything that is no plain file.
constexpr size_t kProbeBytesMax = 256;

std::string HostName() {
  char name[HOST_NAME_MAX + 1] = {};
  return gethostname(name, sizeof name - 1) == 0 ? name : "";
}

// SHA-256 in hexadecimal of a small file; empty if it cannot be read.
std::string ProbeSha256(const std::string& path) {
  if (!absl::StartsWith(path, "/")) return "";
  const absl::StatusOr<os::UniqueFd> fd =
      os::Open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
  struct stat info;
  if (!fd.ok() || fstat(fd->get(), &info) != 0 || !S_ISREG(info.st_mode)) return "";
  char bytes[kProbeBytesMax + 1];
  const ssize_t count = read(fd->get(), bytes, sizeof bytes);
  if (count <= 0 || static_cast<size_t>(count) > kProbeBytesMax) return "";
  std::string digest(SHA256_DIGEST_LENGTH, '\0');
  SHA256(reinterpret_cast<const unsigned char*>(bytes), static_cast<size_t>(count),
         reinterpret_cast<unsigned char*>(digest.data()));
  return absl::BytesToHexString(digest);
}

}  // namespace

grpc::Status SystemService::GetServerInfo(grpc::ServerContext* context,
                                          const v1::GetServerInfoRequest* request,
                                          v1::GetServerInfoResponse* response) {
  const absl::StatusOr<Caller> caller = shared_.Admit(*context, kGetServerInfo);
  if (!caller.ok()) return ToGrpc(caller.status());
  const ServerFacts& facts = shared_.facts();
  response->set_version(facts.version);
  response->set_pid(getpid());
  *response->mutable_start_time() = ToProto(facts.start_time);
  response->set_state_dir(facts.state_dir);
  response->set_hostname(HostName());
  response->set_probe_sha256(ProbeSha256(request->probe_path()));
  response->set_user(caller->user);
  response->mutable_warnings()->Assign(facts.warnings.begin(), facts.warnings.end());
  return grpc::Status::OK;
}

grpc::Status SystemService::CreateBackup(grpc::ServerContext* context,
                                         const v1::CreateBackupRequest* request,
                                         v1::CreateBackupResponse* response) {
  const absl::StatusOr<Caller> caller = shared_.Admit(*context, kCreateBackup);
  if (!caller.ok()) return ToGrpc(caller.status());
  const std::string& path = request->path();
  if (!absl::StartsWith(path, "/")) {
    return ToGrpc(InvalidField("path", "the backup's path must be absolute", "PATH_INVALID"));
  }
  const absl::Status written = shared_.store().BackUp(path);
  if (absl::IsResourceExhausted(written)) return ToGrpc(WithReason(written, "DISK_FULL"));
  if (!written.ok()) return ToGrpc(written);
  struct stat info = {};
  if (stat(path.c_str(), &info) == 0) response->set_bytes(info.st_size);
  response->set_path(path);
  return grpc::Status::OK;
}

grpc::Status SystemService::CheckSystem(grpc::ServerContext* context, const v1::CheckSystemRequest*,
                                        v1::CheckSystemResponse* response) {
  const absl::StatusOr<Caller> caller = shared_.Admit(*context, kCheckSystem);
  if (!caller.ok()) return ToGrpc(caller.status());
  CheckMachine(shared_.facts(), *response);
  CheckDevices(shared_.inventory(), *response);
  CheckWorker(shared_.control().ProbeWorker(), shared_.inventory().has_gpus(), *response);
  return grpc::Status::OK;
}

}  // namespace yoke::service
