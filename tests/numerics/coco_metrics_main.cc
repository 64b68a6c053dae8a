// coco_metrics_check TRUTHS DETECTIONS: prints our COCO figures of two files in COCO's formats as
// JSON, for coco_test.py to compare.
#include <cstdio>
#include <fstream>
#include <map>

#include "nlohmann/json.hpp"
#include "server/engine/eval/coco_metrics.h"

namespace {

using nlohmann::json;

yoke::engine::CocoBox BoxOf(const json& row) {
  const json& box = row.at("bbox");
  return {box.at(0), box.at(1), box.at(2), box.at(3), row.at("category_id")};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: coco_metrics_check TRUTHS DETECTIONS\n");
    return 2;
  }
  std::ifstream truths_file(argv[1]), detections_file(argv[2]);
  const json truths = json::parse(truths_file), detections = json::parse(detections_file);
  std::map<int64_t, yoke::engine::CocoImage> by_id;
  for (const json& image : truths.at("images")) by_id[image.at("id")];
  for (const json& row : truths.at("annotations"))
    by_id.at(row.at("image_id")).truths.push_back(BoxOf(row));
  for (const json& row : detections)
    by_id.at(row.at("image_id")).detections.push_back({BoxOf(row), row.at("score")});
  std::vector<yoke::engine::CocoImage> images;
  for (auto& [id, image] : by_id) images.push_back(std::move(image));
  const yoke::engine::CocoMetrics m = yoke::engine::EvaluateCoco(images);
  const json figures = {m.ap,  m.ap50, m.ap75,  m.ap_small, m.ap_medium, m.ap_large,
                        m.ar1, m.ar10, m.ar100, m.ar_small, m.ar_medium, m.ar_large};
  std::printf("%s\n", figures.dump().c_str());
  return 0;
}
