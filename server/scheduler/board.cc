#include "server/scheduler/board.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace yoke::scheduler {
namespace {

// "jobs/abc (train)"; empty: nobody.
std::string Holder(const Slot& slot) {
  if (!slot.device->holder.empty() || slot.holder == nullptr) return slot.device->holder;
  return absl::StrCat("jobs/", slot.holder->id);
}

// Why one device is not to be had.
std::string Why(const Slot& slot) {
  if (const std::string holder = Holder(slot); !holder.empty()) {
    return absl::StrCat("held by ", holder, slot.stopping ? ", which was asked to stop" : "");
  }
  if (!slot.usable()) return absl::StrCat("which ", slot.device->unusable);
  return absl::StrCat("behind jobs/", slot.claimed_by, ", which is ahead in the queue");
}

}  // namespace

Board::Board(const Snapshot& snapshot) : now_(snapshot.now) {
  std::map<std::string, const RunningJob*> holders;
  for (const RunningJob& job : snapshot.running) {
    for (const std::string& uuid : job.devices) holders[uuid] = &job;
  }
  for (const DeviceView& device : snapshot.devices) {
    Slot slot;
    slot.device = &device;
    if (const auto found = holders.find(device.uuid); found != holders.end()) {
      slot.holder = found->second;
    }
    slot.free = device.holder.empty() && slot.holder == nullptr && slot.usable();
    slot.available = now_;
    slots_.push_back(std::move(slot));
  }
  std::sort(slots_.begin(), slots_.end(), [](const Slot& a, const Slot& b) {
    if (a.device->cpu != b.device->cpu) return b.device->cpu;
    if (a.device->index != b.device->index) return a.device->index < b.device->index;
    return a.device->uuid < b.device->uuid;
  });
  for (Slot& slot : slots_) {
    by_uuid_[slot.device->uuid] = &slot;
    if (slot.free) continue;
    const RunningJob* holder = slot.holder;
    slot.stopping = holder != nullptr && holder->stopping;
    if (slot.stopping && slot.usable()) continue;
    if (holder != nullptr && slot.usable() && holder->time_limit > 0) {
      slot.available = std::max(now_, holder->started + holder->time_limit);
    } else {
      slot.available = kNever;
      slot.unknown_why = !slot.usable() ? absl::StrCat(Words({&slot}), " ", slot.device->unusable)
                                        : absl::StrCat(Holder(slot), ", which holds ",
                                                       Words({&slot}), ", has no time limit");
    }
  }
}

Slot* Board::Find(const std::string& uuid) {
  const auto found = by_uuid_.find(uuid);
  return found == by_uuid_.end() ? nullptr : found->second;
}

bool Board::MayStart(const Slot& slot, Seconds time_limit) const {
  if (!slot.free) return false;
  return !slot.claimed() || (time_limit > 0 && now_ + time_limit <= slot.gap_end);
}

void Board::Give(const WaitingJob& job, const std::vector<Slot*>& slots) {
  for (Slot* slot : slots) {
    slot->free = false;
    if (slot->claimed()) continue;  // who reserved it has it after this job
    slot->claimed_by = job.id;
    slot->gap_end = now_;
    slot->available = job.time_limit > 0 ? now_ + job.time_limit : kNever;
    if (job.time_limit <= 0) {
      slot->unknown_why = absl::StrCat("jobs/", job.id, ", which is ahead, has no time limit");
    }
    ++version_;
  }
}

Reservation Board::Reserve(const WaitingJob& job, const std::vector<Slot*>& slots) {
  Reservation made{now_, ""};
  for (const Slot* slot : slots) {
    made.start = std::max(made.start, slot->available);
    if (slot->available == kNever && made.unknown_why.empty()) made.unknown_why = slot->unknown_why;
  }
  const Seconds start = made.start;
  const std::string unknown_why =
      start < kNever && job.time_limit <= 0
          ? absl::StrCat("jobs/", job.id, ", which is ahead, has no time limit")
          : made.unknown_why;
  for (Slot* slot : slots) {
    if (!slot->claimed()) {
      slot->claimed_by = job.id;
      // Where nobody knows when it starts it may be at any moment. Later claims begin after this one.
      slot->gap_end = start < kNever ? start : now_;
      ++version_;
    }
    const Seconds available =
        start < kNever && job.time_limit > 0 ? start + job.time_limit : kNever;
    if (available == kNever && slot->available < kNever) {
      slot->unknown_why = unknown_why;
      ++version_;
    }
    slot->available = available;
  }
  return made;
}

void Board::MarkStopping(const RunningJob& holder) {
  for (const std::string& uuid : holder.devices) {
    Slot* slot = Find(uuid);
    if (slot == nullptr || slot->stopping) continue;
    slot->stopping = true;
    if (slot->usable() && !slot->claimed()) slot->available = now_;
    ++version_;
  }
}

std::string Board::WhyEach(const std::vector<const Slot*>& slots) {
  std::vector<std::pair<std::string, std::vector<const Slot*>>> causes;
  for (const Slot* slot : slots) {
    const std::string why = Why(*slot);
    const auto same = std::find_if(causes.begin(), causes.end(), [&](const auto& cause) {
      return cause.first == why && cause.second[0]->device->cpu == slot->device->cpu;
    });
    if (same != causes.end()) {
      same->second.push_back(slot);
    } else {
      causes.push_back({why, {slot}});
    }
  }
  return absl::StrJoin(causes, "; ", [](std::string* out, const auto& cause) {
    absl::StrAppend(out, Words(cause.second), ", ", cause.first);
  });
}

std::string Board::Words(std::vector<const Slot*> slots) {
  std::sort(slots.begin(), slots.end(),
            [](const Slot* a, const Slot* b) { return a->device->index < b->device->index; });
  return absl::StrCat(slots[0]->device->cpu ? "CPU slot " : "GPU ",
                      absl::StrJoin(slots, ",", [](std::string* out, const Slot* slot) {
                        absl::StrAppend(out, slot->device->index);
                      }));
}

}  // namespace yoke::scheduler
