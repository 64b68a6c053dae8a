#include "common/formats/label_file.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace yoke::formats {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const LabelRules kTwoClasses{.class_count = 2};

std::string ErrorOf(std::string_view text, const LabelRules& rules = kTwoClasses) {
  auto file = ParseLabelFile(text, "a.txt", rules);
  return file.ok() ? "ok" : std::string(file.status().message());
}

TEST(LabelFile, ReadsRowsInOrder) {
  auto file = ParseLabelFile("1 0.5 0.25 0.125 1\n0 0 0 1e-3 0.5\n", "a.txt", kTwoClasses);
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_EQ(file->rows.size(), 2u);
  EXPECT_EQ(file->rows[0], (LabelRow{1, 0.5f, 0.25f, 0.125f, 1.0f}));
  EXPECT_EQ(file->rows[1], (LabelRow{0, 0.0f, 0.0f, 1e-3f, 0.5f}));
}

TEST(LabelFile, ToleratesBomCrlfTabsAndBlankLines) {
  auto file = ParseLabelFile(
      "\xef\xbb\xbf"
      "0\t0.5 0.5  0.1 0.1\r\n\r\n   \r\n1.0 .5 .5 .2 .2",
      "a.txt", kTwoClasses);
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_EQ(file->rows.size(), 2u);
  EXPECT_EQ(file->rows[1].class_id, 1);
}

TEST(LabelFile, EmptyTextIsABackground) {
  auto file = ParseLabelFile("", "a.txt", kTwoClasses);
  ASSERT_TRUE(file.ok());
  EXPECT_TRUE(file->rows.empty());
}

TEST(LabelFile, KeepsPolygonsBesideTheirBoundingBoxes) {
  auto file = ParseLabelFile("0 0.25 0.5 0.75 0.5 0.5 1\n0 0.2 0.2 0.1 0.1\n1 0 0 1 0 1 1 0 1\n",
                             "a.txt", kTwoClasses);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->rows[0], (LabelRow{0, 0.5f, 0.75f, 0.5f, 0.5f}));
  EXPECT_EQ(file->rows[1], (LabelRow{0, 0.2f, 0.2f, 0.1f, 0.1f}));
  EXPECT_EQ(file->rows[2], (LabelRow{1, 0.5f, 0.5f, 1.0f, 1.0f}));
  EXPECT_EQ(file->polygons, 2);
  EXPECT_THAT(file->polygon_xy,
              ElementsAre(0.25f, 0.5f, 0.75f, 0.5f, 0.5f, 1.0f, 0, 0, 1, 0, 1, 1, 0, 1));
  EXPECT_THAT(file->polygon_ends, ElementsAre(3, 3, 7));
}

TEST(LabelFile, PolygonsOfOneBoundingBoxAreDifferentObjects) {
  auto file =
      ParseLabelFile("0 0 0 1 0 1 1\n0 0 0 1 1 0 1\n0 .5 .5 1 1\n0 0 0 1 0 1 1\n0 0.5 0.5 1 1\n",
                     "a.txt", kTwoClasses);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->rows.size(), 3u);
  EXPECT_EQ(file->duplicates, 2);
  EXPECT_THAT(file->polygon_ends, ElementsAre(3, 6, 6));
}

TEST(LabelFile, RefusesTooManyCorners) {
  const std::string text = "0 0 0 1 0 1 1\n0 0 0 1 1 0 1\n1 0 0 1 1 0 1\n";
  EXPECT_EQ(ErrorOf(text, {.class_count = 2, .points_max = 9}), "ok");
  EXPECT_THAT(ErrorOf(text, {.class_count = 2, .points_max = 8}),
              HasSubstr("a.txt:3: more than 8 polygon corners"));
}

TEST(LabelFile, DropsRepeatedRowsAndCountsThem) {
  auto file =
      ParseLabelFile("0 .5 .5 .1 .1\n1 .5 .5 .1 .1\n0 0.5 0.5 0.1 0.1\n", "a.txt", kTwoClasses);
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(file->rows.size(), 2u);
  EXPECT_EQ(file->duplicates, 1);
}

TEST(LabelFile, NamesFileLineAndReason) {
  EXPECT_THAT(ErrorOf("0 .5 .5 .1 .1\n\n2 .5 .5 .1 .1\n"),
              HasSubstr("a.txt:3: class id 2 but the data set has 2 classes"));
  EXPECT_THAT(ErrorOf("0 nan .5 .1 .1"), HasSubstr("a.txt:1: 'nan' is not a finite number"));
  EXPECT_THAT(ErrorOf("0 .5 inf .1 .1"), HasSubstr("not a finite number"));
  EXPECT_THAT(ErrorOf("0 1e308 .5 .1 .1"), HasSubstr("above 1"));
  EXPECT_THAT(ErrorOf("0 .5 .5 .1 .1 .9"), HasSubstr("a.txt:1: 6 columns, 5 expected"));
  EXPECT_THAT(ErrorOf("0 .5 .5 .1"), HasSubstr("4 columns, 5 expected"));
  EXPECT_THAT(ErrorOf("0 .5 .5 .1 .1 .1 .1 .1"), HasSubstr("8 columns"));
  EXPECT_THAT(ErrorOf("0 -0.1 .5 .1 .1"), HasSubstr("'-0.1' is negative"));
  EXPECT_THAT(ErrorOf("0 .5 .5 1.5 .1"), HasSubstr("'1.5' is above 1"));
  EXPECT_THAT(ErrorOf("-1 .5 .5 .1 .1"), HasSubstr("class id '-1' is negative"));
  EXPECT_THAT(ErrorOf("0.5 .5 .5 .1 .1"), HasSubstr("no whole number"));
  EXPECT_THAT(ErrorOf("2147483648 .5 .5 .1 .1"), HasSubstr("too large"));
  EXPECT_THAT(ErrorOf("cat .5 .5 .1 .1"), HasSubstr("class id 'cat'"));
  EXPECT_THAT(ErrorOf("0 .5 .5 .1 \x01\xff"), HasSubstr("'\?\?' is no number"));
}

TEST(LabelFile, SingleClassTakesAnyId) {
  auto file = ParseLabelFile("7 .5 .5 .1 .1", "a.txt", {.class_count = 1, .single_cls = true});
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->rows[0].class_id, 0);
}

TEST(LabelFile, RefusesTooManyRows) {
  std::string text;
  for (int i = 0; i < 12; ++i) text += "0 0." + std::to_string(100 + i) + " .5 .1 .1\n";
  EXPECT_THAT(ErrorOf(text, {.class_count = 2, .rows_max = 10}),
              HasSubstr("a.txt:11: more than 10 objects"));
}

}  // namespace
}  // namespace yoke::formats
