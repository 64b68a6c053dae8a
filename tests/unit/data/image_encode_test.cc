#include "server/engine/data/image_encode.h"

#include "gtest/gtest.h"
#include "opencv2/core.hpp"
#include "server/engine/data/image.h"
#include "tests/unit/data/pictures.h"

namespace yoke::engine {
namespace {

cv::Mat Decoded(const std::string& bytes) {
  const absl::StatusOr<cv::Mat> image = DecodeImage(
      absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()));
  return image.ok() ? *image : cv::Mat();
}

TEST(ImageEncode, PngKeepsEveryPixel) {
  for (const cv::Size size : {cv::Size(1, 1), cv::Size(7, 3), cv::Size(640, 480)}) {
    const cv::Mat image = Picture(size.width, size.height);
    const absl::StatusOr<std::string> bytes = EncodePng(image);
    ASSERT_TRUE(bytes.ok()) << bytes.status();
    EXPECT_EQ(bytes->substr(1, 3), "PNG");
    ASSERT_EQ(Decoded(*bytes).size(), size);
    EXPECT_EQ(cv::norm(Decoded(*bytes), image, cv::NORM_INF), 0);
  }
}

TEST(ImageEncode, JpegIsNearAndNearerWithMoreQuality) {
  const cv::Mat image = Picture(320, 240);
  double before = 255;
  for (const int quality : {20, 60, 95}) {
    const absl::StatusOr<std::string> bytes = EncodeJpeg(image, quality);
    ASSERT_TRUE(bytes.ok()) << bytes.status();
    ASSERT_EQ(Decoded(*bytes).size(), image.size());
    const double off = cv::norm(Decoded(*bytes), image, cv::NORM_L1) / (320.0 * 240 * 3);
    EXPECT_LT(off, before);
    before = off;
  }
  EXPECT_LT(before, 1);  // of 255, in the mean, at quality 95
}

TEST(ImageEncode, TakesPartOfAPicture) {
  const cv::Mat part = Picture(100, 80)(cv::Rect(10, 20, 30, 40));
  EXPECT_EQ(cv::norm(Decoded(EncodePng(part).value()), part, cv::NORM_INF), 0);
  EXPECT_EQ(Decoded(EncodeJpeg(part, 90).value()).size(), part.size());
}

TEST(ImageDecode, AJpegDamagedWithinIsReadAndACutOneRefused) {
  const cv::Mat image = Picture(320, 240);
  const std::string bytes = EncodeJpeg(image, 90).value();
  std::string hole = bytes, filled = bytes;
  hole.replace(bytes.size() / 2, bytes.size() / 4, bytes.size() / 4, '\0');
  filled.replace(bytes.size() / 2, bytes.size() / 2 - 2, bytes.size() / 2 - 2, '\xff');
  EXPECT_EQ(Decoded(hole).size(), image.size());
  EXPECT_EQ(Decoded(filled).size(), image.size());
  const std::string cut = bytes.substr(0, bytes.size() / 2);
  const auto refused =
      DecodeImage(absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(cut.data()), cut.size()));
  EXPECT_EQ(refused.status().message(), "truncated JPEG");
}

TEST(ImageEncode, RefusesWhatIsNoPicture) {
  for (const cv::Mat& image : {cv::Mat(), cv::Mat(4, 4, CV_8UC1), cv::Mat(1, 70'000, CV_8UC3)}) {
    EXPECT_TRUE(absl::IsInvalidArgument(EncodePng(image).status()));
    EXPECT_TRUE(absl::IsInvalidArgument(EncodeJpeg(image, 90).status()));
  }
}

}  // namespace
}  // namespace yoke::engine
