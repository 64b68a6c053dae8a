#include "server/engine/data/augment/labelled_image.h"

namespace yoke::engine {

void MoveBy(float dx, float dy, PixelBox& box) {
  box.x1 += dx, box.x2 += dx;
  box.y1 += dy, box.y2 += dy;
}

void MoveBy(float dx, float dy, Outline& outline) {
  (outline.mirrored ? outline.mirror_x : outline.shift_x) += dx;
  outline.shift_y += dy;
}

void AppendLabels(const Sample& sample, cv::Size size, float dx, float dy, LabelledImage& out) {
  const auto width = static_cast<float>(size.width), height = static_cast<float>(size.height);
  for (const Label& label : sample.labels) {
    out.boxes.push_back({label.class_id, (label.x - label.w / 2) * width + dx,
                         (label.y - label.h / 2) * height + dy,
                         (label.x + label.w / 2) * width + dx,
                         (label.y + label.h / 2) * height + dy});
  }
  for (size_t i = 0; i < sample.polygon_ends.size(); ++i) {
    out.outlines.push_back({.xy_norm = sample.Polygon(i),
                            .width = width,
                            .height = height,
                            .shift_x = dx,
                            .shift_y = dy});
  }
}

}  // namespace yoke::engine
