// What is in the images of training batches.
#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "gtest/gtest.h"
#include "opencv2/core.hpp"
#include "tests/unit/data/loaders.h"

namespace yoke::engine {
namespace {

TEST_F(Loaders, MosaicsDrawFromTheImagesUsedLastOrFromAll) {
  Fill(60);
  options_.batch = 1;  // a window of 7
  augment_ = {.translate = 0, .scale = 0};
  for (const bool recent : {true, false}) {
    augment_.mosaic_recent = recent;
    auto loader = MakeTrainLoader(split_, augment_, options_, -1);
    std::vector<int64_t> used;
    bool beyond = false, before = false;
    for (int epoch = 0; epoch < 2; ++epoch) {
      for (const Batch& batch : Epoch(*loader, epoch)) {
        used.push_back(batch.images[0].sample);
        for (const BatchLabel& label : batch.labels) {  // a picture's class is its index
          const auto found = std::find(used.rbegin(), used.rend(), label.class_id);
          const auto back = found - used.rbegin();
          beyond |= found == used.rend() || back >= 7;
          before |= found != used.rend() && back > 0 && used.size() > 60 &&
                    back >= static_cast<ptrdiff_t>(used.size()) - 60;
        }
      }
    }
    EXPECT_EQ(beyond, !recent);
    EXPECT_TRUE(before) << "partners reach into the epoch before";
  }
}

TEST_F(Loaders, RectBatchesAreSortedByAspectAndHaveNoMosaic) {
  Fill(24);
  augment_ = {.hsv_h = 0,
              .hsv_s = 0,
              .hsv_v = 0,
              .translate = 0,
              .scale = 0,
              .fliplr = 0,
              .mixup = 1.0,
              .cutmix = 1.0};
  options_.rect = true;
  auto loader = MakeTrainLoader(split_, augment_, options_, -1);
  double last = 0;
  std::set<std::pair<int, int>> shapes;
  for (const Batch& batch : Epoch(*loader, 4)) {
    EXPECT_EQ(batch.labels.size(), static_cast<size_t>(batch.count));
    shapes.insert({batch.width, batch.height});
    for (size_t i = 0; i < batch.images.size(); ++i) {
      const ImageSize size = batch.images[i].original;
      const double aspect = static_cast<double>(size.height) / size.width;
      EXPECT_GE(aspect, last);
      last = aspect;
      EXPECT_NEAR(batch.labels[i].x, 0.5, 0.01);
      EXPECT_NEAR(batch.labels[i].w * static_cast<float>(batch.width),
                  48.0 * size.width / std::max(size.width, size.height), 1.1);
      EXPECT_NEAR(batch.labels[i].h * static_cast<float>(batch.height),
                  48.0 * size.height / std::max(size.width, size.height), 1.1);
    }
  }
  // 40 px of 100: 38.4 of 96, so two thirds are the least that holds it.
  EXPECT_TRUE(shapes.contains({96, 64}));
  EXPECT_TRUE(shapes.contains({96, 96}));
  EXPECT_EQ(Sum(Epoch(*loader, 0)[2].pixels), Sum(Epoch(*loader, 1)[2].pixels))
      << "the same order in every epoch";
}

TEST_F(Loaders, RectSetOfOneShapeIsShuffled) {
  for (int i = 0; i < 12; ++i) {
    split_.samples.push_back(
        {.image_path = folder_.Write(std::to_string(i) + ".jpg", JpegBytes(Picture(90, 60, i))),
         .width = 90,
         .height = 60});
  }
  options_.rect = true;
  auto loader = MakeTrainLoader(split_, augment_, options_, -1);
  std::set<std::vector<int64_t>> orders;
  for (int epoch = 0; epoch < 3; ++epoch) {
    std::vector<int64_t> order;
    for (const Batch& batch : Epoch(*loader, epoch)) {
      EXPECT_EQ(batch.height, 64);
      for (const BatchImage& image : batch.images) order.push_back(image.sample);
    }
    orders.insert(order);
  }
  EXPECT_EQ(orders.size(), 3u);
}

// White rectangles on black: wherever a label says that something is, it is white, and nothing else
// is.
TEST_F(Loaders, LabelsLieOnTheirObjects) {
  for (int i = 0; i < 12; ++i) {
    const int width = 90 + 10 * (i % 4), height = 120 - 15 * (i % 5);
    const cv::Rect box(5 + 5 * i, 8 + 2 * i, 30, 24);
    cv::Mat image(height, width, CV_8UC3, cv::Scalar::all(0));
    image(box).setTo(cv::Scalar::all(255));
    const auto w = static_cast<float>(width), h = static_cast<float>(height);
    const float x1 = static_cast<float>(box.x) / w, y1 = static_cast<float>(box.y) / h;
    const float x2 = static_cast<float>(box.br().x) / w, y2 = static_cast<float>(box.br().y) / h;
    split_.samples.push_back(
        {.image_path = folder_.Write(std::to_string(i) + ".jpg", JpegBytes(image, 100)),
         .width = width,
         .height = height,
         .labels = {{0, (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1}}});
  }
  options_.imgsz = 160;
  for (const bool outlined : {false, true}) {
    for (const bool modern : {false, true}) {
      for (const int tiles : {1, 4, 9}) {
        SCOPED_TRACE(testing::Message() << outlined << modern << tiles);
        augment_ = {.hsv_h = 0,
                    .hsv_s = 0,
                    .hsv_v = 0,
                    .flipud = 0.5,
                    .bgr = 0.5,
                    .mosaic = tiles > 1 ? 1.0 : 0.0,
                    .mosaic_tiles = tiles,
                    .copy_paste = 0.5,
                    .polygon_clip = modern,
                    .label_half_pixel = !modern};
        for (Sample& sample : split_.samples) {
          const Label& l = sample.labels[0];
          const float x1 = l.x - l.w / 2, y1 = l.y - l.h / 2, x2 = l.x + l.w / 2,
                      y2 = l.y + l.h / 2;
          if (outlined)
            sample.polygon_xy = {x1, y1, x2, y1, x2, y2, x1, y2}, sample.polygon_ends = {4};
        }
        auto loader = MakeTrainLoader(split_, augment_, options_, -1);
        int64_t seen = 0;
        for (const Batch& batch : Epoch(*loader, 0)) {
          for (int i = 0; i < batch.count; ++i) {
            cv::Mat plane(160, 160, CV_8UC1), inside(160, 160, CV_8UC1, cv::Scalar::all(0));
            std::copy_n(batch.pixels.begin() + i * 3 * 160 * 160, 160 * 160, plane.data);
            for (const BatchLabel& l : batch.labels) {
              if (l.image != i) continue;
              ++seen;
              const cv::Rect2f box(160 * (l.x - l.w / 2), 160 * (l.y - l.h / 2), 160 * l.w,
                                   160 * l.h);
              // An object pasted the earlier version's way lies a pixel aside: a dark seam where it
              // covers another.
              const cv::Point from(static_cast<int>(std::ceil(box.x + 4)),
                                   static_cast<int>(std::ceil(box.y + 4)));
              const cv::Point to(static_cast<int>(box.br().x - 4),
                                 static_cast<int>(box.br().y - 4));
              if (from.x < to.x && from.y < to.y) {
                EXPECT_GT(cv::mean(plane(cv::Rect(from, to)))[0], 245) << box;
              }
              inside(cv::Rect(box.tl() - cv::Point2f(3, 3), box.br() + cv::Point2f(4, 4)) &
                     cv::Rect(0, 0, 160, 160))
                  .setTo(1);
            }
            plane.setTo(0, inside);
            // What is left are slivers at the edge, a tenth of an object at most, which are not
            // labelled.
            EXPECT_LT(cv::countNonZero(plane > 200), 200);
          }
        }
        EXPECT_GT(seen, 10);
      }
    }
  }
}

TEST_F(Loaders, ImageReplacedSinceTheScanIsMadeToFit) {
  Fill(4);
  folder_.Write("images/101.jpg", JpegBytes(Picture(33, 77)));
  for (const double mosaic : {0.0, 1.0}) {
    augment_.mosaic = mosaic;
    EXPECT_EQ(Epoch(*MakeTrainLoader(split_, augment_, options_, -1), 0)[0].count, 4);
  }
}

TEST_F(Loaders, ClosedMosaicLeavesOneImageWithItsBox) {
  Fill(4);
  AugmentInEveryWay();
  augment_ = {.hsv_h = 0,
              .hsv_s = 0,
              .hsv_v = 0,
              .translate = 0,
              .scale = 0,
              .fliplr = 0,
              .mixup = 1.0,
              .cutmix = 1.0,
              .copy_paste = 1.0};
  auto loader = MakeTrainLoader(split_, augment_, options_, /*close_mosaic_from=*/2);
  const auto closed = Epoch(*loader, 2);
  ASSERT_EQ(closed.size(), 1u);
  ASSERT_EQ(closed[0].labels.size(), 4u);
  for (size_t i = 0; i < 4; ++i) {
    const BatchLabel& label = closed[0].labels[i];
    const Sample& sample = split_.samples[static_cast<size_t>(closed[0].images[i].sample)];
    EXPECT_EQ(label.image, static_cast<int64_t>(i));
    EXPECT_EQ(label.class_id, closed[0].images[i].sample);
    const double longest = std::max(sample.width, sample.height);
    EXPECT_NEAR(label.x, 0.5, 0.01);
    EXPECT_NEAR(label.w, 0.5 * sample.width / longest, 0.02);
    EXPECT_NEAR(label.h, 0.5 * sample.height / longest, 0.02);
  }
  // With the mosaic open and mixup certain, most images carry boxes of several classes.
  EXPECT_GT(Epoch(*loader, 1)[0].labels.size(), 4u);
  loader->CloseMosaicFrom(1);
  EXPECT_EQ(Epoch(*loader, 1)[0].labels.size(), 4u);
  loader->CloseMosaicFrom(-1);
  EXPECT_GT(Epoch(*loader, 2)[0].labels.size(), 4u);
}

}  // namespace
}  // namespace yoke::engine
