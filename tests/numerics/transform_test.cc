// Single transforms against the reference's own, chance taken out. make_transform_goldens.py
// recorded the other side.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "opencv2/core.hpp"
#include "server/engine/data/augment/affine.h"
#include "server/engine/data/augment/colour.h"
#include "server/engine/data/augment/mix.h"
#include "server/engine/data/augment/scene.h"
#include "tests/numerics/drawn_set.h"

namespace yoke::engine {
namespace {

using nlohmann::json;

constexpr int kImgsz = 64;
// Positions in px: the reference computes them in single precision, in another order.
constexpr double kPlace = 2e-4;

class Transforms : public ::testing::TestWithParam<bool> {
 protected:
  Transforms() {
    const char* root = std::getenv("YOKE_SOURCE_DIR");
    std::ifstream file(std::string(root == nullptr ? "." : root) +
                       "/tests/numerics/golden/transforms_" + (modern() ? "modern" : "classic") +
                       ".json");
    EXPECT_TRUE(file.good());
    golden_ = json::parse(file);
  }
  static bool modern() { return GetParam(); }
  static OutlineRule rule() {
    return modern() ? OutlineRule::kCutAtEdge : OutlineRule::kPointsInside;
  }

  // Labels as a label file gives them: of outlines, or of boxes.
  static Sample SampleOf(const json& outlines, const json& boxes) {
    Sample sample;
    for (const json& flat : outlines) {
      const auto xy = flat.get<std::vector<float>>();
      float x1 = 1, y1 = 1, x2 = 0, y2 = 0;
      for (size_t i = 0; i < xy.size(); i += 2) {
        x1 = std::min(x1, xy[i]), x2 = std::max(x2, xy[i]);
        y1 = std::min(y1, xy[i + 1]), y2 = std::max(y2, xy[i + 1]);
      }
      const auto id = static_cast<int>(sample.labels.size());
      sample.labels.push_back({id, (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1});
      sample.polygon_xy.insert(sample.polygon_xy.end(), xy.begin(), xy.end());
      sample.polygon_ends.push_back(static_cast<uint32_t>(sample.polygon_xy.size() / 2));
    }
    for (const json& box : boxes) {
      sample.labels.push_back(
          {static_cast<int>(sample.labels.size()), box[0], box[1], box[2], box[3]});
    }
    return sample;
  }
  static LabelledImage Labelled(const Sample& sample, const cv::Mat& pixels) {
    LabelledImage image{.pixels = pixels};
    AppendLabels(sample, pixels.size(), 0, 0, image);
    return image;
  }
  static void ExpectBoxes(const std::vector<PixelBox>& ours, const json& theirs,
                          const std::string& what) {
    ASSERT_EQ(ours.size(), theirs.size()) << what;
    for (size_t i = 0; i < ours.size(); ++i) {
      const PixelBox& box = ours[i];
      EXPECT_EQ(box.class_id, theirs[i][0].get<int>()) << what;
      const float sides[] = {box.x1, box.y1, box.x2, box.y2};
      for (size_t k = 0; k < 4; ++k)
        EXPECT_NEAR(sides[k], theirs[i][k + 1].get<double>(), kPlace) << what << " " << i;
    }
  }
  static cv::Mat Drawn(uint32_t seed, int width, int height) {
    cv::Mat image(height, width, CV_8UC3);
    const std::vector<uint8_t> values = DrawnBytes(seed, static_cast<size_t>(3 * width * height));
    std::copy(values.begin(), values.end(), image.data);
    return image;
  }
  static json ChangedRows(const cv::Mat& before, const cv::Mat& after) {
    json rows = json::array();
    for (int y = 0; y < before.rows; ++y) {
      std::string row;
      for (int x = 0; x < before.cols; ++x)
        row += before.at<cv::Vec3b>(y, x) == after.at<cv::Vec3b>(y, x) ? '.' : '#';
      rows.push_back(row);
    }
    return rows;
  }

  json golden_;
};

TEST_P(Transforms, SpacesPointsAlongOutlines) {
  for (const json& theirs : golden_["resample"]) {
    const int corners = theirs["corners"];
    const auto xy = theirs["outline"].get<std::vector<float>>();
    std::vector<cv::Point2f> points;
    PlacePoints({.xy_norm = xy, .width = 1, .height = 1}, rule(), points);
    float hull[] = {1, 1, 0, 0};
    for (const cv::Point2f& p : points) {
      hull[0] = std::min(hull[0], p.x), hull[1] = std::min(hull[1], p.y);
      hull[2] = std::max(hull[2], p.x), hull[3] = std::max(hull[3], p.y);
    }
    for (size_t i = 0; i < 4; ++i)
      EXPECT_NEAR(hull[i], theirs["hull"][i].get<double>(), 1e-6) << corners;
    if (modern())
      continue;  // corners among them, the rest spaced a little otherwise: the hull is what matters
    ASSERT_EQ(points.size(), theirs["count"].get<size_t>());
    for (size_t i = 0; i < theirs["at"].size(); ++i) {
      const cv::Point2f& p = points[theirs["at"][i].get<size_t>()];
      EXPECT_NEAR(p.x, theirs["points"][i][0].get<double>(), 1e-6) << corners << " " << i;
      EXPECT_NEAR(p.y, theirs["points"][i][1].get<double>(), 1e-6) << corners << " " << i;
    }
  }
}

TEST_P(Transforms, WarpsBoxesAndOutlines) {
  for (const json& theirs : golden_["affine"]) {
    const Sample sample = SampleOf(theirs["outlines"], theirs["boxes"]);
    const LabelledImage in = Labelled(sample, cv::Mat(kImgsz, kImgsz + 16, CV_8UC3));
    Affine affine{.scale = theirs["scale"], .perspective = theirs["perspective"] != 0.0};
    for (int i = 0; i < 9; ++i)
      affine.matrix(i / 3, i % 3) = theirs["matrix"][static_cast<size_t>(i)];
    LabelledImage out;
    WarpLabels(in, affine, rule(), {kImgsz, kImgsz}, out);
    ExpectBoxes(out.boxes, theirs["after"], theirs["matrix"].dump());
  }
}

TEST_P(Transforms, LaysOutMosaics) {
  for (const json& theirs : golden_["mosaic"]) {
    std::vector<cv::Size> sizes;
    for (const json& size : theirs["sizes"]) sizes.emplace_back(size[0], size[1]);
    const auto places = sizes.size() == 9
                            ? LayOutNine(sizes, kImgsz)
                            : LayOutFour(sizes, {theirs["centre"][1], theirs["centre"][0]});
    Scene scene{.size = {2 * kImgsz, 2 * kImgsz}};
    const Sample sample = SampleOf(json::array(), json{{0.5, 0.5, 1.0, 1.0}, {0.3, 0.6, 0.2, 0.3}});
    for (size_t i = 0; i < sizes.size(); ++i) {
      scene.images.push_back(
          {.place = places[i],
           .bgr = cv::Mat(sizes[i], CV_8UC3, cv::Scalar::all(static_cast<double>(i + 1)))});
      const cv::Point at = places[i].tl();
      AppendLabels(sample, sizes[i], static_cast<float>(at.x), static_cast<float>(at.y),
                   scene.labels);
      for (size_t k = 0; k < 2; ++k)
        scene.labels.boxes[2 * i + k].class_id = static_cast<int>(2 * i + k);
    }
    CutToCanvas(scene);
    ExpectBoxes(scene.labels.boxes, theirs["after"], theirs["sizes"].dump());
    cv::Mat canvas;
    Draw(scene, {{0, 0}, scene.size}, canvas);
    for (int y = 0; y < canvas.rows; y += 4) {
      const std::string row = theirs["cover"][static_cast<size_t>(y / 4)];
      for (int x = 0; x < canvas.cols; x += 4) {
        const int value = std::stoi(row.substr(static_cast<size_t>(x / 2), 2), nullptr, 16);
        EXPECT_EQ(canvas.at<cv::Vec3b>(y, x)[0], value) << theirs["sizes"] << " " << x << "," << y;
      }
    }
  }
}

TEST_P(Transforms, PastesMirroredObjects) {
  for (const json& theirs : golden_["paste"]) {
    const cv::Mat before = Drawn(theirs["seed"], 56, 48);
    const Sample sample = SampleOf(theirs["outlines"], json::array());
    LabelledImage image = Labelled(sample, before.clone());
    Random random(1, 2, 3);
    PasteMirrored(theirs["share"], rule(), random, image);
    json boxes = theirs["after"];
    if (!modern()) {  // in random order
      std::sort(image.boxes.begin() + 5, image.boxes.end(),
                [](const auto& a, const auto& b) { return a.class_id < b.class_id; });
      std::sort(boxes.begin() + 5, boxes.end());
    }
    ExpectBoxes(image.boxes, boxes, theirs["seed"].dump());
    EXPECT_EQ(ChangedRows(before, image.pixels), theirs["changed"]) << theirs["seed"];
    const cv::Scalar sum = cv::sum(image.pixels);
    EXPECT_EQ(sum[0] + sum[1] + sum[2], theirs["pixels"].get<double>()) << theirs["seed"];
  }
}

TEST_P(Transforms, PastesObjectsOfAnotherImage) {
  if (!modern()) GTEST_SKIP() << "the earlier version does not know it";
  for (const json& theirs : golden_["paste_from"]) {
    const cv::Mat before = Drawn(theirs["seeds"][0], 56, 48);
    const Sample first = SampleOf(theirs["outlines"][0], json::array()),
                 second = SampleOf(theirs["outlines"][1], json::array());
    LabelledImage image = Labelled(first, before.clone());
    LabelledImage other = Labelled(second, Drawn(theirs["seeds"][1], 56, 48));
    for (PixelBox& box : other.boxes) box.class_id += 10;
    PasteObjects(other, theirs["share"], rule(), image);
    ExpectBoxes(image.boxes, theirs["after"], theirs["seeds"].dump());
    EXPECT_EQ(ChangedRows(before, image.pixels), theirs["changed"]) << theirs["seeds"];
  }
}

TEST_P(Transforms, CutsFreeAreas) {
  if (!modern()) GTEST_SKIP() << "the earlier version does not know it";
  for (const json& theirs : golden_["cutmix"]) {
    const cv::Mat before = Drawn(theirs["seeds"][0], 56, 48);
    const Sample first = SampleOf(json::array(), theirs["boxes"][0]),
                 second = SampleOf(json::array(), theirs["boxes"][1]);
    LabelledImage image = Labelled(first, before.clone());
    LabelledImage other = Labelled(second, Drawn(theirs["seeds"][1], 56, 48));
    for (PixelBox& box : other.boxes) box.class_id += 10;
    CutAreas areas;
    for (size_t i = 0; i < areas.size(); ++i) {
      const json& area = theirs["areas"][i];
      areas[i] = cv::Rect(cv::Point(area[0], area[1]), cv::Point(area[2], area[3]));
    }
    const std::vector<size_t> free = FreeAreas(areas, image.boxes);
    if (!free.empty()) PasteArea(areas[free[0]], other, 0.1, image);
    ExpectBoxes(image.boxes, theirs["after"], theirs["seeds"].dump());
    std::vector<int> bounds;  // top, left, bottom, right of the px that changed
    for (int y = 0; y < before.rows; ++y) {
      for (int x = 0; x < before.cols; ++x) {
        if (before.at<cv::Vec3b>(y, x) == image.pixels.at<cv::Vec3b>(y, x)) continue;
        if (bounds.empty()) bounds = {y, x, y, x};
        bounds = {bounds[0], std::min(bounds[1], x), y, std::max(bounds[3], x)};
      }
    }
    EXPECT_EQ(json(bounds), theirs["changed"]) << theirs["seeds"];
  }
}

TEST_P(Transforms, GainsOnHueSaturationAndValue) {
  for (const json& theirs : golden_["hsv"]) {
    const cv::Mat bgr = Drawn(theirs["seed"], 32, 8);
    cv::Mat bgrx(bgr.size(), CV_8UC4);
    for (int y = 0; y < bgr.rows; ++y) {
      for (int x = 0; x < bgr.cols; ++x) {
        const auto& p = bgr.at<cv::Vec3b>(y, x);
        bgrx.at<cv::Vec4b>(y, x) = {p[0], p[1], p[2], 0};
      }
    }
    const double hue = theirs["draws"][0].get<double>() * theirs["gains"][0].get<double>();
    HsvGains gains{
        .saturation = 1 + theirs["draws"][1].get<double>() * theirs["gains"][1].get<double>(),
        .value = 1 + theirs["draws"][2].get<double>() * theirs["gains"][2].get<double>()};
    (modern() ? gains.hue_shift : gains.hue) = modern() ? hue * 180 : 1 + hue;
    std::vector<uint8_t> planes(3 * bgr.total());
    FinishPixels(bgrx, {.hsv = gains, .bgr = true}, planes.data());
    int differing = 0;
    for (size_t i = 0; i < bgr.total(); ++i) {
      for (size_t c = 0; c < 3; ++c) {
        const int difference = planes[c * bgr.total() + i] - theirs["after"][3 * i + c].get<int>();
        EXPECT_LE(std::abs(difference),
                  1);  // machines without fused multiplication round the last bit otherwise
        differing += difference != 0;
      }
    }
    EXPECT_LE(differing, 1);
  }
}

TEST_P(Transforms, MixesPixels) {
  for (const json& theirs : golden_["mixup"]) {
    LabelledImage first{.pixels = Drawn(1600, 16, 8)}, second{.pixels = Drawn(1601, 16, 8)};
    first.pixels.rowRange(0, 4).copyTo(second.pixels.rowRange(0, 4));
    MixUp(first, second, theirs["ratio"]);
    for (size_t i = 0; i < 3 * first.pixels.total(); ++i) {
      EXPECT_EQ(first.pixels.data[i], theirs["after"][i].get<int>()) << theirs["ratio"] << " " << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Eras, Transforms, ::testing::Bool(),
                         [](const auto& info) { return info.param ? "Modern" : "Classic"; });

}  // namespace
}  // namespace yoke::engine
