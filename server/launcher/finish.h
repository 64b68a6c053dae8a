// The end of an attempt as it is written into its job: what its record, its ranks' events and its
// devices say together.
#pragma once

#include "absl/status/status.h"
#include "server/devices/inventory.h"
#include "server/launcher/live_attempt.h"

namespace yoke::launcher {

// Progress, banner and warnings, as rank 0 reports them.
void ShowReport(const LiveAttempt& attempt, v1::Job& job);

// How the attempt ended. REQUIRES: it is over.
Ending EndingOf(const LiveAttempt& attempt, const devices::DeviceInventory& inventory,
                bool stop_requested);

// What the job brought, into the job.
void ShowResult(const LiveAttempt& attempt, int64_t peak_rss_bytes, v1::Job& job);

}  // namespace yoke::launcher
