// The lines said before a job's work begins: how many devices, which, the batch in all and on each,
// the method.
#pragma once

#include <string>
#include <vector>

#include "common/ipc/attempt_files.h"
#include "server/worker/spec_reader.h"

namespace yoke::worker {

std::vector<std::string> BannerLines(const ipc::AttemptSpec& attempt, const Job& job);

}  // namespace yoke::worker
