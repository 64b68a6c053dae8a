// How many detections an image may have where its objects are more than the setting foresees.
#pragma once

#include <cstdint>
#include <string>

#include "server/engine/data/dataset.h"

namespace yoke::engine {

// The most objects of an image.
int64_t MostObjects(const Split& split);

// The reference's rule (8.4): the default of 300 is raised to `objects`, another value stays as it
// was set. `warning` is set where images hold more objects than `max_det`.
int MaxDetFor(int max_det, int64_t objects, std::string* warning);

}  // namespace yoke::engine
