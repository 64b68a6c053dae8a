// A CreateJobRequest turned into the job that is stored: checked, resolved, its devices bound.
// Stores and starts nothing.
#pragma once

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "server/devices/inventory.h"
#include "server/jobs/job_store.h"
#include "server/jobs/spec.h"
#include "yoke/v1/job.pb.h"

namespace yoke::service {

// What is wrong with a job's name or priority, as a sentence; empty: nothing.
std::string DisplayNameProblem(const std::string& name);
std::string PriorityProblem(int priority);

// Why a job on these devices cannot share them with so much memory of each; empty: it can, or 0.
std::string ShareProblem(int64_t bytes, const devices::DeviceSelection& selection,
                         const devices::DeviceInventory& inventory);

// What the request's `resume` says if it names a job; nothing if it names a path or is not there.
// InvalidArgument: it is neither.
absl::StatusOr<std::optional<std::string>> ResumedJob(const v1::JobSpec& asked);

// What earlier jobs left in `cache_dir`, each kind looked up once: for one call, not for longer.
jobs::MeasuredMemory MeasuredIn(const std::string& cache_dir);

// The record to store, in state QUEUED, with banner and warnings; without name and owner. `parent`:
// the job that ResumedJob named, or null. Keys that a resuming request does not give are those that
// were given for its parent. InvalidArgument with every violation; FailedPrecondition if the parent
// cannot be resumed. `measured`: as MeasuredIn.
absl::StatusOr<jobs::JobRecord> MakeJobRecord(const v1::CreateJobRequest& request,
                                              const jobs::JobRecord* parent,
                                              const devices::DeviceInventory& inventory,
                                              const jobs::MeasuredMemory& measured);

// What the store said to a job that it was to keep, as an answer. `field`: the request's request_id.
absl::Status AsSubmitError(const absl::Status& status, const std::string& field);

}  // namespace yoke::service
