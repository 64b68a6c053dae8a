// Samples the GPUs in a thread of its own, so that a hanging driver hangs nothing but that thread.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/time/time.h"
#include "server/devices/nvml.h"

namespace yoke::devices {

struct GpuSample {
  NvmlReading reading;  // GPUs seen once stay in it; those that vanished have `lost` set
  std::string problem;  // why there is no (fresh) reading; empty while all is well
  bool has_driver = false;
  int64_t began_ms = 0;  // when the reading began, on os::BootMilliseconds: what was so before shows in it
};

// Thread-safe.
class GpuSampler {
 public:
  struct Options {
    std::string library;  // as Nvml::Load takes it
    absl::Duration interval = absl::Seconds(1);
    absl::Duration timeout = absl::Seconds(5);  // a call that takes longer counts as hanging
    // Called from the sampling thread with each reading before anybody else sees it. May outlive the sampler.
    std::function<void(const NvmlReading&)> on_reading = [](const NvmlReading&) {};
  };
  // Waits for the first sample, at most `timeout`.
  explicit GpuSampler(const Options& options);
  // Never waits for the driver: a hanging thread is left behind with what it holds.
  ~GpuSampler();
  GpuSampler(const GpuSampler&) = delete;

  GpuSample Latest() const;
  // Called from the sampling thread after each sample.
  void SetListener(std::function<void()> listener);
  // Does not wait for the end of the interval.
  void SampleSoon();

 private:
  struct Shared;
  static void Run(const std::shared_ptr<Shared>& shared);
  std::shared_ptr<Shared> shared_;
};

}  // namespace yoke::devices
