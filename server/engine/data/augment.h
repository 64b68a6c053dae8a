// The steps of the training recipe on one image and its boxes. Boxes are xyxy in px of that image.
#pragma once

#include <array>
#include <vector>

#include "opencv2/core/mat.hpp"
#include "server/engine/config.h"
#include "server/engine/data/random.h"

namespace yoke::engine {

struct PixelBox {
  int class_id = 0;
  float x1 = 0, y1 = 0, x2 = 0, y2 = 0;
};

struct LabelledImage {
  cv::Mat bgr;
  std::vector<PixelBox> boxes;
};

// Four images around a random centre on a canvas of 2 size x 2 size px, filled with 114. Boxes are cut to the
// canvas; those without area are dropped. Writes into `canvas`, reusing its memory.
// REQUIRES: no side of a tile exceeds `size`.
void Mosaic(const std::array<LabelledImage, 4>& tiles, int size, Random& random, LabelledImage& canvas);

// Rotation, scale, shear, translation and perspective about the centre, onto size x size px. Boxes become
// the hull of their four warped corners, cut to the image; kept if over 2 px a side, over 10 % of their area
// before (scaled), and less elongated than 100.
void RandomAffine(const LabelledImage& in, const AugmentConfig& config, int size, Random& random, LabelledImage& out);

// first * r + second * (1 - r), r from Beta(32, 32), truncated; boxes of both. REQUIRES: equal sizes.
void MixUp(LabelledImage& first, const LabelledImage& second, Random& random);

// Random gains on hue (wrapping), saturation and value; BGR in, RGB out.
void HsvToRgb(const cv::Mat& bgr, const AugmentConfig& config, Random& random, cv::Mat& rgb);

// Mirrors top to bottom, then left to right, each with its probability.
void RandomFlip(cv::Mat& image, std::vector<PixelBox>& boxes, const AugmentConfig& config, Random& random);

}  // namespace yoke::engine
