// The scheduler: a snapshot of jobs and devices in, a plan out.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "yoke/v1/job.pb.h"

namespace yoke::scheduler {

// A job that waits for devices.
struct WaitingJob {
  std::string id;
  int priority = 0;
  int64_t sequence = 0;
  std::vector<std::string> bound;  // device UUIDs in rank order; empty: any `wanted` of one kind
  int wanted = 0;
  bool cpu = false;  // the kind wanted: CPU slots instead of GPUs
};

struct DeviceView {
  std::string uuid;
  bool cpu = false;
  int index = 0;
  std::string holder;    // "jobs/abc (train)" while leased
  std::string unusable;  // why it is not given out: "is quarantined: …"; empty: it is
};

struct Snapshot {
  std::vector<WaitingJob> jobs;  // in any order
  std::vector<DeviceView> devices;
};

struct Start {
  std::string job_id;
  std::vector<std::string> device_uuids;  // in rank order
};

struct Wait {
  std::string job_id;
  v1::JobReason::Code reason = v1::JobReason::WAITING_FOR_DEVICES;
  std::string sentence;  // "waits for GPU 0,2, held by jobs/abc (train)"
};

// Every job of the snapshot is in exactly one of the two.
struct Plan {
  std::vector<Start> starts;
  std::vector<Wait> waits;
};

// Jobs are looked at by priority, then by sequence. Each gets all its devices or none; one that waits reserves
// what it needs against the jobs behind it, so it cannot starve, and jobs on other devices pass it.
Plan MakePlan(const Snapshot& snapshot);

}  // namespace yoke::scheduler
