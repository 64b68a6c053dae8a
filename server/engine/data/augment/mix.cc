#include "server/engine/data/augment/mix.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "opencv2/core.hpp"
#include "opencv2/imgproc.hpp"

namespace yoke::engine {
namespace {

// The share of `of` that `by` covers.
double Covered(const PixelBox& of, const PixelBox& by) {
  constexpr double kEpsilon = 1e-7;
  const double w = std::min(of.x2, by.x2) - std::max(of.x1, by.x1),
               h = std::min(of.y2, by.y2) - std::max(of.y1, by.y1);
  return std::max(w, 0.0) * std::max(h, 0.0) /
         (static_cast<double>(of.x2 - of.x1) * (of.y2 - of.y1) + kEpsilon);
}

PixelBox BoxOf(const cv::Rect& area) {
  return {0, static_cast<float>(area.x), static_cast<float>(area.y),
          static_cast<float>(area.x + area.width), static_cast<float>(area.y + area.height)};
}

size_t ShareOf(double share, size_t count) {
  return static_cast<size_t>(std::nearbyint(share * static_cast<double>(count)));
}

// Takes `count` of `all` in random order.
void KeepRandom(size_t count, Random& random, std::vector<size_t>& all) {
  for (size_t i = 0; i < count; ++i) {
    std::swap(all[i],
              all[i + static_cast<size_t>(random.Below(static_cast<int64_t>(all.size() - i)))]);
  }
}

cv::Rect RandomArea(cv::Size size, Random& random) {
  const double ratio = std::sqrt(random.Uniform());
  const int half_width = static_cast<int>(size.width * ratio) / 2,
            half_height = static_cast<int>(size.height * ratio) / 2;
  const auto x = static_cast<int>(random.Below(size.width)),
             y = static_cast<int>(random.Below(size.height));
  return cv::Rect(x - half_width, y - half_height, 2 * half_width, 2 * half_height) &
         cv::Rect({0, 0}, size);
}

}  // namespace

void MixUp(LabelledImage& first, const LabelledImage& second, double ratio) {
  // Of each pair of values, in double precision as the reference computes: truncated, the last bit
  // shows.
  std::vector<uint8_t> mixed(256 * 256);
  for (size_t i = 0; i < mixed.size(); ++i) {
    const auto a = static_cast<double>(i >> 8), b = static_cast<double>(i & 255);
    mixed[i] = static_cast<uint8_t>(a * ratio + b * (1 - ratio));
  }
  const size_t count = first.pixels.total() * first.pixels.elemSize();
  uint8_t* a = first.pixels.data;
  const uint8_t* b = second.pixels.data;
  for (size_t i = 0; i < count; ++i) a[i] = mixed[static_cast<size_t>(a[i]) << 8 | b[i]];
  first.boxes.insert(first.boxes.end(), second.boxes.begin(), second.boxes.end());
  first.outlines.clear();
}

std::vector<size_t> FreeAreas(const CutAreas& areas, const std::vector<PixelBox>& boxes) {
  std::vector<size_t> free;
  for (size_t i = 0; i < areas.size(); ++i) {
    const PixelBox area = BoxOf(areas[i]);
    if (std::all_of(boxes.begin(), boxes.end(),
                    [&](const PixelBox& box) { return Covered(box, area) <= 0; })) {
      free.push_back(i);
    }
  }
  return free;
}

void PasteArea(const cv::Rect& area, const LabelledImage& second, double area_min,
               LabelledImage& first) {
  const PixelBox cut = BoxOf(area);
  std::vector<PixelBox> shown;
  for (PixelBox box : second.boxes) {
    if (Covered(box, cut) < area_min) continue;
    box.x1 = std::clamp(box.x1, cut.x1, cut.x2), box.x2 = std::clamp(box.x2, cut.x1, cut.x2);
    box.y1 = std::clamp(box.y1, cut.y1, cut.y2), box.y2 = std::clamp(box.y2, cut.y1, cut.y2);
    shown.push_back(box);
  }
  if (shown.empty()) return;
  second.pixels(area).copyTo(first.pixels(area));
  first.boxes.insert(first.boxes.end(), shown.begin(), shown.end());
  first.outlines.clear();
}

void CutMix(LabelledImage& first, const LabelledImage& second, double area_min, Random& random) {
  CutAreas areas;
  for (cv::Rect& area : areas) area = RandomArea(first.pixels.size(), random);
  const std::vector<size_t> free = FreeAreas(areas, first.boxes);
  if (free.empty()) return;
  const cv::Rect& area =
      areas[free[static_cast<size_t>(random.Below(static_cast<int64_t>(free.size())))]];
  PasteArea(area, second, area_min, first);
}

std::vector<size_t> Pasteable(const std::vector<PixelBox>& from, const std::vector<PixelBox>& onto,
                              bool least_first) {
  constexpr double kCoveredMax = 0.3;
  std::vector<std::pair<double, size_t>> found;
  for (size_t i = 0; i < from.size(); ++i) {
    double most = 0;
    for (const PixelBox& box : onto) most = std::max(most, Covered(box, from[i]));
    if (most < kCoveredMax) found.emplace_back(most, i);
  }
  if (least_first) {
    std::stable_sort(found.begin(), found.end(),
                     [](const auto& a, const auto& b) { return a.first < b.first; });
  }
  std::vector<size_t> indices;
  for (const auto& [most, index] : found) indices.push_back(index);
  return indices;
}

void PasteMirrored(double share, OutlineRule rule, Random& random, LabelledImage& image) {
  if (image.outlines.empty()) return;
  const auto width = static_cast<float>(image.pixels.cols);
  const bool random_ones = rule == OutlineRule::kPointsInside;
  std::vector<PixelBox> mirrored = image.boxes;
  for (PixelBox& box : mirrored)
    box = {box.class_id, width - box.x2, box.y1, width - box.x1, box.y2};
  std::vector<size_t> chosen = Pasteable(mirrored, image.boxes, !random_ones);
  const size_t count = ShareOf(share, chosen.size());
  if (random_ones) KeepRandom(count, random, chosen);
  chosen.resize(count);
  if (chosen.empty()) return;
  cv::Mat mask(image.pixels.size(), CV_8UC1, cv::Scalar::all(0));
  cv::Rect touched;
  std::vector<cv::Point2f> points;
  for (size_t i : chosen) {
    Outline outline = image.outlines[i];
    outline.mirrored = true;
    outline.mirror_x = width;
    // The earlier version fills the outline where it was and mirrors what it filled, which is one
    // px to the left.
    PlacePoints(random_ones ? image.outlines[i] : outline, rule, points);
    FillPoints(points, mask);
    touched |= cv::boundingRect(points);
    image.boxes.push_back(mirrored[i]);
    image.outlines.push_back(outline);
  }
  touched &= cv::Rect({0, 0}, mask.size());
  const cv::Rect opposite(mask.cols - touched.x - touched.width, touched.y, touched.width,
                          touched.height);
  cv::Mat shown, source;
  if (random_ones) {
    cv::flip(mask(touched), shown, 1);
    source = image.pixels(touched).clone();
    cv::Mat to = image.pixels(opposite);
    cv::flip(source, source, 1);
    source.copyTo(to, shown);
  } else {
    cv::flip(image.pixels(opposite), source, 1);
    cv::Mat to = image.pixels(touched);
    source.copyTo(to, mask(touched));
  }
}

void PasteObjects(const LabelledImage& from, double share, OutlineRule rule, LabelledImage& onto) {
  if (onto.outlines.empty() || from.outlines.empty()) return;
  std::vector<size_t> chosen = Pasteable(from.boxes, onto.boxes, true);
  chosen.resize(ShareOf(share, chosen.size()));
  if (chosen.empty()) return;
  cv::Mat mask(onto.pixels.size(), CV_8UC1, cv::Scalar::all(0));
  std::vector<cv::Point2f> points;
  for (size_t i : chosen) {
    const PixelBox& box = from.boxes[i];
    PlacePoints(from.outlines[i], rule, points);
    for (cv::Point2f& p : points)
      p = {std::clamp(p.x, box.x1, box.x2), std::clamp(p.y, box.y1, box.y2)};
    FillPoints(points, mask);
    onto.boxes.push_back(box);
    onto.outlines.push_back(from.outlines[i]);
  }
  from.pixels.copyTo(onto.pixels, mask);
}

}  // namespace yoke::engine
