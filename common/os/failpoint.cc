#include "common/os/failpoint.h"

#ifdef YOKE_FAILPOINTS

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <set>
#include <string>
#include <string_view>

#include "common/base/mutex.h"

namespace yoke::os {
namespace {

struct Action {
  std::string kind;  // error, delay, kill9, short
  int64_t value = 0;
  int64_t skip = 0;
  int64_t left = INT64_MAX;
};

[[noreturn]] void Refuse(std::string_view part) {
  std::fprintf(stderr, "YOKE_FAILPOINTS: cannot read '%.*s'\n", static_cast<int>(part.size()),
               part.data());
  _exit(125);
}

int64_t Number(std::string_view text, std::string_view part) {
  if (text.empty() || text.find_first_not_of("0123456789") != std::string_view::npos ||
      text.size() > 18)
    Refuse(part);
  return std::strtoll(std::string(text).c_str(), nullptr, 10);
}

int64_t ErrorNumber(std::string_view text, std::string_view part) {
  static const std::map<std::string_view, int> known = {
      {"EIO", EIO},       {"ENOSPC", ENOSPC}, {"EMFILE", EMFILE}, {"ENFILE", ENFILE},
      {"EAGAIN", EAGAIN}, {"ENOMEM", ENOMEM}, {"EACCES", EACCES}, {"EROFS", EROFS},
      {"ENOENT", ENOENT}, {"EINTR", EINTR}};
  const auto found = known.find(text);
  return found == known.end() ? Number(text, part) : found->second;
}

Action ParseAction(std::string_view text, std::string_view part) {
  Action action;
  if (const size_t off = text.find("*off->"); off != std::string_view::npos) {
    action.skip = Number(text.substr(0, off), part);
    text.remove_prefix(off + 6);
  }
  if (const size_t times = text.find('*'); times != std::string_view::npos) {
    action.left = Number(text.substr(0, times), part);
    text.remove_prefix(times + 1);
  }
  const size_t open = text.find('(');
  action.kind = text.substr(0, open);
  if (action.kind == "kill9" && open == std::string_view::npos) return action;
  if (open == std::string_view::npos || text.back() != ')') Refuse(part);
  const std::string_view value = text.substr(open + 1, text.size() - open - 2);
  if (action.kind == "error") {
    action.value = ErrorNumber(value, part);
  } else if (action.kind == "delay" || action.kind == "short") {
    action.value = Number(value, part);
  } else {
    Refuse(part);
  }
  return action;
}

const char* Environment(const char* name) {
  const char* value = getenv(name);
  return value == nullptr ? "" : value;
}

class Failpoints {
 public:
  // Never destroyed: points are visited until the last moment of a process.
  static Failpoints& Instance() {
    static Failpoints& instance = *new Failpoints;
    return instance;
  }

  FailpointEffect Visit(const char* name) {
    Action action;
    {
      MutexLock lock(mutex_);
      if (!visited_path_.empty() && seen_.insert(name).second) Note(name);
      const auto found = actions_.find(name);
      if (found == actions_.end()) return {};
      Action& planned = found->second;
      if (planned.skip > 0) {
        --planned.skip;
        return {};
      }
      if (planned.left == 0 || !MayAct(name)) return {};
      --planned.left;
      action = planned;
    }
    return Act(action);
  }

 private:
  Failpoints()
      : program_(program_invocation_short_name),
        once_path_(Environment("YOKE_FAILPOINTS_ONCE")),
        visited_path_(Environment("YOKE_FAILPOINTS_VISITED")) {
    // The shim starts a rank as "exe", through /proc/self.
    if (program_ == "exe") program_ = "yoke-shim";
    std::string_view rest = Environment("YOKE_FAILPOINTS");
    while (!rest.empty()) {
      const std::string_view part = rest.substr(0, rest.find(';'));
      rest.remove_prefix(part.size() < rest.size() ? part.size() + 1 : part.size());
      const size_t equals = part.find('=');
      if (equals == std::string_view::npos) Refuse(part);
      std::string_view name = part.substr(0, equals);
      const Action action = ParseAction(part.substr(equals + 1), part);
      if (const size_t colon = name.find(':'); colon != std::string_view::npos) {
        if (name.substr(0, colon) != program_) continue;
        name.remove_prefix(colon + 1);
      }
      actions_[std::string(name)] = action;
    }
  }

  static FailpointEffect Act(const Action& action) {
    if (action.kind == "kill9") {
      kill(getpid(), SIGKILL);
      for (;;) pause();
    }
    if (action.kind == "delay") {
      const timespec time = {static_cast<time_t>(action.value / 1000),
                             static_cast<long>(action.value % 1000) * 1'000'000};
      nanosleep(&time, nullptr);
      return {};
    }
    if (action.kind == "error") return {.error = static_cast<int>(action.value)};
    return {.length = static_cast<size_t>(action.value)};
  }

  bool MayAct(const char* name) const {
    if (once_path_.empty()) return true;
    const int fd = open(once_path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0) return false;
    Append(fd, name);
    return true;
  }

  void Note(const char* name) const {
    const int fd = open(visited_path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (fd >= 0) Append(fd, name);
  }

  void Append(int fd, const char* name) const {
    const std::string line = program_ + ":" + name + "\n";
    if (write(fd, line.data(), line.size()) < 0)
      std::fprintf(stderr, "YOKE_FAILPOINTS: cannot note %s", line.c_str());
    close(fd);
  }

  std::string program_;
  const std::string once_path_;
  const std::string visited_path_;
  Mutex mutex_;
  std::map<std::string, Action, std::less<>> actions_ YOKE_GUARDED_BY(mutex_);
  std::set<std::string> seen_ YOKE_GUARDED_BY(mutex_);
};

}  // namespace

FailpointEffect VisitFailpoint(const char* name) {
  const int error = errno;
  const FailpointEffect effect = Failpoints::Instance().Visit(name);
  errno = error;
  return effect;
}

}  // namespace yoke::os

#endif
