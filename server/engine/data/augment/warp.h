// The pixels of a scene under a matrix.
#pragma once

#include "opencv2/core/mat.hpp"
#include "server/engine/data/augment/affine.h"
#include "server/engine/data/augment/scene.h"

namespace yoke::engine {

// The part of the canvas that the warp onto `to` px reads, within the canvas.
cv::Rect VisiblePart(cv::Size canvas, const Affine& affine, cv::Size to);

// What cv::warpAffine (cv::warpPerspective) makes of the drawn scene, bilinear, 114 beyond its
// edge: equal pixels, in `out` (CV_8UC4, BGR and an idle fourth channel). Without rotation, shear
// and perspective, which is the rule, the canvas is never drawn: each of its rows is put together
// when a row of the result needs it.
void Warp(const Scene& scene, const Affine& affine, cv::Size to, cv::Mat& out);

}  // namespace yoke::engine
