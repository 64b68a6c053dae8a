#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/os/failpoint.h"
#include "common/os/file.h"
#include "common/os/process.h"

extern char** environ;

namespace yoke::os {
namespace {

// What posix_spawn is told, freed at the end.
class Plan {
 public:
  Plan() {
    posix_spawn_file_actions_init(&actions_);
    posix_spawnattr_init(&attributes_);
  }
  ~Plan() {
    posix_spawn_file_actions_destroy(&actions_);
    posix_spawnattr_destroy(&attributes_);
  }
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;

  posix_spawn_file_actions_t* actions() { return &actions_; }
  posix_spawnattr_t* attributes() { return &attributes_; }

 private:
  posix_spawn_file_actions_t actions_;
  posix_spawnattr_t attributes_;
};

// A descriptor above 2, so that the child's dup2 calls cannot overwrite one another's source.
absl::StatusOr<UniqueFd> SourceFor(int fd, int flags) {
  if (fd < 0) {
    YOKE_ASSIGN_OR_RETURN(UniqueFd null, Open("/dev/null", flags));
    if (null.get() > 2) return null;
    return SourceFor(null.get(), flags);
  }
  const int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
  if (copy < 0) return ErrnoStatus(errno, "cannot duplicate a descriptor");
  return UniqueFd(copy);
}

std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (const std::string& string : strings) pointers.push_back(const_cast<char*>(string.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

}  // namespace

absl::StatusOr<pid_t> Spawn(const SpawnOptions& options) {
  if (options.argv.empty()) return absl::InvalidArgumentError("no program to start");
  YOKE_ASSIGN_OR_RETURN(UniqueFd input, SourceFor(options.stdin_fd, O_RDONLY));
  YOKE_ASSIGN_OR_RETURN(UniqueFd output, SourceFor(options.stdout_fd, O_WRONLY));
  YOKE_ASSIGN_OR_RETURN(UniqueFd errors, SourceFor(options.stderr_fd, O_WRONLY));

  Plan plan;
  posix_spawn_file_actions_adddup2(plan.actions(), input.get(), 0);
  posix_spawn_file_actions_adddup2(plan.actions(), output.get(), 1);
  posix_spawn_file_actions_adddup2(plan.actions(), errors.get(), 2);
  posix_spawn_file_actions_addclosefrom_np(plan.actions(), 3);
  if (!options.cwd.empty()) {
    posix_spawn_file_actions_addchdir_np(plan.actions(), options.cwd.c_str());
  }

  short flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
  if (options.new_session) {
    flags |= POSIX_SPAWN_SETSID;
  } else if (options.new_group) {
    flags |= POSIX_SPAWN_SETPGROUP;
    posix_spawnattr_setpgroup(plan.attributes(), 0);
  }
  posix_spawnattr_setflags(plan.attributes(), flags);
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(plan.attributes(), &none);
  posix_spawnattr_setsigdefault(plan.attributes(), &all);

  std::vector<char*> argv = Pointers(options.argv);
  std::vector<char*> env = Pointers(options.env);
  pid_t pid = 0;
  if (const int error = YOKE_FAILPOINT_ERROR("spawn.before"))
    return ErrnoStatus(error, absl::StrCat("cannot start ", options.argv[0]));
  const int error = posix_spawn(&pid, options.argv[0].c_str(), plan.actions(), plan.attributes(),
                                argv.data(), env.data());
  if (error != 0) return ErrnoStatus(error, absl::StrCat("cannot start ", options.argv[0]));
  YOKE_FAILPOINT("spawn.after");
  return pid;
}

std::vector<std::string> CurrentEnv() {
  std::vector<std::string> env;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    env.emplace_back(*entry);
  }
  return env;
}

void SetEnv(std::vector<std::string>& env, std::string_view name, std::string_view value) {
  const std::string prefix = absl::StrCat(ToAbsl(name), "=");
  std::erase_if(env, [&](const std::string& entry) { return entry.starts_with(prefix); });
  env.push_back(absl::StrCat(prefix, ToAbsl(value)));
}

}  // namespace yoke::os
