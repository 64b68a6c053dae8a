// Finds the files that a job names: NAME -> NAME.yaml, a folder -> its YAML, a bare yolov8n.pt ->
// where weights are kept. What is missing is said together with where it should lie.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/ipc/attempt_files.h"
#include "server/worker/spec_reader.h"

namespace yoke::worker {

// A data set's YAML, absolute: `data` itself if it is a file, else `data`.yaml, else the only YAML
// in the folder `data`. NotFound, or InvalidArgument for a folder with none or several.
absl::StatusOr<std::string> FindData(const std::string& data);

// Weights, absolute; "yolov8n.yaml" (n s m l x) stays as it is. A bare file name is also looked for
// in `weights_dirs`. NotFound says where to put it.
absl::StatusOr<std::string> FindModel(const std::string& model,
                                      const std::vector<std::string>& weights_dirs);

// Where bare names of weights are looked for: YOKE_WEIGHTS_DIR, and weights/ beside the caches'
// folder.
std::vector<std::string> WeightsDirs(const ipc::AttemptSpec& attempt);

// Puts absolute paths of existing files in place of what the job names, and lets a resumed training
// take its model from the run it continues. Adds warnings to the job.
absl::Status ResolveInputs(const ipc::AttemptSpec& attempt, Job& job);

}  // namespace yoke::worker
