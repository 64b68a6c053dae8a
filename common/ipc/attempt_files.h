// The files of an attempt's folder: what daemon, shim and worker tell each other. All JSON, so that
// a person can read them. Layout of a job's folder, under the daemon's state folder:
//   jobs/JOB/run/              the run folder: weights/, results.csv ..., continued by attempts
//   jobs/JOB/attempts/N/       of one attempt:
//     spec.json                daemon -> shim, worker; written before the shim is started
//     lock                     OFD write lock, held by the shim for its whole life
//     started                  shim: created with O_EXCL, holds a StartRecord
//     stop.json                daemon -> shim: StopRequest
//     prepare.log              output of the prepare phase, if there are several ranks
//     rankK.log                stdout and stderr of rank K, O_APPEND
//     rankK.log.times          shim: when the log was how long (log_times.h)
//     rankK.events.jsonl       events of rank K, one object a line
//     progress                 made by the shim, a slot a rank (progress.h): what it does now
//     hang/                    shim: what the ranks did when they made no progress any more
//     rendezvous               c10d FileStore, made by the ranks
//     exit.json                shim: ExitRecord, the last thing it writes
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/os/file.h"
#include "nlohmann/json.hpp"

namespace yoke::ipc {

// Grows, never changes: a daemon leaves a shim of an unknown version alone and shows it.
inline constexpr int kProtocolVersion = 1;

// Environment variables of every process of an attempt. kRunIdVariable is the marker by which
// processes that left their group are found.
inline constexpr char kRunIdVariable[] = "YOKE_RUN_ID";
inline constexpr char kSpecVariable[] = "YOKE_SPEC";  // path of spec.json
// As torchrun sets them: RANK, LOCAL_RANK, WORLD_SIZE.

// How the worker exits.
enum WorkerExit : int {
  kWorkerOk = 0,
  kWorkerError = 1,
  kWorkerBadInput = 10,         // BAD_INPUT: data, weights or settings; never retried
  kWorkerStopped = 11,          // asked to stop and saved
  kWorkerCudaUnavailable = 12,
  kWorkerOutOfMemory = 13,
  kWorkerDiskFull = 14,
};

// Of a daemon's state folder: label and image caches, measurements; shared by all its jobs.
inline std::string CacheDir(const std::string& state_dir) { return state_dir + "/cache"; }

struct RankSpec {
  std::vector<std::string> devices;  // UUIDs this rank computes on; CPU slots: "cpu:0"
  int threads = 1;                   // intra-op threads
};

struct AttemptSpec {
  int protocol = kProtocolVersion;
  std::string job;           // "jobs/…"
  int attempt = 1;
  std::string run_id;
  std::string attempt_dir;   // absolute
  std::string run_dir;       // absolute
  std::string cache_dir;     // absolute: label and image caches of the machine
  std::string worker;        // absolute path of yoke-worker
  bool prepare = true;       // data and weights are looked at first, see PreparesApart
  std::string backend = "gloo";  // gloo | nccl
  std::string resume_from;   // a run folder or checkpoint to continue from; empty: afresh
  double grace_seconds = 10; // between SIGTERM and SIGKILL
  double hang_seconds = 120;  // a training step without progress for longer is a hang; 0: never
  std::string cgroup;        // control group of the ranks and of all they start; empty: none
  int64_t processes_max = 0;  // of the attempt, by the ranks' own limit; 0: none, or the group has one
  int64_t log_bytes_max = 0;  // of each rank's log, older bytes are given up; 0: no limit
  std::vector<RankSpec> ranks;
  std::vector<std::string> device_words;  // for the banner: "GPU 0: NVIDIA …", "CPU slot 0"
  std::vector<std::string> user_set;      // spec keys the user gave, by proto field name
  nlohmann::json spec;       // the resolved JobSpec: protobuf JSON with proto field names
};

// Whether `worker --prepare` runs before the ranks. Several ranks find there what it leaves in the
// caches; a single one prepares by itself, for a worker takes a while to load.
inline bool PreparesApart(const AttemptSpec& spec) { return spec.prepare && spec.ranks.size() > 1; }

struct StartRecord {
  int protocol = kProtocolVersion;
  int64_t pid = 0;
  int64_t start_ticks = 0;   // field 22 of /proc/PID/stat
  std::string boot_id;
  std::string run_id;
};

struct StopRequest {
  std::string reason;        // "cancel", "time_limit", "preempt"
  double grace_seconds = 10;
};

struct RankExit {
  int rank = 0;              // -1: the prepare phase
  int exit_code = 0;         // 0 when a signal ended it
  int signal = 0;
  int64_t peak_rss_bytes = 0;  // the most memory it had resident
};

struct ExitRecord {
  int protocol = kProtocolVersion;
  std::string run_id;
  std::string outcome;       // "succeeded", "failed", "cancelled", "timed_out"
  std::string reason;        // of a failure, a JobReason code: "HANG", "OUT_OF_MEMORY", "SPAWN_FAILED"; empty: as its exit code says
  std::string message;       // sentence
  bool has_first_failure = false;
  RankExit first_failure;    // of the rank that failed first by itself, not through our stop
  std::vector<std::string> last_lines;  // of that rank, at most 50
  std::vector<RankExit> ranks;
  double start_time = 0, end_time = 0;  // seconds since the epoch
  int64_t peak_rss_bytes = 0;           // sum over ranks of each one's maximum
  int64_t killed_strays = 0;            // processes that had left their group and were killed
  // The shim, to which all orphans of the attempt come, had no child and the control group no
  // process when it wrote this.
  bool none_left = false;
};

nlohmann::json ToJson(const AttemptSpec&);
nlohmann::json ToJson(const StartRecord&);
nlohmann::json ToJson(const StopRequest&);
nlohmann::json ToJson(const ExitRecord&);
// InvalidArgument naming the missing or mistyped member.
absl::StatusOr<AttemptSpec> AttemptSpecFromJson(const nlohmann::json&);
absl::StatusOr<StartRecord> StartRecordFromJson(const nlohmann::json&);
absl::StatusOr<StopRequest> StopRequestFromJson(const nlohmann::json&);
absl::StatusOr<ExitRecord> ExitRecordFromJson(const nlohmann::json&);

// Reads and parses a JSON file of at most 16 MiB. NotFound, or InvalidArgument "FILE: …".
absl::StatusOr<nlohmann::json> ReadJsonFile(const std::string& path);
// Temp in the same folder, fsync, rename, fsync of the folder; with kLater neither fsync.
absl::Status WriteJsonFile(const std::string& path, const nlohmann::json& json, os::Sync sync = os::Sync::kNow);

std::string RankLogName(int rank);     // "rank0.log"
std::string RankEventsName(int rank);  // "rank0.events.jsonl"

}  // namespace yoke::ipc
