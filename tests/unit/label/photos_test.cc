// Official weights on two photos: what the reference (Ultralytics 8.4.190, CPU, 640 px, conf 0.25,
// iou 0.7) prints for them.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <sstream>

#include "gtest/gtest.h"
#include "server/engine/label/labeler.h"
#include "tests/support/temp_folder.h"
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

class Photos : public ::testing::Test {
 protected:
  void SetUp() override {
    const char* data = std::getenv("YOKE_TEST_DATA");
    if (data == nullptr)
      GTEST_SKIP() << "YOKE_TEST_DATA is not set: the official weights are not here";
    config_.models = {std::string(data) + "/weights/yolov8n.pt"};
    config_.sources = {std::string(data) + "/images"};
    config_.out = folder_ / "out";
    config_.save_conf = true;
    config_.workers = 2;
  }
  void Run() {
    RecordingObserver observer;
    const auto result = RunLabel(config_, at::kCPU, **MakeGroup({}), observer, StopSignal());
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->labelled, 2);
  }
  std::vector<Box> Found(const Photo& photo) const {
    return ReadBoxes(folder_ / ("out/" + photo.name + ".txt"), photo);
  }
  static void ExpectNear(const Box& got, const Box& want, double confidence, double px) {
    EXPECT_EQ(got.class_id, want.class_id);
    EXPECT_NEAR(got.confidence, want.confidence, confidence);
    EXPECT_NEAR(got.x1, want.x1, px);
    EXPECT_NEAR(got.y1, want.y1, px);
    EXPECT_NEAR(got.x2, want.x2, px);
    EXPECT_NEAR(got.y2, want.y2, px);
  }

  TempFolder folder_;
  LabelConfig config_;
};

TEST_F(Photos, GetTheReferencesBoxes) {
  Run();
  for (const Photo& photo : kPhotos) {
    const std::vector<Box> got = Found(photo);
    ASSERT_EQ(got.size(), photo.boxes.size()) << photo.name;
    for (size_t i = 0; i < got.size(); ++i) {
      SCOPED_TRACE(photo.name + " " + std::to_string(i));
      ExpectNear(got[i], photo.boxes[i], 0.005, 1);
    }
  }
}

// Eight bits of mantissa move a box by some pixels and a confidence by some hundredths.
TEST_F(Photos, GetTheSureBoxesInBfloat16Too) {
  config_.amp = "bf16";
  Run();
  for (const Photo& photo : kPhotos) {
    const std::vector<Box> got = Found(photo);
    for (const Box& want : photo.boxes) {
      if (want.confidence < 0.5) continue;
      SCOPED_TRACE(photo.name + " at x " + std::to_string(want.x1));
      const auto same = std::find_if(got.begin(), got.end(), [&](const Box& box) {
        return box.class_id == want.class_id && std::abs(box.x1 - want.x1) < 10;
      });
      ASSERT_NE(same, got.end());
      ExpectNear(*same, want, 0.05, 10);
    }
  }
}

}  // namespace
}  // namespace yoke::engine
