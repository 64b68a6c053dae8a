// Where the time of a training goes, by stage. On devices these are the host's times: what it waits
// for, and what it takes to hand over work that the device does later.
#pragma once

#include <array>
#include <chrono>
#include <map>
#include <string>

namespace yoke::engine {

enum class Stage { kLoad, kCopy, kForward, kLoss, kBackward, kReduce, kStep, kVal, kSave };

class StageClock {
 public:
  // What follows belongs to the next Lap.
  void Start() { last_ = Clock::now(); }
  // The time since the last call belonged to `stage`.
  void Lap(Stage stage) {
    const Clock::time_point now = Clock::now();
    seconds_[static_cast<size_t>(stage)] += std::chrono::duration<double>(now - last_).count();
    last_ = now;
  }
  // By the names that results carry.
  std::map<std::string, double> seconds() const {
    static constexpr const char* kNames[] = {"load",   "copy", "forward", "loss", "backward",
                                             "reduce", "step", "val",     "save"};
    std::map<std::string, double> named;
    for (size_t i = 0; i < seconds_.size(); ++i) named[kNames[i]] = seconds_[i];
    return named;
  }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point last_ = Clock::now();
  std::array<double, 9> seconds_ = {};
};

}  // namespace yoke::engine
