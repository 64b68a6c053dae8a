#include "server/engine/plots/batch_mosaic.h"

#include <cmath>

#include "gtest/gtest.h"
#include "tests/unit/plots/layout_checks.h"

namespace yoke::engine {
namespace {

// Image i is of one colour: red 10 i, green 100, blue 200.
Batch BatchOf(int count, int width, int height) {
  Batch batch;
  batch.count = count;
  batch.width = width;
  batch.height = height;
  batch.images.resize(count);
  for (int i = 0; i < count; ++i) {
    for (const int value : {10 * i, 100, 200}) {
      batch.pixels.insert(batch.pixels.end(), static_cast<size_t>(width) * height,
                          static_cast<uint8_t>(value));
    }
  }
  return batch;
}

TEST(BatchMosaic, ShowsImagesRowByRowInTheirColours) {
  const Figure figure = DrawMosaic(BatchOf(5, 64, 48), {}, {});
  ASSERT_EQ(figure.layout.panels.size(), 5u);
  EXPECT_EQ(figure.layout.panels[1].y, figure.layout.panels[0].y);
  EXPECT_GT(figure.layout.panels[1].x, figure.layout.panels[0].x);
  EXPECT_GT(figure.layout.panels[3].y, figure.layout.panels[2].y);  // three a row
  for (int i = 0; i < 5; ++i) {
    const cv::Rect panel = figure.layout.panels[i];
    const cv::Vec3b pixel =
        figure.bgr.at<cv::Vec3b>(panel.y + panel.height / 2, panel.x + panel.width / 2);
    EXPECT_EQ(pixel, cv::Vec3b(200, 100, static_cast<uint8_t>(10 * i)));
  }
}

TEST(BatchMosaic, PutsABoxWhereTheLabelIs) {
  Batch batch = BatchOf(1, 640, 640);
  batch.labels = {{0, 3, 0.5f, 0.25f, 0.5f, 0.125f}};  // 160 .. 480, 120 .. 200 px
  const Figure figure = DrawMosaic(batch, LabelBoxes(batch), {});
  const cv::Rect panel = figure.layout.panels.at(0);
  const Colour colour = ClassColour(3);
  const cv::Vec3b ink(colour.blue, colour.green, colour.red);
  for (const cv::Point at : {cv::Point(160, 160), cv::Point(479, 160), cv::Point(300, 199)}) {
    EXPECT_EQ(figure.bgr.at<cv::Vec3b>(panel.y + at.y, panel.x + at.x), ink) << at.x << "," << at.y;
  }
  EXPECT_NE(figure.bgr.at<cv::Vec3b>(panel.y + 160, panel.x + 300), ink);
  EXPECT_TRUE(HasText(figure, "class 3"));
}

TEST(BatchMosaic, NamesFilesClassesAndConfidences) {
  const Batch batch = BatchOf(2, 640, 640);
  const std::vector<std::vector<Detection>> boxes = {{{100, 200, 300, 400, 0.876f, 1}}, {}};
  const Figure figure = DrawMosaic(batch, boxes, {{"cat", "dog"}, {"one.jpg", "two.jpg"}, true});
  ExpectTidy(figure);
  for (const char* text : {"one.jpg", "two.jpg", "dog 0.88"})
    EXPECT_TRUE(HasText(figure, text)) << text;
}

TEST(BatchMosaic, KeepsNamesOfCrowdedBoxesApart) {
  const Batch batch = BatchOf(16, 640, 640);
  std::vector<std::vector<Detection>> boxes(16);
  for (std::vector<Detection>& image : boxes) {
    for (int i = 0; i < 60; ++i) {
      const float x = static_cast<float>(i % 8) * 12 - 20, y = static_cast<float>(i / 8) * 15 - 10;
      image.push_back({x, y, x + 40, y + 30, 0.3f + 0.01f * static_cast<float>(i), i % 3});
    }
  }
  const Figure figure = DrawMosaic(batch, boxes, {{"person", "car", "bus"}, {}, true});
  ExpectTidy(figure);
  EXPECT_TRUE(HasText(figure, "bus 0.89"));  // the most confident of all
  // Each name lies within its image.
  for (const PlacedText& text : figure.layout.texts) {
    const std::vector<cv::Rect>& panels = figure.layout.panels;
    EXPECT_TRUE(std::any_of(panels.begin(), panels.end(), [&](const cv::Rect& panel) {
      return (panel & text.box) == text.box;
    })) << Where(text);
  }
}

TEST(BatchMosaic, TakesAnyShape) {
  struct Shape {
    int count, width, height;
  };
  for (const Shape& shape : {Shape{1, 1, 1},
                             {3, 32, 32},
                             {16, 64, 640},
                             {5, 672, 32},
                             {40, 160, 160},
                             {2, 2048, 2048}}) {
    SCOPED_TRACE(testing::Message() << shape.count << " of " << shape.width << "x" << shape.height);
    Batch batch = BatchOf(shape.count, shape.width, shape.height);
    for (int i = 0; i < shape.count; ++i) batch.labels.push_back({i, i, 0.5f, 0.5f, 0.4f, 0.4f});
    const std::vector<std::string> files(shape.count, std::string(200, 'f') + ".jpg");
    const Figure figure = DrawMosaic(batch, LabelBoxes(batch), {OddNames(), files, false});
    ExpectTidy(figure);
    EXPECT_LE(figure.layout.panels.size(), 16u);
    EXPECT_LE(figure.bgr.cols, 1920);
    EXPECT_LE(figure.bgr.rows, 1920);
  }
}

TEST(BatchMosaic, TakesBrokenInput) {
  Batch batch = BatchOf(2, 64, 64);
  batch.labels = {
      {-1, 0, 0, 0, 0, 0}, {9, 0, 0, 0, 0, 0}, {1, -5, std::nanf(""), 0.5f, 0.5f, 0.5f}};
  const float far = 1e30f;
  std::vector<std::vector<Detection>> boxes = LabelBoxes(batch);
  boxes[0] = {{-far, -far, far, far, 0.5f, 0}, {50, 50, 10, 10, std::nanf(""), 1}};
  ExpectTidy(DrawMosaic(batch, boxes, {{"a"}, {"x.jpg", "y.jpg"}, true}));
  batch.pixels.resize(100);  // not what its shape says
  EXPECT_TRUE(HasText(DrawMosaic(batch, boxes, {}), "no images"));
  EXPECT_TRUE(HasText(DrawMosaic(Batch(), {}, {}), "no images"));
}

}  // namespace
}  // namespace yoke::engine
