// Keys that make no sense together: each is fine by itself, so no Setting can tell.
#pragma once

#include "server/jobs/spec.h"

namespace yoke::jobs {

// Adds violations for contradictions and warnings for keys that do nothing. REQUIRES: out.spec is resolved.
void CheckKeysTogether(ResolvedSpec& out);

}  // namespace yoke::jobs
