#include "server/scheduler/plan.h"

#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace yoke::scheduler {
namespace {

// "GPU 0,2" or "CPU slot 1": the indices of one kind.
std::string Words(std::vector<const DeviceView*> devices) {
  std::sort(devices.begin(), devices.end(), [](const DeviceView* a, const DeviceView* b) { return a->index < b->index; });
  return absl::StrCat(devices[0]->cpu ? "CPU slot " : "GPU ", absl::StrJoin(devices, ",", [](std::string* out, const DeviceView* device) {
                        absl::StrAppend(out, device->index);
                      }));
}

class Planner {
 public:
  explicit Planner(const Snapshot& snapshot) : jobs_(snapshot.jobs) {
    for (const DeviceView& device : snapshot.devices) devices_.push_back(&device);
    std::sort(devices_.begin(), devices_.end(), [](const DeviceView* a, const DeviceView* b) { return a->index < b->index; });
    for (const DeviceView* device : devices_) by_uuid_[device->uuid] = device;
    std::sort(jobs_.begin(), jobs_.end(), [](const WaitingJob& a, const WaitingJob& b) {
      return a.priority != b.priority ? a.priority > b.priority : a.sequence < b.sequence;
    });
  }

  Plan Run() {
    for (const WaitingJob& job : jobs_) {
      if (job.bound.empty()) {
        PlaceAny(job);
      } else {
        PlaceBound(job);
      }
    }
    return std::move(plan_);
  }

 private:
  // Nothing stands between this device and the next job that asks for it.
  bool Available(const DeviceView& device) const {
    return device.holder.empty() && device.unusable.empty() && !reserved_.contains(device.uuid);
  }

  void StartOn(const WaitingJob& job, std::vector<std::string> uuids) {
    for (const std::string& uuid : uuids) reserved_[uuid] = job.id;
    plan_.starts.push_back({job.id, std::move(uuids)});
  }

  void WaitFor(const WaitingJob& job, bool held, std::string sentence) {
    plan_.waits.push_back({job.id, held ? v1::JobReason::WAITING_FOR_DEVICES : v1::JobReason::WAITING_FOR_PRIORITY, std::move(sentence)});
  }

  void PlaceBound(const WaitingJob& job) {
    std::vector<std::string> missing;
    std::vector<const DeviceView*> blocked;
    for (const std::string& uuid : job.bound) {
      const auto found = by_uuid_.find(uuid);
      if (found == by_uuid_.end()) {
        missing.push_back(uuid);
      } else if (!Available(*found->second)) {
        blocked.push_back(found->second);
      }
    }
    if (missing.empty() && blocked.empty()) return StartOn(job, job.bound);
    if (missing.empty()) {
      Explain(job, blocked);
    } else {
      WaitFor(job, true, absl::StrCat("waits for ", absl::StrJoin(missing, ", "), ", which this machine does not show now"));
    }
    for (const std::string& uuid : job.bound) reserved_.emplace(uuid, job.id);
  }

  void PlaceAny(const WaitingJob& job) {
    std::vector<std::string> free;
    std::vector<const DeviceView*> blocked;
    for (const DeviceView* device : devices_) {
      if (device->cpu != job.cpu) continue;
      if (Available(*device)) {
        free.push_back(device->uuid);
      } else {
        blocked.push_back(device);
      }
    }
    const char* kind = job.cpu ? "CPU slot(s)" : "GPU(s)";
    if (static_cast<int>(free.size()) >= job.wanted) {
      free.resize(job.wanted);
      return StartOn(job, std::move(free));
    }
    const bool held = std::any_of(blocked.begin(), blocked.end(), [](const DeviceView* device) {
      return !device->holder.empty() || !device->unusable.empty();
    });
    WaitFor(job, held || blocked.empty(),
            absl::StrCat("waits for ", job.wanted, " idle ", kind, "; ", free.size(), " idle now",
                         blocked.empty() ? "" : absl::StrCat(", ", WhyEach(blocked))));
    for (const std::string& uuid : free) reserved_.emplace(uuid, job.id);
  }

  // Why one device is not to be had.
  std::string Why(const DeviceView& device) const {
    if (!device.holder.empty()) return absl::StrCat("held by ", device.holder);
    if (!device.unusable.empty()) return absl::StrCat("which ", device.unusable);
    return absl::StrCat("behind jobs/", reserved_.at(device.uuid), ", which is ahead in the queue");
  }

  // "GPU 0,2, held by jobs/abc (train); GPU 1, which …": devices with the same cause together.
  std::string WhyEach(const std::vector<const DeviceView*>& devices) const {
    std::vector<std::pair<std::string, std::vector<const DeviceView*>>> causes;
    for (const DeviceView* device : devices) {
      const std::string why = Why(*device);
      const auto same = std::find_if(causes.begin(), causes.end(), [&](const auto& cause) {
        return cause.first == why && cause.second[0]->cpu == device->cpu;
      });
      if (same != causes.end()) {
        same->second.push_back(device);
      } else {
        causes.push_back({why, {device}});
      }
    }
    return absl::StrJoin(causes, "; ", [](std::string* out, const auto& cause) {
      absl::StrAppend(out, Words(cause.second), ", ", cause.first);
    });
  }

  void Explain(const WaitingJob& job, const std::vector<const DeviceView*>& blocked) {
    const bool held = std::any_of(blocked.begin(), blocked.end(), [](const DeviceView* device) {
      return !device->holder.empty() || !device->unusable.empty();
    });
    WaitFor(job, held, absl::StrCat("waits for ", WhyEach(blocked)));
  }

  std::vector<WaitingJob> jobs_;
  std::vector<const DeviceView*> devices_;  // by index
  std::map<std::string, const DeviceView*> by_uuid_;
  std::map<std::string, std::string> reserved_;  // device -> the first job that got or waits for it
  Plan plan_;
};

}  // namespace

Plan MakePlan(const Snapshot& snapshot) { return Planner(snapshot).Run(); }

}  // namespace yoke::scheduler
