// What the ranks of a label job tell each other: after each batch whether to go on, at the end what
// they did.
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "server/engine/distributed/group.h"
#include "server/engine/label/labeler.h"

namespace yoke::engine {

// One rank's state; agreed upon, that of all together.
struct RankState {
  int64_t done = 0;       // images; agreed: their sum
  bool finished = false;  // nothing left to do; agreed: on every rank
  bool stop = false;      // asked to stop; agreed: on any rank
};

// Every rank gets the same answer. If `mine` is an error on any rank, all get that of the first
// such rank. Unavailable: a peer is gone.
absl::StatusOr<RankState> Agree(const absl::StatusOr<RankState>& mine, Group& group);

// Sums the counts, takes the longest `seconds`, and sorts the failures. `images` is the same on all
// ranks already. Every rank gets the same result.
absl::StatusOr<LabelResult> SumOverRanks(const LabelResult& mine, double seconds, Group& group);

// Whether all ranks have `value`.
absl::StatusOr<bool> SameOnAllRanks(const std::string& value, Group& group);

}  // namespace yoke::engine
