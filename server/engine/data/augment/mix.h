// Augmentations that bring something of another image, or of the same one mirrored, into an image.
#pragma once

#include <array>
#include <vector>

#include "opencv2/core/mat.hpp"
#include "server/engine/data/augment/labelled_image.h"
#include "server/engine/data/augment/outline.h"
#include "server/engine/data/random.h"

namespace yoke::engine {

// first * ratio + second * (1 - ratio), truncated; labels of both, without outlines, which nothing
// later reads. The recipe draws the ratio from Beta(32, 32). REQUIRES: equal sizes.
void MixUp(LabelledImage& first, const LabelledImage& second, double ratio);

// Three rectangles of random place and size; one of those that touch no box of `first` is replaced
// by the same part of `second`, if that shows at least `area_min` of a box of `second`. REQUIRES:
// equal sizes.
void CutMix(LabelledImage& first, const LabelledImage& second, double area_min, Random& random);

inline constexpr int kCutAreas = 3;
using CutAreas = std::array<cv::Rect, kCutAreas>;
// Indices of the areas that touch none of `boxes`.
std::vector<size_t> FreeAreas(const CutAreas& areas, const std::vector<PixelBox>& boxes);
// Does what CutMix says for the area chosen.
void PasteArea(const cv::Rect& area, const LabelledImage& second, double area_min,
               LabelledImage& first);

// Objects of `from` that may be pasted onto an image with `onto`: those that cover less than 30 %
// of each of its boxes. Sorted by the largest such share if `least_first`.
std::vector<size_t> Pasteable(const std::vector<PixelBox>& from, const std::vector<PixelBox>& onto,
                              bool least_first);

// copy_paste, mode flip: pastes `share` of the objects of the mirrored image that may be pasted, by
// outline. Which ones: kPointsInside random, kCutAtEdge those that cover least. Nothing happens
// without outlines.
void PasteMirrored(double share, OutlineRule rule, Random& random, LabelledImage& image);

// copy_paste, mode mixup: the same with another image's objects, those that cover least. REQUIRES:
// equal sizes.
void PasteObjects(const LabelledImage& from, double share, OutlineRule rule, LabelledImage& onto);

}  // namespace yoke::engine
