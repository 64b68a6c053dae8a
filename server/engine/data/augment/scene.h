// Images placed on a canvas of value 114, and what lies on it: an image before it is warped.
// Nothing is drawn until the warp, which reads only what it shows.
#pragma once

#include <vector>

#include "opencv2/core/mat.hpp"
#include "server/engine/data/augment/labelled_image.h"
#include "server/engine/data/image.h"
#include "server/engine/data/random.h"

namespace yoke::engine {

struct PlacedImage {
  int64_t sample = 0;  // whose image it is
  cv::Rect place;      // on the canvas, may reach beyond it
  cv::Mat bgr;         // of place's size; empty until it is loaded
};

struct Scene {
  cv::Size size;                    // of the canvas
  std::vector<PlacedImage> images;  // later ones cover earlier ones
  LabelledImage labels;             // boxes and outlines in canvas px; no pixels
};

// An image of the data set and its size in px when loaded.
struct TileSource {
  int64_t sample = 0;
  cv::Size size;
  const Sample* labels = nullptr;
};

// Where each of 4 or 9 tiles lies on a canvas of 2 size x 2 size px. Of four, the first lies top
// left of the (random) centre, then top right, bottom left, bottom right. Of nine, the first lies
// in the middle and the others go around it clockwise from above, each against the one before.
// REQUIRES: no side of a tile exceeds `size`.
std::vector<cv::Rect> LayOutFour(const std::vector<cv::Size>& tiles, cv::Point centre);
std::vector<cv::Rect> LayOutNine(const std::vector<cv::Size>& tiles, int size);

// Cuts boxes and outlines to a mosaic's (square) canvas and drops boxes without area.
void CutToCanvas(Scene& scene);

// A mosaic of 4 or 9 tiles, its labels cut to the canvas.
Scene Mosaic(const std::vector<TileSource>& tiles, int size, Random& random);

// One image on a canvas of its own size.
Scene Single(const TileSource& image);

// Puts a single image in the middle of a canvas of `size`. Its labels move by the padding, its
// pixels by the padding rounded: they may come to lie half a pixel apart, as in the reference.
void CentreOn(cv::Size size, Scene& scene);

// Draws what lies in `window` at its place in `canvas`, which is the whole canvas; the rest of it
// is left as it was.
void Draw(const Scene& scene, const cv::Rect& window, cv::Mat& canvas);

}  // namespace yoke::engine
