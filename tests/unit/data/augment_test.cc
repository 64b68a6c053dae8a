// The steps of augmentation against OpenCV, and where chance is no matter. What the reference does
// is in tests/numerics.
#include <cmath>

#include "gtest/gtest.h"
#include "opencv2/imgproc.hpp"
#include "server/engine/data/augment/affine.h"
#include "server/engine/data/augment/colour.h"
#include "server/engine/data/augment/hsv_rows.h"
#include "server/engine/data/augment/mix.h"
#include "server/engine/data/augment/scene.h"
#include "server/engine/data/augment/warp.h"
#include "tests/unit/data/pictures.h"

namespace yoke::engine {
namespace {

// A mosaic's worth of pictures, some beyond the canvas, some over each other.
Scene PicturesOn(cv::Size canvas, uint64_t seed) {
  Random random(seed, 0, 0);
  Scene scene{.size = canvas};
  for (int i = 0; i < 5; ++i) {
    const cv::Size size(static_cast<int>(8 + random.Below(60)),
                        static_cast<int>(8 + random.Below(60)));
    const cv::Point at(static_cast<int>(random.Below(canvas.width + 40)) - 40,
                       static_cast<int>(random.Below(canvas.height + 40)) - 40);
    scene.images.push_back({.place = {at, size}, .bgr = Picture(size.width, size.height, i)});
  }
  return scene;
}

// What OpenCV makes of the drawn scene.
cv::Mat WarpedByOpenCv(const Scene& scene, const Affine& affine, cv::Size to) {
  cv::Mat canvas, out;
  Draw(scene, {{0, 0}, scene.size}, canvas);
  if (affine.perspective) {
    cv::warpPerspective(canvas, out, affine.matrix, to, cv::INTER_LINEAR, cv::BORDER_CONSTANT,
                        cv::Scalar::all(114));
  } else {
    cv::warpAffine(canvas, out, affine.matrix.get_minor<2, 3>(0, 0), to, cv::INTER_LINEAR,
                   cv::BORDER_CONSTANT, cv::Scalar::all(114));
  }
  return out;
}

void ExpectSamePixels(const cv::Mat& bgrx, const cv::Mat& bgr, const std::string& what) {
  cv::Mat ours, difference;
  cv::cvtColor(bgrx, ours, cv::COLOR_BGRA2BGR);
  cv::absdiff(ours, bgr, difference);
  // Equal to the last bit with OpenCV 4.6, whose arithmetic WarpByRows repeats; a release with
  // another may differ by 1.
  EXPECT_EQ(cv::norm(difference, cv::NORM_INF), 0) << what;
}

TEST(Warp, EqualsOpenCvWithoutDrawingTheCanvas) {
  for (uint64_t seed = 0; seed < 300; ++seed) {
    Random random(seed, 1, 1);
    const cv::Size canvas(static_cast<int>(32 + random.Below(120)),
                          static_cast<int>(32 + random.Below(120)));
    const cv::Size to(32 * static_cast<int>(1 + random.Below(3)),
                      32 * static_cast<int>(1 + random.Below(3)));
    const Scene scene = PicturesOn(canvas, seed);
    const AugmentConfig config{.translate = 0.4, .scale = seed % 4 == 0 ? 0.0 : 0.9};
    Affine affine = DrawAffine(config, canvas, to, random);
    if (seed % 5 == 0) affine.matrix(0, 2) += 10'000;  // nothing of it is in view
    cv::Mat out;
    Warp(scene, affine, to, out);
    ExpectSamePixels(out, WarpedByOpenCv(scene, affine, to), std::to_string(seed));
  }
}

TEST(Warp, DrawsWhatATurnedOrDistortedViewShows) {
  for (uint64_t seed = 0; seed < 60; ++seed) {
    Random random(seed, 1, 2);
    const Scene scene = PicturesOn({128, 128}, seed);
    const AugmentConfig config{
        .degrees = 170, .shear = 20, .perspective = seed % 2 == 0 ? 0.0 : 0.002};
    const Affine affine = DrawAffine(config, scene.size, {64, 96}, random);
    cv::Mat out;
    Warp(scene, affine, {64, 96}, out);
    ExpectSamePixels(out, WarpedByOpenCv(scene, affine, {64, 96}), std::to_string(seed));
  }
}

TEST(Warp, ScaleOfNothingIsOpenCvsToo) {
  const Scene scene = PicturesOn({64, 64}, 1);
  for (double scale : {0.0, 1e-9, 0.009, 0.011}) {
    const Affine affine{.matrix = {scale, 0, 3, 0, scale, 5, 0, 0, 1}, .scale = scale};
    cv::Mat out;
    Warp(scene, affine, {32, 32}, out);
    ExpectSamePixels(out, WarpedByOpenCv(scene, affine, {32, 32}), std::to_string(scale));
  }
}

// By OpenCV's conversions and table, as the reference does it.
cv::Mat GainedByOpenCv(const cv::Mat& bgrx, const HsvGains& gains) {
  const HsvTable table = TableOf(gains);
  cv::Mat lut(1, 256, CV_8UC3), out;
  for (int i = 0; i < 256; ++i) {
    const auto at = static_cast<size_t>(i);
    lut.at<cv::Vec3b>(i) = {table[0][at], table[1][at], table[2][at]};
  }
  cv::cvtColor(bgrx, out, cv::COLOR_BGR2HSV);
  cv::LUT(out, lut, out);
  cv::cvtColor(out, out, cv::COLOR_HSV2BGR);
  return out;
}

int Differing(const cv::Mat& bgrx, const HsvGains& gains) {
  std::vector<uint8_t> planes(3 * bgrx.total());
  FinishPixels(bgrx, {.hsv = gains, .bgr = true}, planes.data());
  cv::Mat ours, theirs = GainedByOpenCv(bgrx, gains), difference;
  std::vector<cv::Mat> channels;
  for (size_t c = 0; c < 3; ++c) {
    channels.emplace_back(bgrx.rows, bgrx.cols, CV_8UC1, planes.data() + c * bgrx.total());
  }
  cv::merge(channels, ours);
  cv::absdiff(ours, theirs, difference);
  return cv::countNonZero(difference.reshape(1));
}

TEST(Hsv, EveryColourComesOutAsFromOpenCv) {
  if (FastHsvRow() == nullptr) GTEST_SKIP() << "this machine has no other way than OpenCV's";
  const HsvGains cases[] = {{},
                            {.hue = 1.0149, .saturation = 1.6999, .value = 1.3999},
                            {.hue = 0.9871, .saturation = 0.3012, .value = 0.6017},
                            {.hue = 2, .saturation = 2, .value = 2},
                            {.hue = 0, .saturation = 0, .value = 0},
                            {.saturation = 1.31, .value = 0.83, .hue_shift = -2.61},
                            {.saturation = 0.77, .value = 1.21, .hue_shift = 179.5}};
  cv::Mat all(1024, 16384, CV_8UC4);
  for (int y = 0; y < all.rows; ++y) {
    for (int x = 0; x < all.cols; ++x) {
      const uint32_t colour = static_cast<uint32_t>(y) << 14 | static_cast<uint32_t>(x);
      all.at<cv::Vec4b>(y, x) = {static_cast<uint8_t>(colour), static_cast<uint8_t>(colour >> 8),
                                 static_cast<uint8_t>(colour >> 16), 0};
    }
  }
  for (const HsvGains& gains : cases)
    EXPECT_EQ(Differing(all, gains), 0) << gains.hue << " " << gains.hue_shift;
}

TEST(Hsv, AnyGainComesOutAsFromOpenCv) {
  cv::Mat colours(64, 64, CV_8UC4);
  cv::theRNG().state = 1;
  cv::randu(colours, 0, 256);
  Random random(5, 5, 5);
  for (int i = 0; i < 2000; ++i) {
    const AugmentConfig config{
        .hsv_h = i % 2 == 0 ? 1.0 : 0.015, .hsv_s = 1, .hsv_v = 1, .hsv_additive = i % 3 == 0};
    EXPECT_EQ(Differing(colours, DrawHsv(config, random)), 0) << i;
  }
}

TEST(Hsv, NoGainLeavesPixelsAlone) {
  Random random(1, 1, 1);
  EXPECT_TRUE(DrawHsv({.hsv_h = 0, .hsv_s = 0, .hsv_v = 0}, random).none);
  EXPECT_FALSE(DrawHsv({.hsv_h = 0, .hsv_s = 0, .hsv_v = 0.1}, random).none);
}

TEST(FinishPixels, MirrorsAndOrdersPlanes) {
  cv::Mat bgrx(8, 16, CV_8UC4);
  for (int y = 0; y < 8; ++y) {
    for (int x = 0; x < 16; ++x) {
      bgrx.at<cv::Vec4b>(y, x) = {static_cast<uint8_t>(10 * x), static_cast<uint8_t>(20 * y), 200,
                                  9};
    }
  }
  for (const bool none : {true, false}) {
    for (const bool up_down : {true, false}) {
      for (const bool left_right : {true, false}) {
        for (const bool bgr : {true, false}) {
          std::vector<uint8_t> planes(3 * bgrx.total());
          FinishPixels(bgrx, {{.none = none}, up_down, left_right, bgr}, planes.data());
          const uint8_t* blue = planes.data() + (bgr ? 0 : 2) * bgrx.total();
          const uint8_t* red = planes.data() + (bgr ? 2 : 0) * bgrx.total();
          for (int y = 0; y < 8; ++y) {
            for (int x = 0; x < 16; ++x) {
              const auto& px = bgrx.at<cv::Vec4b>(up_down ? 7 - y : y, left_right ? 15 - x : x);
              // There and back through HSV costs a few levels.
              const int tolerance = none ? 0 : 5;
              EXPECT_NEAR(blue[16 * y + x], px[0], tolerance);
              EXPECT_NEAR(planes[bgrx.total() + static_cast<size_t>(16 * y + x)], px[1], tolerance);
              EXPECT_NEAR(red[16 * y + x], px[2], tolerance);
            }
          }
        }
      }
    }
  }
}

TEST(Scene, CentredImageAndLabelsLieHalfAPixelApart) {
  const Sample sample{.labels = {{0, 0.5f, 0.5f, 0.5f, 0.5f}}};
  Scene scene = Single({.size = {640, 427}, .labels = &sample});
  CentreOn({640, 640}, scene);
  EXPECT_EQ(scene.images[0].place, cv::Rect(0, 106, 640, 427));
  EXPECT_FLOAT_EQ((scene.labels.boxes[0].y1 + scene.labels.boxes[0].y2) / 2, 427 / 2.0f + 106.5f);
}

class Outlines : public ::testing::Test {
 protected:
  // In an image of `side` px, of which the unit square reaches from -50 to 50.
  static PixelBox Box(const std::vector<float>& xy_norm, OutlineRule rule, int side = 50) {
    std::vector<cv::Point2f> points;
    PlacePoints({.xy_norm = xy_norm, .width = 100, .height = 100, .shift_x = -50, .shift_y = -50},
                rule, points);
    return BoxOfPoints(points, rule, {side, side}, 3);
  }
  static void ExpectBox(const PixelBox& box, float x1, float y1, float x2, float y2,
                        float tolerance) {
    EXPECT_NEAR(box.x1, x1, tolerance);
    EXPECT_NEAR(box.y1, y1, tolerance);
    EXPECT_NEAR(box.x2, x2, tolerance);
    EXPECT_NEAR(box.y2, y2, tolerance);
    EXPECT_EQ(box.class_id, 3);
  }
};

TEST_F(Outlines, BoxOfThePolygonCutAtTheEdge) {
  const auto rule = OutlineRule::kCutAtEdge;
  ExpectBox(Box({.6f, .6f, .9f, .6f, .8f, .9f}, rule), 10, 10, 40, 40, 1e-3f);  // inside
  ExpectBox(Box({0, 0, 1, 0, 1, 1, 0, 1}, rule), 0, 0, 50, 50, 1e-3f);          // all of the image
  ExpectBox(Box({.4f, .6f, .6f, .6f, .6f, .7f, .4f, .7f}, rule), 0, 10, 10, 20,
            1e-3f);  // over the left edge
  ExpectBox(Box({.4f, .4f, .7f, .4f, .4f, .7f}, rule), 0, 0, 10, 10,
            1e-3f);  // over a corner, which is inside
  ExpectBox(Box({.2f, .2f, .3f, .2f, .2f, .3f}, rule), 0, 0, 0, 0, 0);  // outside
  ExpectBox(Box({.3f, .6f, .6f, .3f, .3f, .3f}, rule), 0, 0, 0, 0,
            0);  // its box reaches in, it does not
}

TEST_F(Outlines, BoxOfThePointsInside) {
  const auto rule = OutlineRule::kPointsInside;
  ExpectBox(Box({.6f, .6f, .9f, .6f, .8f, .9f}, rule), 10, 10, 40, 40,
            0.1f);  // points may miss corners
  ExpectBox(Box({.4f, .6f, .6f, .6f, .6f, .7f, .4f, .7f}, rule), 0, 10, 10, 20, 0.1f);
  ExpectBox(Box({0, 0, 1, 0, 1, 1, 0, 1}, rule, 40), 0, 0, 0, 0,
            0);  // all of the image: no point is in it
}

TEST_F(Outlines, ManyCornersAreAllKept) {
  std::vector<float> xy;
  for (int i = 0; i < 5000; ++i) {
    const double angle = 2 * CV_PI * i / 5000;
    xy.push_back(static_cast<float>(0.75 + (i == 1234 ? 0.2 : 0.1) * std::cos(angle)));
    xy.push_back(static_cast<float>(0.75 + (i == 1234 ? 0.2 : 0.1) * std::sin(angle)));
  }
  EXPECT_NEAR(Box(xy, OutlineRule::kCutAtEdge).y2, 45, 0.1);
}

TEST(Pasteable, NothingCoversNothing) {
  EXPECT_TRUE(Pasteable({}, {{0, 0, 0, 9, 9}}, true).empty());
  EXPECT_EQ(Pasteable({{0, 0, 0, 9, 9}}, {}, true), std::vector<size_t>{0});
  const std::vector<PixelBox> from{{0, 0, 0, 2, 10}, {0, 20, 0, 30, 10}, {0, 0, 0, 3.1f, 10}};
  EXPECT_EQ(Pasteable(from, {{0, 0, 0, 10, 10}}, true),
            (std::vector<size_t>{1, 0}));  // over 30 % is too much
  EXPECT_EQ(Pasteable(from, {{0, 0, 0, 10, 10}}, false), (std::vector<size_t>{0, 1}));
}

}  // namespace
}  // namespace yoke::engine
