// Looks after the ranks' logs while they grow: notes when each was how long
// (common/ipc/log_times.h), and keeps each below a limit by giving up its oldest bytes, in place:
// what is kept stays where it is, and the ranks write on.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace yoke::shim {

class LogKeeper {
 public:
  // `bytes_max`: of each log; 0: no limit. What is given up is in one piece, so a log may be a
  // quarter smaller.
  LogKeeper(const std::vector<std::string>& logs, int64_t bytes_max);

  // Looks once a second, however often it is called. Of a log that is empty nothing is noted; the first note says that it
  // was so when this was made. What fails is tried again the next time.
  void Look();

 private:
  struct Log {
    std::string path;
    int64_t length = -1;    // noted last; -1: none
    int64_t kept_from = 0;  // all before is given up
    bool can_give_up = true;
  };

  void LookAt(Log& log) const;
  void GiveUp(Log& log, int64_t to) const;

  const int64_t bytes_max_, begin_epoch_ms_;
  std::vector<Log> logs_;
  int64_t due_ms_ = 0;
};

}  // namespace yoke::shim
