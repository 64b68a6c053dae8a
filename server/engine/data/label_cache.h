// Scanned splits kept between runs, in a folder of the job's owner and never beside the user's data.
#pragma once

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "server/engine/data/dataset.h"

namespace yoke::engine {

// What was stored under `key` (a fingerprint of everything the scan depends on); nothing if there is none, or
// if it is damaged: the caller scans again.
std::optional<Split> LoadLabelCache(const std::string& cache_dir, const std::string& key);

// Creates `cache_dir` if needed; replaces atomically.
absl::Status StoreLabelCache(const std::string& cache_dir, const std::string& key, const Split& split);

}  // namespace yoke::engine
