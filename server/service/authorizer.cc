#include "server/service/authorizer.h"

#include <pwd.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/check.h"
#include "common/base/status_macros.h"
#include "common/os/file.h"
#include "grpcpp/server_context.h"
#include "server/service/errors.h"

namespace yoke::service {
namespace {

constexpr size_t kTokenBytes = 32;
constexpr size_t kTokenFileMax = 4096;

// Takes as long for a wrong guess that begins well as for one that does not.
bool SameSecret(absl::string_view a, absl::string_view b) {
  if (a.size() != b.size()) return false;
  unsigned char difference = 0;
  for (size_t i = 0; i < a.size(); ++i) difference |= static_cast<unsigned char>(a[i] ^ b[i]);
  return difference == 0;
}

// The token of "authorization: Bearer TOKEN"; empty if there is none.
absl::string_view SentToken(const grpc::ServerContextBase& context) {
  const auto& metadata = context.client_metadata();
  const auto header = metadata.find("authorization");
  if (header == metadata.end()) return "";
  absl::string_view value(header->second.data(), header->second.size());
  if (value.size() < 7 || !absl::EqualsIgnoreCase(value.substr(0, 7), "Bearer ")) return "";
  return absl::StripAsciiWhitespace(value.substr(7));
}

// One user per daemon: whoever can open its socket, or has its token, is that user.
class OneUserAuthorizer : public Authorizer {
 public:
  explicit OneUserAuthorizer(AuthorizerOptions options) : options_(std::move(options)) {
    if (options_.local_user.empty()) options_.local_user = ProcessUser();
  }

  absl::StatusOr<Caller> Identify(const grpc::ServerContextBase& context) override {
    if (absl::StartsWith(context.peer(), "unix:")) return Caller{options_.local_user, true};
    if (options_.token.empty()) {
      return WithReason(absl::UnauthenticatedError(
                            "nobody is let in over TCP here; use the daemon's unix socket"),
                        "NO_TCP");
    }
    const absl::string_view token = SentToken(context);
    if (token.empty()) {
      return WithReason(
          absl::UnauthenticatedError(
              "send the daemon's token as \"authorization: Bearer TOKEN\"; it is in the file "
              "`token` of the daemon's "
              "state folder (the command line takes it from the file that YOKE_TOKEN_FILE names)"),
          "TOKEN_MISSING");
    }
    if (!SameSecret(token, options_.token)) {
      return WithReason(absl::UnauthenticatedError("that is not this daemon's token; it is in the "
                                                   "file `token` of the daemon's state folder"),
                        "TOKEN_WRONG");
    }
    return Caller{options_.local_user, false};
  }

  absl::Status Authorize(const std::string&, const Caller& caller,
                         const std::string& owner) override {
    if (owner.empty() || owner == caller.user) return absl::OkStatus();
    return absl::NotFoundError("There is no such job.");
  }

 private:
  AuthorizerOptions options_;
};

}  // namespace

std::unique_ptr<Authorizer> MakeAuthorizer(const AuthorizerOptions& options) {
  return std::make_unique<OneUserAuthorizer>(options);
}

absl::StatusOr<std::string> LoadOrCreateToken(const std::string& path) {
  struct stat info;
  if (lstat(path.c_str(), &info) != 0) {
    if (errno != ENOENT)
      return os::ErrnoStatus(errno, absl::StrCat("cannot read the token ", path));
    std::string bytes(kTokenBytes, '\0');
    YOKE_CHECK(getrandom(bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()));
    const std::string token = absl::BytesToHexString(bytes);
    YOKE_RETURN_IF_ERROR(os::AtomicWriteFile(path, token + "\n", 0600));
    return token;
  }
  if (!S_ISREG(info.st_mode))
    return absl::FailedPreconditionError(
        absl::StrCat(path, " is no file; remove it, and a new token is made"));
  if ((info.st_mode & 077) != 0) {
    return absl::PermissionDeniedError(absl::StrCat(
        path,
        " can be read by others, so it is no secret any more; remove it, and a new token is made"));
  }
  YOKE_ASSIGN_OR_RETURN(const std::string text, os::ReadFile(path, kTokenFileMax));
  const std::string token(absl::StripAsciiWhitespace(text));
  if (token.size() < kTokenBytes)
    return absl::FailedPreconditionError(
        absl::StrCat(path, " holds no token; remove it, and a new one is made"));
  return token;
}

std::string ProcessUser() {
  passwd entry;
  passwd* found = nullptr;
  std::vector<char> buffer(16384);
  if (getpwuid_r(geteuid(), &entry, buffer.data(), buffer.size(), &found) == 0 && found != nullptr)
    return found->pw_name;
  return absl::StrCat("uid ", geteuid());
}

}  // namespace yoke::service
