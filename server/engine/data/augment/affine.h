// Rotation, scale, shear, translation and perspective about an image's centre: the matrix, and
// labels under it.
#pragma once

#include "opencv2/core/mat.hpp"
#include "server/engine/config.h"
#include "server/engine/data/augment/labelled_image.h"
#include "server/engine/data/augment/outline.h"
#include "server/engine/data/random.h"

namespace yoke::engine {

struct Affine {
  cv::Matx33d matrix = cv::Matx33d::eye();  // px of the image -> px of the result
  double scale = 1;                         // of it
  bool perspective = false;                 // the third row is not 0 0 1
};

// translation * shear * rotation and scale * perspective * (centre to 0), drawn within `config`'s
// limits; the centre comes to lie within `translate` of that of `to`.
Affine DrawAffine(const AugmentConfig& config, cv::Size from, cv::Size to, Random& random);

// Labels of the warped image, cut to `to`: a box becomes the hull of its four warped corners or, if
// the data set has outlines, the box of its warped outline. Kept if over 2 px a side, over 10 %
// (with outlines 1 %) of its area before (scaled), and less elongated than 100. `out`'s pixels stay
// as they are.
void WarpLabels(const LabelledImage& in, const Affine& affine, OutlineRule rule, cv::Size to,
                LabelledImage& out);

}  // namespace yoke::engine
