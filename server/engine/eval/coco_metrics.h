// Average precision and recall by COCO's own protocol: the twelve figures that pycocotools'
// COCOeval prints for boxes, equal to them on the same objects and detections.
#pragma once

#include <cstdint>
#include <vector>

namespace yoke::engine {

struct CocoBox {
  double x = 0, y = 0, w = 0, h = 0;  // top left corner and size, px of the original image
  int32_t class_id = 0;

  double area() const { return w * h; }
};

struct CocoDetection {
  CocoBox box;
  double score = 0;
};

// Crowds are not known here: a data set of YOLO labels has none.
struct CocoImage {
  std::vector<CocoBox> truths;
  std::vector<CocoDetection> detections;  // any order; of equal scores the first counts first
};

// Means over the classes that have an object of the kind, and over IoU 0.50 to 0.95 in steps of
// 0.05 (ap50, ap75: at that IoU). Small: area up to 32², medium: to 96², large: over it, limits
// belong to both. ap and the figures by size are those of 100 detections per image and class, arN
// of N. -1: no object of that kind.
struct CocoMetrics {
  double ap = -1, ap50 = -1, ap75 = -1, ap_small = -1, ap_medium = -1, ap_large = -1;
  double ar1 = -1, ar10 = -1, ar100 = -1, ar_small = -1, ar_medium = -1, ar_large = -1;
};

// Detections of equal scores count in the order of `images`: COCOeval's is ascending by image id.
CocoMetrics EvaluateCoco(const std::vector<CocoImage>& images);

}  // namespace yoke::engine
