#include "server/devices/sampler.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/mutex.h"
#include "common/os/clock.h"

namespace yoke::devices {
namespace {

using SteadyClock = std::chrono::steady_clock;

// What was seen before stays known: a lease must still find its device when the driver forgets it.
void KeepVanished(const NvmlReading& before, NvmlReading& now) {
  for (const GpuReading& old : before.gpus) {
    const bool found = std::any_of(now.gpus.begin(), now.gpus.end(),
                                   [&](const GpuReading& gpu) { return gpu.uuid == old.uuid; });
    if (found) continue;
    GpuReading lost = old;
    lost.lost = "the driver no longer lists it";
    lost.utilization_percent.reset();
    lost.power_watts.reset();
    lost.temperature_celsius.reset();
    lost.pids.clear();
    lost.xids.clear();
    now.gpus.push_back(std::move(lost));
  }
  std::stable_sort(now.gpus.begin(), now.gpus.end(),
                   [](const GpuReading& a, const GpuReading& b) { return a.pci_bus_id < b.pci_bus_id; });
}

}  // namespace

struct GpuSampler::Shared {
  Options options;
  mutable Mutex mutex;
  CondVar changed;
  GpuSample sample YOKE_GUARDED_BY(mutex);
  bool first_done YOKE_GUARDED_BY(mutex) = false;
  bool stop YOKE_GUARDED_BY(mutex) = false;
  bool soon YOKE_GUARDED_BY(mutex) = false;
  bool ended YOKE_GUARDED_BY(mutex) = false;
  SteadyClock::time_point call_started YOKE_GUARDED_BY(mutex);
  bool in_call YOKE_GUARDED_BY(mutex) = false;
  Mutex listener_mutex;
  std::function<void()> listener YOKE_GUARDED_BY(listener_mutex);
};

GpuSampler::GpuSampler(const Options& options) : shared_(std::make_shared<Shared>()) {
  shared_->options = options;
  std::thread([shared = shared_] { Run(shared); }).detach();
  const auto deadline = SteadyClock::now() + absl::ToChronoNanoseconds(options.timeout);
  MutexLock lock(shared_->mutex);
  while (!shared_->first_done) {
    if (!shared_->changed.WaitUntil(shared_->mutex, deadline)) break;
  }
}

GpuSampler::~GpuSampler() {
  SetListener(nullptr);
  const auto deadline = SteadyClock::now() + std::chrono::milliseconds(200);
  MutexLock lock(shared_->mutex);
  shared_->stop = true;
  shared_->changed.NotifyAll();
  while (!shared_->ended) {
    if (!shared_->changed.WaitUntil(shared_->mutex, deadline)) break;
  }
}

GpuSample GpuSampler::Latest() const {
  MutexLock lock(shared_->mutex);
  GpuSample sample = shared_->sample;
  const auto waited = SteadyClock::now() - shared_->call_started;
  if (shared_->in_call && waited >= absl::ToChronoNanoseconds(shared_->options.timeout)) {
    sample.has_driver = true;
    sample.problem = absl::StrCat("the NVIDIA driver has not answered for ",
                                  std::chrono::duration_cast<std::chrono::seconds>(waited).count(), " s");
  }
  return sample;
}

void GpuSampler::SetListener(std::function<void()> listener) {
  MutexLock lock(shared_->listener_mutex);
  shared_->listener = std::move(listener);
}

void GpuSampler::SampleSoon() {
  MutexLock lock(shared_->mutex);
  shared_->soon = true;
  shared_->changed.NotifyAll();
}

void GpuSampler::Run(const std::shared_ptr<Shared>& shared) {
  std::unique_ptr<Nvml> nvml;
  while (true) {
    int64_t began_ms = 0;
    NvmlReading before;
    {
      MutexLock lock(shared->mutex);
      if (shared->stop) break;
      shared->soon = false;
      began_ms = os::BootMilliseconds();
      shared->in_call = true;
      shared->call_started = SteadyClock::now();
      before = shared->sample.reading;
    }
    absl::StatusOr<NvmlReading> reading = absl::UnknownError("");
    bool has_driver = true;
    if (nvml == nullptr) {
      auto loaded = Nvml::Load(shared->options.library);
      has_driver = loaded.ok() || !absl::IsNotFound(loaded.status());
      if (loaded.ok()) {
        nvml = *std::move(loaded);
      } else {
        reading = loaded.status();
      }
    }
    if (nvml != nullptr) reading = nvml->Read();
    if (reading.ok()) {
      KeepVanished(before, *reading);
      shared->options.on_reading(*reading);
    }
    {
      MutexLock lock(shared->mutex);
      shared->in_call = false;
      GpuSample& sample = shared->sample;
      sample.has_driver = has_driver;
      if (reading.ok()) {
        sample.reading = *std::move(reading);
        sample.began_ms = began_ms;
        sample.problem.clear();
      } else {
        sample.problem = std::string(reading.status().message());
      }
      shared->first_done = true;
      shared->changed.NotifyAll();
    }
    {
      MutexLock lock(shared->listener_mutex);
      if (shared->listener) shared->listener();
    }
    // Where there is no library at all, nobody installs one while the daemon runs.
    if (!has_driver) break;
    const auto next = SteadyClock::now() + absl::ToChronoNanoseconds(shared->options.interval);
    MutexLock lock(shared->mutex);
    while (!shared->stop && !shared->soon) {
      if (!shared->changed.WaitUntil(shared->mutex, next)) break;
    }
  }
  nvml.reset();
  MutexLock lock(shared->mutex);
  shared->ended = true;
  shared->changed.NotifyAll();
}

}  // namespace yoke::devices
