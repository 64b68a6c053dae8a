// What was asked of this attempt: stop.json and SIGTERM, and until when the ranks may take.
#pragma once

#include <cstdint>
#include <string>

namespace yoke::shim {

class Stop {
 public:
  // `path`: of stop.json. `default_grace_seconds`: for a signal that comes without the file.
  Stop(std::string path, double default_grace_seconds)
      : path_(std::move(path)), default_grace_seconds_(default_grace_seconds) {}

  // Looks for stop.json again. `signalled`: a SIGTERM came, which is a request even without the file.
  // A later request can shorten the time that is left, never lengthen it.
  void Look(bool signalled);

  bool requested() const { return requested_; }
  // "cancel", "time_limit", "preempt", or "signal" when no file said why.
  const std::string& reason() const { return reason_; }
  double grace_seconds() const { return grace_seconds_; }
  // On os::BootMilliseconds. REQUIRES: requested().
  int64_t deadline_ms() const { return deadline_ms_; }

 private:
  void Request(const std::string& reason, double grace_seconds);

  const std::string path_;
  const double default_grace_seconds_;
  bool requested_ = false;
  std::string reason_;
  double grace_seconds_ = 0;
  int64_t deadline_ms_ = 0;
};

}  // namespace yoke::shim
