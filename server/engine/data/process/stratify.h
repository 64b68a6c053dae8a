// Which image goes to which split, so that every class is spread as the whole is.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace yoke::engine {

enum class SplitName { kTrain = 0, kVal = 1, kTest = 2 };
inline constexpr int kSplitCount = 3;

// `classes[i]` are the distinct class ids of image i (none: a background). Rare classes are dealt out first,
// each image to the split that lacks its class most. A class of at least two images is in train and in val, where
// the other classes' same claim allows; so are, with at least two images, images at all. Same seed, same answer.
// REQUIRES: ratios not negative, their sum 1, train's above 0.
std::vector<SplitName> Stratify(const std::vector<std::vector<int>>& classes, const std::array<double, kSplitCount>& ratios,
                                uint64_t seed);

}  // namespace yoke::engine
