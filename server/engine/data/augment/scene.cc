#include "server/engine/data/augment/scene.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace yoke::engine {

std::vector<cv::Rect> LayOutFour(const std::vector<cv::Size>& tiles, cv::Point centre) {
  std::vector<cv::Rect> places;
  for (int i = 0; i < 4; ++i) {
    const cv::Size tile = tiles[static_cast<size_t>(i)];
    places.emplace_back(centre.x - (i % 2 == 0 ? tile.width : 0),
                        centre.y - (i < 2 ? tile.height : 0), tile.width, tile.height);
  }
  return places;
}

std::vector<cv::Rect> LayOutNine(const std::vector<cv::Size>& tiles, int size) {
  const int s = size, w0 = tiles[0].width, h0 = tiles[0].height;
  std::vector<cv::Rect> places;
  for (size_t i = 0; i < 9; ++i) {
    const int w = tiles[i].width, h = tiles[i].height;
    const int wp = i == 0 ? 0 : tiles[i - 1].width, hp = i == 0 ? 0 : tiles[i - 1].height;
    const cv::Point at = std::array<cv::Point, 9>{{{s, s},
                                                   {s, s - h},
                                                   {s + wp, s - h},
                                                   {s + w0, s},
                                                   {s + w0, s + hp},
                                                   {s + w0 - w, s + h0},
                                                   {s + w0 - wp - w, s + h0},
                                                   {s - w, s + h0 - h},
                                                   {s - w, s + h0 - hp - h}}}[i];
    // Laid out on 3 size, of which the middle 2 size are the canvas.
    places.emplace_back(at - cv::Point(s / 2, s / 2), tiles[i]);
  }
  return places;
}

void CutToCanvas(Scene& scene) {
  LabelledImage& labels = scene.labels;
  const auto limit = static_cast<float>(scene.size.width);
  const bool outlined = !labels.outlines.empty();
  size_t kept = 0;
  for (size_t i = 0; i < labels.boxes.size(); ++i) {
    PixelBox box = labels.boxes[i];
    for (float* side : {&box.x1, &box.y1, &box.x2, &box.y2}) *side = std::clamp(*side, 0.0f, limit);
    if ((box.x2 - box.x1) * (box.y2 - box.y1) <= 0) continue;
    labels.boxes[kept] = box;
    if (outlined) {
      labels.outlines[kept] = labels.outlines[i];
      labels.outlines[kept].limit = limit;
    }
    ++kept;
  }
  labels.boxes.resize(kept);
  if (outlined) labels.outlines.resize(kept);
}

Scene Mosaic(const std::vector<TileSource>& tiles, int size, Random& random) {
  std::vector<cv::Size> sizes;
  for (const TileSource& tile : tiles) sizes.push_back(tile.size);
  std::vector<cv::Rect> places;
  if (tiles.size() == 9) {
    places = LayOutNine(sizes, size);
  } else {
    const int y = static_cast<int>(random.Uniform(size / 2.0, 1.5 * size));
    const int x = static_cast<int>(random.Uniform(size / 2.0, 1.5 * size));
    places = LayOutFour(sizes, {x, y});
  }
  Scene scene{.size = {2 * size, 2 * size}};
  for (size_t i = 0; i < tiles.size(); ++i) {
    scene.images.push_back({.sample = tiles[i].sample, .place = places[i]});
    const auto dx = static_cast<float>(places[i].x), dy = static_cast<float>(places[i].y);
    AppendLabels(*tiles[i].labels, sizes[i], dx, dy, scene.labels);
  }
  CutToCanvas(scene);
  return scene;
}

Scene Single(const TileSource& image) {
  Scene scene{.size = image.size};
  scene.images.push_back({.sample = image.sample, .place = {{0, 0}, image.size}});
  AppendLabels(*image.labels, image.size, 0, 0, scene.labels);
  return scene;
}

void CentreOn(cv::Size size, Scene& scene) {
  const float dx = static_cast<float>(size.width - scene.size.width) / 2;
  const float dy = static_cast<float>(size.height - scene.size.height) / 2;
  const cv::Point padding(static_cast<int>(std::nearbyint(dx - 0.1)),
                          static_cast<int>(std::nearbyint(dy - 0.1)));
  scene.size = size;
  for (PlacedImage& image : scene.images) image.place += padding;
  for (PixelBox& box : scene.labels.boxes) MoveBy(dx, dy, box);
  for (Outline& outline : scene.labels.outlines) MoveBy(dx, dy, outline);
}

void Draw(const Scene& scene, const cv::Rect& window, cv::Mat& canvas) {
  const cv::Rect shown = window & cv::Rect({0, 0}, scene.size);
  canvas.create(scene.size, CV_8UC3);
  if (shown.empty()) return;
  canvas(shown).setTo(cv::Scalar::all(kPadding));
  for (const PlacedImage& image : scene.images) {
    const cv::Rect part = image.place & shown;
    if (!part.empty() && !image.bgr.empty())
      image.bgr(part - image.place.tl()).copyTo(canvas(part));
  }
}

}  // namespace yoke::engine
