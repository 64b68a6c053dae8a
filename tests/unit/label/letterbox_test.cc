#include "server/engine/label/letterbox.h"

#include <vector>

#include "gtest/gtest.h"
#include "opencv2/core.hpp"

namespace yoke::engine {
namespace {

struct FitCase {
  ImageSize image;
  int imgsz;
  ImageSize resized, input;
  int left, top;
};

// The figures are the reference's (LetterBox with auto, 8.4.190).
TEST(Letterbox, FitsAsTheReference) {
  for (const FitCase& c : {
           FitCase{{810, 1080}, 640, {480, 640}, {480, 640}, 0, 0},
           FitCase{{1280, 720}, 640, {640, 360}, {640, 384}, 0, 12},
           FitCase{{640, 427}, 640, {640, 427}, {640, 448}, 0, 10},
           FitCase{{100, 50}, 320, {320, 160}, {320, 160}, 0, 0},
           FitCase{{3000, 1}, 640, {640, 1}, {640, 32}, 0, 15},
           FitCase{{333, 500}, 640, {426, 640}, {448, 640}, 11, 0},
       }) {
    SCOPED_TRACE(::testing::Message() << c.image.width << "x" << c.image.height);
    const RectFit fit = FitRect(c.image, c.imgsz);
    EXPECT_EQ(fit.resized.width, c.resized.width);
    EXPECT_EQ(fit.resized.height, c.resized.height);
    EXPECT_EQ(fit.input.width, c.input.width);
    EXPECT_EQ(fit.input.height, c.input.height);
    EXPECT_EQ(fit.left, c.left);
    EXPECT_EQ(fit.top, c.top);
  }
}

TEST(Letterbox, CentresThePhotoOnGreyAndOrdersPlanesAsRgb) {
  const cv::Mat photo(30, 64, CV_8UC3, cv::Scalar(10, 20, 30));  // blue, green, red
  const RectFit fit = FitRect({64, 30}, 64);
  ASSERT_EQ(fit.input.height, 32);
  std::vector<uint8_t> rgb(3 * 64 * 32);
  FillInput(photo, fit, rgb.data());
  const auto at = [&](int channel, int y, int x) { return rgb[(channel * 32 + y) * 64 + x]; };
  for (int channel = 0; channel < 3; ++channel) {
    EXPECT_EQ(at(channel, 0, 5), 114);
    EXPECT_EQ(at(channel, 31, 5), 114);
    EXPECT_EQ(at(channel, 1, 5), 30 - 10 * channel);
    EXPECT_EQ(at(channel, 30, 63), 30 - 10 * channel);
  }
}

TEST(Letterbox, BringsBoxesBackIntoThePhoto) {
  const RectFit fit = FitRect({1280, 720}, 640);
  const Detection inside = ToPhoto({100, 112, 200, 212, 0.5f, 3}, fit);
  EXPECT_FLOAT_EQ(inside.x1, 200);
  EXPECT_FLOAT_EQ(inside.y1, 200);
  EXPECT_FLOAT_EQ(inside.x2, 400);
  EXPECT_FLOAT_EQ(inside.y2, 400);
  EXPECT_EQ(inside.class_id, 3);
  const Detection beyond = ToPhoto({-5, 0, 700, 384, 0.5f, 3}, fit);
  EXPECT_FLOAT_EQ(beyond.x1, 0);
  EXPECT_FLOAT_EQ(beyond.y1, 0);
  EXPECT_FLOAT_EQ(beyond.x2, 1280);
  EXPECT_FLOAT_EQ(beyond.y2, 720);
}

}  // namespace
}  // namespace yoke::engine
