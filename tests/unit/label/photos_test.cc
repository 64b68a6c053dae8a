// Official weights on two photos: what the reference (Ultralytics 8.4.190, CPU, 640 px, conf 0.25,
// iou 0.7) prints for them.
#include <cmath>
#include <cstdlib>
#include <sstream>

#include "gtest/gtest.h"
#include "server/engine/label/labeler.h"
#include "tests/unit/data/temp_folder.h"
#include "tests/unit/label/finder.h"

namespace yoke::engine {
namespace {

struct Box {
  int class_id;
  double confidence, x1, y1, x2, y2;  // px of the photo
};

struct Photo {
  std::string name;
  double width, height;
  std::vector<Box> boxes;
};

const std::vector<Photo> kPhotos = {{"bus",
                                     810,
                                     1080,
                                     {{5, 0.8734, 22.87, 231.28, 805.00, 756.84},
                                      {0, 0.8657, 48.55, 398.55, 245.35, 902.70},
                                      {0, 0.8528, 669.47, 392.19, 809.72, 877.04},
                                      {0, 0.8252, 221.52, 405.80, 344.97, 857.54},
                                      {0, 0.2611, 0.00, 550.53, 63.01, 873.44},
                                      {11, 0.2551, 0.06, 254.46, 32.56, 324.87}}},
                                    {"zidane",
                                     1280,
                                     720,
                                     {{0, 0.8360, 114.87, 197.41, 1114.47, 711.89},
                                      {0, 0.8190, 748.46, 41.86, 1143.08, 713.02},
                                      {27, 0.2910, 439.47, 437.07, 524.35, 709.16}}}};

std::vector<Box> ReadBoxes(const std::string& path, const Photo& photo) {
  std::vector<Box> boxes;
  std::istringstream lines(ReadAll(path));
  Box box;
  double x, y, w, h;
  while (lines >> box.class_id >> x >> y >> w >> h >> box.confidence) {
    box.x1 = (x - w / 2) * photo.width, box.x2 = (x + w / 2) * photo.width;
    box.y1 = (y - h / 2) * photo.height, box.y2 = (y + h / 2) * photo.height;
    boxes.push_back(box);
  }
  return boxes;
}

TEST(Photos, GetTheReferencesBoxes) {
  const char* data = std::getenv("YOKE_TEST_DATA");
  if (data == nullptr)
    GTEST_SKIP() << "YOKE_TEST_DATA is not set: the official weights are not here";
  engine::TempFolder folder;
  LabelConfig config;
  config.models = {std::string(data) + "/weights/yolov8n.pt"};
  config.sources = {std::string(data) + "/images"};
  config.out = folder / "out";
  config.save_conf = true;
  config.workers = 2;
  RecordingObserver observer;
  const auto result = RunLabel(config, at::kCPU, **MakeGroup({}), observer, StopSignal());
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->labelled, 2);
  for (const Photo& photo : kPhotos) {
    SCOPED_TRACE(photo.name);
    const std::vector<Box> got = ReadBoxes(folder / ("out/" + photo.name + ".txt"), photo);
    ASSERT_EQ(got.size(), photo.boxes.size());
    for (size_t i = 0; i < got.size(); ++i) {
      const Box& want = photo.boxes[i];
      EXPECT_EQ(got[i].class_id, want.class_id) << i;
      EXPECT_NEAR(got[i].confidence, want.confidence, 0.005) << i;
      EXPECT_NEAR(got[i].x1, want.x1, 1) << i;
      EXPECT_NEAR(got[i].y1, want.y1, 1) << i;
      EXPECT_NEAR(got[i].x2, want.x2, 1) << i;
      EXPECT_NEAR(got[i].y2, want.y2, 1) << i;
    }
  }
}

}  // namespace
}  // namespace yoke::engine
