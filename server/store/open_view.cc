#include "server/store/open_view.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "server/jobs/state_machine.h"

namespace yoke::store {
namespace {

// Places of ended jobs that may stay beside as many of open ones.
constexpr size_t kEndedKept = 64;

}  // namespace

void OpenView::Stage(const jobs::JobRecord& job) {
  const bool ended = jobs::IsTerminal(job.public_job.state());
  staged_.push_back(
      {job.sequence,
       ended ? nullptr : std::make_shared<const jobs::JobRecord>(jobs::InBrief(job))});
}

void OpenView::Keep() {
  if (staged_.empty()) return;
  MutexLock lock(mutex_);
  for (Staged& staged : staged_) Put(std::move(staged));
  staged_.clear();
  if (places_.size() > 2 * open_ + kEndedKept) Compact();
}

void OpenView::Put(Staged staged) {
  const auto before = [](const Place& place, int64_t sequence) {
    return place.sequence < sequence;
  };
  // Nearly always a new job, which is the last one.
  auto at = places_.empty() || places_.back().sequence < staged.sequence
                ? places_.end()
                : std::lower_bound(places_.begin(), places_.end(), staged.sequence, before);
  if (at == places_.end() || at->sequence != staged.sequence) {
    if (staged.job == nullptr) return;
    at = places_.insert(at, {staged.sequence, nullptr});
  }
  if (at->job != nullptr) --open_;
  if (staged.job != nullptr) ++open_;
  at->job = std::move(staged.job);
}

void OpenView::Compact() {
  std::erase_if(places_, [](const Place& place) { return place.job == nullptr; });
  places_.shrink_to_fit();
}

jobs::OpenJobs OpenView::Open() const {
  std::vector<Pointer> open;
  MutexLock lock(mutex_);
  open.reserve(open_);
  for (const Place& place : places_) {
    if (place.job != nullptr) open.push_back(place.job);
  }
  return jobs::OpenJobs(std::move(open));
}

size_t OpenView::size() const {
  MutexLock lock(mutex_);
  return open_;
}

}  // namespace yoke::store
