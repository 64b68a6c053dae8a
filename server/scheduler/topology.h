// Which of several devices that would all do a job shall have.
#pragma once

#include <vector>

#include "server/scheduler/board.h"

namespace yoke::scheduler {

// `wanted` of the candidates: those with the most fast links among themselves; of equal ones those
// that leave the most links to others, then the lowest. By index. REQUIRES: 0 < wanted <=
// candidates.
std::vector<Slot*> PickLinked(const std::vector<Slot*>& candidates, int wanted);

}  // namespace yoke::scheduler
