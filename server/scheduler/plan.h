// The scheduler: a snapshot of jobs and devices in, a plan out. Pure: no I/O, clock, threads or
// randomness; time is a number in the snapshot, and equal snapshots give equal plans.
//
//   Plan plan = MakePlan(snapshot);  // O((jobs + devices) log jobs) for a given number of devices
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "yoke/v1/job.pb.h"

namespace yoke::scheduler {

// Seconds on one clock that never goes back; which one is the caller's choice.
using Seconds = double;
inline constexpr Seconds kNever = std::numeric_limits<double>::infinity();

// A job that has to end before another may start.
struct Dependency {
  std::string job_id;
  v1::Scheduling::Dependency::Condition condition = v1::Scheduling::Dependency::OK;
  v1::Job::State state =
      v1::Job::STATE_UNSPECIFIED;  // where it is; unspecified: there is no such job any more
};

// A job that waits for devices.
struct WaitingJob {
  std::string id;
  int priority = 0;
  int64_t sequence = 0;
  std::vector<std::string> bound;  // device UUIDs in rank order; empty: any `wanted` of one kind
  int wanted = 0;
  bool cpu = false;        // the kind wanted: CPU slots instead of GPUs
  std::string unresolved;  // why the machine has no such devices now, as a sentence; empty: it has
  std::string owner, queue;
  Seconds time_limit = 0;  // of one attempt; 0: none
  Seconds not_before = 0;  // 0: at once
  std::string
      not_before_why;  // what it waits for until then, as a sentence; empty: the plan's own words
  std::vector<Dependency> dependencies;
  // Of memory on each of its devices, which it shares with other jobs that share; 0: none, they are
  // its own.
  int64_t share_bytes = 0;
  // Of a task of an array; its sequence is that of the array.
  std::string array;
  int array_index = 0;
  int array_running_max = 0;  // tasks of the array at once; 0: no limit
  bool array_held = false;    // none of its tasks shall start
  // Above 0: this is no job but an array, of which so many more tasks may be made.
  int tasks_left = 0;
  size_t tag = 0;  // the caller's own; Wait has it too
};

// A job with a live attempt.
struct RunningJob {
  std::string id;
  std::string owner, queue;
  std::string array;  // of a task
  int priority = 0;
  std::vector<std::string> devices;
  Seconds started = 0;        // its attempt
  Seconds time_limit = 0;     // 0: none
  Seconds signal_before = 0;  // asked to stop so long before the limit
  bool preemptible = false;
  bool stopping = false;   // asked to stop already
  Seconds stop_grace = 0;  // which it was given then; a time limit ends it earlier
  int64_t share_bytes = 0;  // as WaitingJob's
};

struct DeviceView {
  std::string uuid;
  bool cpu = false;
  int index = 0;
  std::string holder;    // "jobs/abc (train)" while leased; all of them if they share it
  std::string unusable;  // why it is not given out: "is quarantined: …"; empty: it is
  std::vector<std::string> peers = {};  // UUIDs of the devices that a fast link joins it to
  int64_t memory_bytes = 0;             // 0: it cannot be shared
};

// What an owner's ended attempts have used: device-seconds, as they count at the moment `at`.
struct Use {
  std::string owner;
  double device_seconds = 0;
  Seconds at = 0;
};

struct Policy {
  int owner_running_max = 0;                     // jobs of one owner at once; 0: no limit
  std::map<std::string, int> queue_running_max;  // by queue; 0 or absent: no limit
  Seconds half_life = 86400;                     // of what an owner has used
  Seconds min_run_time = 600;  // an attempt runs so long before it may be preempted
};

// A waiting job that differs from one of the snapshot's in its sequence alone, which is later.
struct Repeat {
  size_t like = 0;  // place in Snapshot::jobs
  int64_t sequence = 0;
};

struct Snapshot {
  std::vector<WaitingJob> jobs;  // in any order
  std::vector<DeviceView> devices;
  Seconds now = 0;
  std::vector<RunningJob> running;
  std::vector<Use> uses;  // of ended attempts; the running ones are counted by the plan
  Policy policy;
  // They cost little. What they will use counts for their owners' turns, but the plan does not name
  // them: so many of their like must be among `jobs` that not all of these can start at once.
  std::vector<Repeat> repeats;
};

struct Start {
  std::string job_id;
  std::vector<std::string> device_uuids;  // in rank order
};

struct Wait {
  std::string job_id;
  v1::JobReason::Code reason = v1::JobReason::WAITING_FOR_DEVICES;
  std::string
      sentence;   // "waits for GPU 0,2, held by jobs/abc (train)"; changes only with what it says
  int place = 0;  // from 1, among the jobs that wait
  std::optional<Seconds>
      earliest_start;        // by the time limits of all that is ahead; absent: unknown
  std::string earliest_why;  // where it comes from, or why there is none
  size_t tag = 0;
};

// A job that can never start.
struct End {
  std::string job_id;
  v1::JobReason::Code reason = v1::JobReason::DEPENDENCY_FAILED;
  std::string sentence;
};

// A job with a live attempt that shall stop.
struct Stop {
  enum class Why { kTimeLimit, kPreempt };
  std::string job_id;
  Why why = Why::kTimeLimit;
  Seconds grace = 0;    // of a time limit: what is left of it
  std::string for_job;  // of a preemption: who gets the devices
};

// An array of which tasks shall be made: they can start soon, or are to wait in its place.
struct Make {
  std::string array_id;
  int tasks = 0;
};

// Every waiting job of the snapshot is in exactly one of starts, waits, ends and makes.
struct Plan {
  std::vector<Start> starts;
  std::vector<Wait> waits;  // by place
  std::vector<End> ends;
  std::vector<Stop> stops;
  std::vector<Make> makes;
  Seconds wake_at = kNever;  // when the passing of time alone can change the plan
};

// Order: higher priority; then the owner that has used the least, counting what the jobs ahead will
// use; then order of submission. A job whose dependencies are not met, that may not start yet, or
// whose owner, queue or array runs enough jobs waits without standing in anybody's way.
//
// Each other job gets all its devices or none. One that waits reserves what it needs against the
// jobs behind it, from the moment that time limits say it will be free: it cannot starve, jobs on
// other devices pass, and a job with a time limit passes on the same devices if it ends before that
// moment. Where no limit says so, nobody passes. A job that needs a device which is absent or
// unusable reserves nothing.
//
// Jobs that share take a device together with others that share, as long as their memory fits,
// those that are shared already first. They stop nobody. A job that does not share has its devices
// alone.
//
// A job may have preemptible ones of lower priority stopped that ran for min_run_time, if it can
// start then.
Plan MakePlan(const Snapshot& snapshot);

}  // namespace yoke::scheduler
