#include "server/engine/eval/predictions.h"

#include <fstream>
#include <iterator>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/support/temp_folder.h"

namespace yoke::engine {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

class Predictions : public ::testing::Test {
 protected:
  void AddImage(const std::string& name, std::vector<Detection> detections) {
    Sample sample;
    sample.image_path = "/photos/" + name;
    sample.width = 200;
    sample.height = 100;
    images_.push_back({static_cast<int64_t>(split_.samples.size()), std::move(detections)});
    split_.samples.push_back(sample);
  }
  json Write() {
    const std::string path = folder_.path() + "/predictions.json";
    warning_.clear();
    const absl::Status status = WritePredictions(path, split_, images_, {1, 2, 13}, &warning_);
    EXPECT_TRUE(status.ok()) << status;
    std::ifstream file(path);
    return json::parse(std::string(std::istreambuf_iterator<char>(file), {}));
  }

  yoke::TempFolder folder_;
  Split split_;
  std::vector<ImageDetections> images_;
  std::string warning_;
};

TEST_F(Predictions, HaveTheReferencesFields) {
  AddImage("000000000042.jpg", {{1.23456f, 2, 11.5f, 30.25f, 0.1234567f, 2}});
  const json rows = Write();
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_EQ(rows[0], (json{{"image_id", 42},
                           {"file_name", "000000000042.jpg"},
                           {"category_id", 13},
                           {"bbox", {1.235, 2, 10.265, 28.25}},
                           {"score", 0.12346}}));
}

TEST_F(Predictions, NameImagesByNumberWhereTheirStemIsOne) {
  EXPECT_EQ(ImageIdJson("/a/0000.png"), "0");
  EXPECT_EQ(ImageIdJson("/a/0190.jpg"), "190");
  EXPECT_EQ(ImageIdJson("/a/12345678901234567890123.jpg"), "12345678901234567890123");
  EXPECT_EQ(ImageIdJson("/a/-1.jpg"), "\"-1\"");
  EXPECT_EQ(ImageIdJson("/a/1.5.jpg"), "\"1.5\"");
  EXPECT_EQ(ImageIdJson("/a/say \"x\".jpg"), "\"say \\\"x\\\"\"");
  EXPECT_NO_THROW(json::parse(ImageIdJson("/a/\xff\n.jpg")));
}

TEST_F(Predictions, ComeByImageIdAndSoDoTheImagesOfTheProtocol) {
  for (const char* name : {"b.jpg", "10.jpg", "2.jpg", "a.jpg", "3.jpg"})
    AddImage(name, {{0, 0, static_cast<float>(split_.samples.size() + 1), 1, 0.5f, 0}});
  images_.erase(images_.begin() + 4);  // a rank may have found nothing to say about 3.jpg
  const json rows = Write();
  ASSERT_EQ(rows.size(), 4u);
  const std::vector<json> ids = {2, 10, "a", "b"};
  const std::vector<double> widths = {3, 2, 4, 1};
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(rows[i]["image_id"], ids[i]);
    EXPECT_EQ(rows[i]["bbox"][2], widths[i]);
  }
  const std::vector<CocoImage> images = CocoImages(split_, images_);
  ASSERT_EQ(images.size(), 5u);
  EXPECT_EQ(images[0].detections[0].box.w, 3);
  EXPECT_TRUE(images[1].detections.empty());
  EXPECT_EQ(images[4].detections[0].box.w, 1);
}

TEST_F(Predictions, AreMeasuredAsTheyAreWritten) {
  AddImage("1.jpg", {{1.00049f, 0, 2.0012f, 1, 0.123455f, 0}});
  split_.samples[0].labels = {{1, 0.5f, 0.5f, 0.25f, 0.5f}};
  const std::vector<CocoImage> images = CocoImages(split_, images_);
  const json rows = Write();
  const CocoDetection& detection = images[0].detections[0];
  EXPECT_EQ(rows[0]["bbox"][0].get<double>(), detection.box.x);
  EXPECT_EQ(rows[0]["bbox"][2].get<double>(), detection.box.w);
  EXPECT_EQ(rows[0]["score"].get<double>(), detection.score);
  ASSERT_EQ(images[0].truths.size(), 1u);
  EXPECT_EQ(images[0].truths[0].x, 75);
  EXPECT_EQ(images[0].truths[0].y, 25);
  EXPECT_EQ(images[0].truths[0].w, 50);
  EXPECT_EQ(images[0].truths[0].class_id, 1);
}

TEST_F(Predictions, MayBeNone) {
  EXPECT_EQ(Write(), json::array());
  AddImage("1.jpg", {});
  EXPECT_EQ(Write(), json::array());
}

TEST_F(Predictions, SayWhichImagesTheyCannotTellApart) {
  AddImage("1.jpg", {});
  AddImage("2.jpg", {});
  Write();
  EXPECT_EQ(warning_, "");
  AddImage("sub/001.png", {});
  Write();
  EXPECT_THAT(warning_, HasSubstr("several images are called 1"));
}

TEST_F(Predictions, SayWhereTheyCannotBeWritten) {
  EXPECT_EQ(
      WritePredictions(folder_.path() + "/no/such.json", split_, images_, {}, &warning_).code(),
      absl::StatusCode::kNotFound);
}

TEST_F(Predictions, SurviveTheWayToAnotherRank) {
  AddImage("1.jpg", {{1, 2, 3, 4, 0.5f, 6}, {2, 3, 4, 5, 0.25f, 7}});
  AddImage("2.jpg", {});
  const std::string bytes = EncodeDetections(images_);
  std::vector<ImageDetections> got;
  ASSERT_TRUE(DecodeDetections(bytes, got).ok());
  ASSERT_EQ(got.size(), 2u);
  EXPECT_EQ(got[1].sample, 1);
  EXPECT_EQ(EncodeDetections(got), bytes);
  for (const size_t size : {size_t{1}, size_t{20}, bytes.size() - 1}) {
    EXPECT_EQ(DecodeDetections(bytes.substr(0, size), got).code(), absl::StatusCode::kInternal);
  }
}

}  // namespace
}  // namespace yoke::engine
