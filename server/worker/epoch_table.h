// One line per epoch for people who read the log.
#pragma once

#include <string>

#include "server/engine/observer.h"

namespace yoke::worker {

std::string EpochTableHeader();
// Aligned under the header. Elapsed time as h:mm:ss.
std::string EpochTableRow(const engine::EpochReport& report);

}  // namespace yoke::worker
