#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/os/failpoint.h"
#include "common/os/file.h"
#include "common/os/process.h"

extern char** environ;

namespace yoke::os {
namespace {

constexpr int kExecFailed = 127;  // as a shell says it

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

// What becomes descriptors 0 to 2.
struct Standard {
  UniqueFd input, output, errors;
};

struct Program {
  std::vector<char*> argv, env;
};

// Returns an errno, or 0 and the child's pid.
int SpawnHere(const SpawnOptions& options, const Standard& standard, const Program& program,
              pid_t* pid) {
  Plan plan;
  posix_spawn_file_actions_adddup2(plan.actions(), standard.input.get(), 0);
  posix_spawn_file_actions_adddup2(plan.actions(), standard.output.get(), 1);
  posix_spawn_file_actions_adddup2(plan.actions(), standard.errors.get(), 2);
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

  return posix_spawn(pid, program.argv[0], plan.actions(), plan.attributes(), program.argv.data(),
                     program.env.data());
}

// What posix_spawn cannot do, in words that are made before the child is born.
struct Care {
  pid_t caller = 0;
  std::string oom_score, procs;
};

Care CareOf(const SpawnOptions& options) {
  return {getpid(), options.oom_score ? absl::StrCat(*options.oom_score) : "",
          options.joined_cgroup.empty() ? "" : options.joined_cgroup + "/cgroup.procs"};
}

bool NeedsCare(const SpawnOptions& options) {
  return !options.cgroup.empty() || options.dies_with_caller || options.oom_score.has_value() ||
         !options.joined_cgroup.empty() || options.user_processes_max > 0;
}

bool WriteFile(const std::string& path, std::string_view text) {
  const int fd = open(path.c_str(), O_WRONLY | O_CLOEXEC);
  return fd >= 0 && write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

// In the child. As well as it can be: what escapes is found in other ways.
void Contain(const SpawnOptions& options, const Care& care) {
  static constexpr std::string_view kOutside = "it cannot join its control group\n";
  if (!care.oom_score.empty()) WriteFile("/proc/self/oom_score_adj", care.oom_score);
  if (!care.procs.empty() && !WriteFile(care.procs, "0")) {
    [[maybe_unused]] const ssize_t told = write(2, kOutside.data(), kOutside.size());
  }
  const rlim_t most = static_cast<rlim_t>(options.user_processes_max);
  rlimit limit = {};
  if (most > 0 && getrlimit(RLIMIT_NPROC, &limit) == 0 && most < limit.rlim_max) {
    limit = {most, most};
    setrlimit(RLIMIT_NPROC, &limit);
  }
}

// In the child, which has a copy of one thread: system calls only. Returns if one of them failed.
void BecomeProgram(const SpawnOptions& options, const Standard& standard, const Program& program,
                   const Care& care) {
  if (options.dies_with_caller) {
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) return;
    // The caller may have ended before the request above.
    if (getppid() != care.caller) _exit(kExecFailed);
  }
  struct sigaction plain = {};
  plain.sa_handler = SIG_DFL;
  for (int signal = 1; signal < NSIG; ++signal) sigaction(signal, &plain, nullptr);
  if (options.new_session ? setsid() < 0 : options.new_group && setpgid(0, 0) != 0) return;
  if (dup2(standard.input.get(), 0) < 0 || dup2(standard.output.get(), 1) < 0 ||
      dup2(standard.errors.get(), 2) < 0)
    return;
  if (!options.cwd.empty() && chdir(options.cwd.c_str()) != 0) return;
  if (close_range(3, ~0U, CLOSE_RANGE_CLOEXEC) != 0) return;
  sigset_t none;
  sigemptyset(&none);
  if (pthread_sigmask(SIG_SETMASK, &none, nullptr) != 0) return;
  Contain(options, care);
  YOKE_FAILPOINT("spawn.exec.before");
  execve(program.argv[0], program.argv.data(), program.env.data());
}

// The same, with what posix_spawn cannot do.
absl::StatusOr<int> SpawnWithCare(const SpawnOptions& options, const Standard& standard,
                                  const Program& program, pid_t* pid) {
  const auto cannot = [&](absl::string_view why) {
    return absl::UnimplementedError(
        absl::StrCat("cannot start a process in ", options.cgroup, ": ", why));
  };
  UniqueFd cgroup;
  if (!options.cgroup.empty()) {
    absl::StatusOr<UniqueFd> opened = Open(options.cgroup, O_RDONLY | O_DIRECTORY);
    if (!opened.ok()) return cannot(opened.status().message());
    cgroup = *std::move(opened);
  }
  const Care care = CareOf(options);
  int ends[2];  // the child's errno; closed by a successful exec
  if (pipe2(ends, O_CLOEXEC) != 0) return errno;
  const UniqueFd heard(ends[0]);
  UniqueFd told(ends[1]);

  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  clone_args how = {};
  how.flags = CLONE_VFORK | (cgroup.valid() ? CLONE_INTO_CGROUP : 0);
  how.exit_signal = SIGCHLD;
  how.cgroup = cgroup.valid() ? static_cast<uint64_t>(cgroup.get()) : 0;
  long cloned = syscall(SYS_clone3, &how, sizeof how);
  // Kernels before 5.3, and sandboxes, do not have it.
  if (cloned < 0 && (errno == ENOSYS || errno == EPERM) && !cgroup.valid()) cloned = fork();
  if (cloned == 0) {
    BecomeProgram(options, standard, program, care);
    const int failure = errno;
    _exit(write(told.get(), &failure, sizeof failure) == sizeof failure ? kExecFailed
                                                                        : kExecFailed - 1);
  }
  const int refusal = cloned < 0 ? errno : 0;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (refusal == EAGAIN || refusal == ENOMEM) return refusal;
  if (refusal != 0 && !cgroup.valid()) return refusal;
  if (refusal != 0) return cannot(strerror(refusal));

  told.Reset();
  int failure = 0;
  ssize_t got = 0;
  do {
    got = read(heard.get(), &failure, sizeof failure);
  } while (got < 0 && errno == EINTR);
  if (got != sizeof failure) {
    *pid = static_cast<pid_t>(cloned);
    return 0;
  }
  Wait(static_cast<pid_t>(cloned)).IgnoreError();
  return failure;
}

}  // namespace

absl::StatusOr<pid_t> Spawn(const SpawnOptions& options) {
  if (options.argv.empty()) return absl::InvalidArgumentError("no program to start");
  Standard standard;
  YOKE_ASSIGN_OR_RETURN(standard.input, SourceFor(options.stdin_fd, O_RDONLY));
  YOKE_ASSIGN_OR_RETURN(standard.output, SourceFor(options.stdout_fd, O_WRONLY));
  YOKE_ASSIGN_OR_RETURN(standard.errors, SourceFor(options.stderr_fd, O_WRONLY));
  const Program program = {Pointers(options.argv), Pointers(options.env)};
  pid_t pid = 0;
  int error = YOKE_FAILPOINT_ERROR("spawn.before");
  if (error == 0 && !NeedsCare(options)) {
    error = SpawnHere(options, standard, program, &pid);
  } else if (error == 0) {
    YOKE_ASSIGN_OR_RETURN(error, SpawnWithCare(options, standard, program, &pid));
  }
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
