#include "server/scheduler/board.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

namespace yoke::scheduler {
namespace {

// "jobs/abc (train)"; empty: nobody.
std::string Holder(const Slot& slot) {
  if (!slot.device->holder.empty() || slot.holders.empty()) return slot.device->holder;
  return absl::StrJoin(slot.holders, ", ", [](std::string* out, const RunningJob* holder) {
    absl::StrAppend(out, "jobs/", holder->id);
  });
}

// "shared, unfenced, with 2.0 GiB of 24.0 GiB left"
std::string Left(const Slot& slot) {
  constexpr double kGiB = 1 << 30;
  return absl::StrFormat("shared, unfenced, with %.1f of %.1f GiB left",
                         static_cast<double>(slot.left_bytes()) / kGiB,
                         static_cast<double>(slot.device->memory_bytes) / kGiB);
}

// Why one device is not to be had.
std::string Why(const Slot& slot) {
  // Whoever holds a share of it, no other gets one.
  if (slot.shared_bytes > 0 && !slot.usable()) return absl::StrCat("which ", slot.device->unusable);
  if (const std::string holder = Holder(slot); !holder.empty()) {
    return absl::StrCat(slot.shared_bytes > 0 ? absl::StrCat(Left(slot), ", ") : "", "held by ",
                        holder, slot.stopping ? ", which was asked to stop" : "");
  }
  if (!slot.shared_by.empty() && !slot.claimed()) {
    return absl::StrCat(Left(slot), ", behind jobs/", slot.shared_by);
  }
  if (!slot.usable()) return absl::StrCat("which ", slot.device->unusable);
  return absl::StrCat("behind jobs/", slot.claimed_by, ", which is ahead in the queue");
}

}  // namespace

Board::Board(const Snapshot& snapshot) : now_(snapshot.now) {
  std::map<std::string, std::vector<const RunningJob*>> holders;
  for (const RunningJob& job : snapshot.running) {
    for (const std::string& uuid : job.devices) holders[uuid].push_back(&job);
    if (job.stopping) stopping_.insert(&job);
  }
  for (const DeviceView& device : snapshot.devices) {
    Slot slot;
    slot.device = &device;
    if (const auto found = holders.find(device.uuid); found != holders.end()) {
      slot.holders = found->second;
      std::sort(slot.holders.begin(), slot.holders.end(),
                [](const RunningJob* a, const RunningJob* b) { return a->id < b->id; });
    }
    slot.free = device.holder.empty() && slot.holders.empty() && slot.usable();
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
    slot.stopping = !slot.holders.empty();
    if (slot.holders.empty()) slot.available = kNever;
    for (const RunningJob* holder : slot.holders) {
      const Seconds end = holder->stopping ? now_
                          : holder->time_limit > 0
                              ? std::max(now_, holder->started + holder->time_limit)
                              : kNever;
      slot.stopping &= holder->stopping;
      slot.available = std::max(slot.available, end);
      if (holder->share_bytes <= 0) continue;
      slot.shared_bytes += holder->share_bytes;
      slot.leaves.push_back({end, holder->share_bytes});
    }
    if (!slot.usable()) slot.available = kNever;
    if (slot.available < kNever) continue;
    slot.unknown_why = !slot.usable() ? absl::StrCat(Words({&slot}), " ", slot.device->unusable)
                                      : absl::StrCat(Holder(slot), ", which holds ", Words({&slot}),
                                                     ", has no time limit");
  }
}

Slot* Board::Find(const std::string& uuid) {
  const auto found = by_uuid_.find(uuid);
  return found == by_uuid_.end() ? nullptr : found->second;
}

bool Board::MayStart(const Slot& slot, const WaitingJob& job, Seconds time_limit) const {
  const bool shares = job.share_bytes > 0;
  const bool room = shares ? slot.usable() && (slot.free || slot.shared_bytes > 0) &&
                                 job.share_bytes <= slot.left_bytes()
                           : slot.free;
  if (!room) return false;
  return !slot.claimed() || (time_limit > 0 && now_ + time_limit <= slot.gap_end);
}

void Board::Give(const WaitingJob& job, const std::vector<Slot*>& slots) {
  for (Slot* slot : slots) {
    slot->free = false;
    if (job.share_bytes > 0) {
      const Seconds end = job.time_limit > 0 ? now_ + job.time_limit : kNever;
      slot->shared_bytes += job.share_bytes;
      slot->leaves.push_back({end, job.share_bytes});
      slot->shared_by = job.id;
      ++version_;
      if (slot->claimed()) continue;
      if (end == kNever && slot->available < kNever)
        slot->unknown_why = absl::StrCat("jobs/", job.id, ", which is ahead, has no time limit");
      slot->available = std::max(slot->available, end);
      continue;
    }
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

Seconds Board::AvailableTo(const Slot& slot, const WaitingJob& job) const {
  if (job.share_bytes <= 0 || slot.shared_bytes == 0 || slot.claimed()) return slot.available;
  std::vector<Slot::Leave> leaves = slot.leaves;
  std::sort(leaves.begin(), leaves.end(),
            [](const Slot::Leave& a, const Slot::Leave& b) { return a.at < b.at; });
  int64_t left = slot.left_bytes();
  Seconds at = now_;
  for (const Slot::Leave& leave : leaves) {
    if (left >= job.share_bytes) break;
    left += leave.bytes;
    at = std::max(at, leave.at);
  }
  return at;
}

Reservation Board::Reserve(const WaitingJob& job, const std::vector<Slot*>& slots) {
  Reservation made{now_, ""};
  for (const Slot* slot : slots) {
    const Seconds available = AvailableTo(*slot, job);
    made.start = std::max(made.start, available);
    if (available == kNever && made.unknown_why.empty()) made.unknown_why = slot->unknown_why;
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
    const Seconds available = std::max(
        slot->available, start < kNever && job.time_limit > 0 ? start + job.time_limit : kNever);
    if (available == kNever && slot->available < kNever) {
      slot->unknown_why = unknown_why;
      ++version_;
    }
    slot->available = available;
  }
  return made;
}

void Board::MarkStopping(const RunningJob& holder) {
  stopping_.insert(&holder);
  for (const std::string& uuid : holder.devices) {
    Slot* slot = Find(uuid);
    if (slot == nullptr || slot->stopping) continue;
    ++version_;
    slot->stopping = std::all_of(slot->holders.begin(), slot->holders.end(),
                                 [&](const RunningJob* each) { return stopping_.contains(each); });
    if (!slot->stopping) continue;
    if (slot->usable() && !slot->claimed()) slot->available = now_;
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
