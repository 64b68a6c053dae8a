#include "server/scheduler/topology.h"

#include <algorithm>

namespace yoke::scheduler {
namespace {

bool Linked(const Slot* a, const Slot* b) {
  const std::vector<std::string>& peers = a->device->peers;
  return std::find(peers.begin(), peers.end(), b->device->uuid) != peers.end();
}

int LinksTo(const Slot* slot, const std::vector<Slot*>& others) {
  return static_cast<int>(std::count_if(others.begin(), others.end(), [&](const Slot* other) {
    return other != slot && Linked(slot, other);
  }));
}

}  // namespace

std::vector<Slot*> PickLinked(const std::vector<Slot*>& candidates, int wanted) {
  std::vector<Slot*> best;
  int best_inside = -1, best_cut = 0;
  for (Slot* seed : candidates) {
    std::vector<Slot*> set = {seed};
    int inside = 0;
    while (static_cast<int>(set.size()) < wanted) {
      Slot* nearest = nullptr;
      int nearest_inside = -1, nearest_all = 0;
      for (Slot* slot : candidates) {
        if (std::find(set.begin(), set.end(), slot) != set.end()) continue;
        const int to_set = LinksTo(slot, set), to_all = LinksTo(slot, candidates);
        if (to_set > nearest_inside || (to_set == nearest_inside && to_all < nearest_all)) {
          nearest = slot;
          nearest_inside = to_set;
          nearest_all = to_all;
        }
      }
      set.push_back(nearest);
      inside += nearest_inside;
    }
    int cut = -2 * inside;  // links between the set and what is left
    for (const Slot* slot : set) cut += LinksTo(slot, candidates);
    if (inside > best_inside || (inside == best_inside && cut < best_cut)) {
      best = set;
      best_inside = inside;
      best_cut = cut;
    }
  }
  std::sort(best.begin(), best.end(),
            [](const Slot* a, const Slot* b) { return a->device->index < b->device->index; });
  return best;
}

}  // namespace yoke::scheduler
