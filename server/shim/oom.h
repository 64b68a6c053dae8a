// Who goes first when the machine runs out of memory: a rank, never its shim.
#pragma once

namespace yoke::shim {

inline constexpr int kShimOomScore = -900;  // granted to a privileged shim only
inline constexpr int kRankOomScore = 500;

// Best effort: of this process.
void SetOomScore(int score);

}  // namespace yoke::shim
