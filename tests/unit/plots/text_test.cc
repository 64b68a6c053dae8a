// Text: what is no UTF-8, what the face lacks, and how wide things are.
#include "gtest/gtest.h"
#include "opencv2/core.hpp"
#include "server/engine/plots/canvas.h"
#include "server/engine/plots/class_name.h"
#include "server/engine/plots/font.h"
#include "server/engine/plots/utf8.h"

namespace yoke::engine {
namespace {

int InkOf(const cv::Mat& coverage) { return cv::countNonZero(coverage > 127); }

TEST(Utf8, KeepsWhatIsValid) {
  for (const char* text : {"", "plain", "Łódź", "猫", "🙂", "e\xCC\x81"})
    EXPECT_EQ(ValidUtf8(text), text);
}

TEST(Utf8, ReplacesEachByteThatBeginsNothing) {
  const std::string sign = "\xEF\xBF\xBD";
  EXPECT_EQ(ValidUtf8("a\xFF"
                      "b"),
            "a" + sign + "b");
  EXPECT_EQ(ValidUtf8("\xC3"), sign);                                   // cut off
  EXPECT_EQ(ValidUtf8("\xC0\xAF"), sign + sign);                        // overlong
  EXPECT_EQ(ValidUtf8("\xED\xA0\x80"), sign + sign + sign);             // a surrogate
  EXPECT_EQ(ValidUtf8("\xF4\x90\x80\x80"), sign + sign + sign + sign);  // over U+10FFFF
}

TEST(Font, DrawsWhatItMeasures) {
  const Font font;
  for (const double size : {9.0, 22.0, 40.5}) {
    const cv::Mat line = font.Coverage("person 0.93", size);
    EXPECT_EQ(line.rows, Font::LineHeight(size));
    EXPECT_GE(line.cols, font.Width("person 0.93", size));
    EXPECT_LE(line.cols, font.Width("person 0.93", size) + 2);
    EXPECT_GT(InkOf(line), 0);
  }
  EXPECT_NEAR(font.Width("nn", 30), 2 * font.Width("n", 30), 1);
  EXPECT_NEAR(font.Width("width", 60), 2 * font.Width("width", 30), 1e-6);
}

TEST(Font, StaysWithinItsLine) {
  const Font font;
  const cv::Mat line = font.Coverage("ÉŘqgj|()", 30);
  EXPECT_EQ(cv::countNonZero(line.row(0)), 0);
  EXPECT_EQ(cv::countNonZero(line.row(line.rows - 1)), 0);
}

TEST(Font, ShowsLatinGreekAndCyrillic) {
  const Font font;
  for (const char* text : {"Straße", "Łódź", "Кошка", "γάτα", "naïve", "±×→≤€"}) {
    EXPECT_TRUE(font.Shows(text)) << text;
  }
  for (const char* text : {"猫", "🙂", "\xFF"}) EXPECT_FALSE(font.Shows(text)) << text;
}

TEST(Font, PutsABoxForASignItLacks) {
  const Font font;
  const cv::Mat box = font.Coverage("猫", 40);
  EXPECT_GT(InkOf(box), 0);
  // Hollow: nothing in its middle.
  EXPECT_EQ(box.at<uint8_t>(box.rows / 2, box.cols / 2), 0);
}

TEST(Font, GivesInvisibleMarksNoRoom) {
  const Font font;
  EXPECT_EQ(font.Width("a\u200Bb\uFE0F", 30), font.Width("ab", 30));
  EXPECT_EQ(font.Width("a\nb", 30), font.Width("a b", 30));
}

TEST(Font, PutsACombiningAccentOverItsLetter) {
  const Font font;
  EXPECT_EQ(font.Width("e\u0301t", 40), font.Width("et", 40));
  // Nearly the picture of the composed letter.
  const cv::Mat two = font.Coverage("e\u0301", 40), one = font.Coverage("é", 40);
  const int width = std::min(one.cols, two.cols);
  cv::Mat difference;
  cv::absdiff(two.colRange(0, width), one.colRange(0, width), difference);
  EXPECT_LT(InkOf(difference), InkOf(one) / 5);
}

TEST(Font, CutsATextThatIsTooWide) {
  const Font font;
  EXPECT_EQ(font.Elided("short", 20, 500), "short");
  const std::string cut = font.Elided("a long name of a class", 20, 100);
  EXPECT_LE(font.Width(cut, 20), 100);
  EXPECT_GT(font.Width(cut, 20), 70);
  EXPECT_TRUE(cut.ends_with("…"));
  EXPECT_EQ(font.Elided("猫猫猫猫猫", 20, 40).substr(0, 3), "猫");  // between signs, not within one
  EXPECT_EQ(font.Elided("anything", 20, 0), "…");
}

TEST(Canvas, TurnsUprightTextToReadFromBelow) {
  Canvas canvas(60, 200);
  const cv::Rect box = canvas.Text("Predicted", {10, 100}, {.size = 30, .v = 0.5, .upright = true});
  EXPECT_EQ(box.width, Font::LineHeight(30));
  EXPECT_GT(box.height, box.width);
  EXPECT_EQ(box.x, 10);
  EXPECT_NEAR(box.y + box.height / 2.0, 100, 1);
}

TEST(Canvas, CutsWhatIsOutsideInsteadOfFailing) {
  Canvas canvas(20, 20);
  canvas.Text("far too long for this", {-30, -5}, {.size = 30});
  canvas.Fill({-5, -5, 100, 100}, kBlue);
  canvas.Line({{-1e9, 3}, {1e9, 17}}, kOrange, 3, {0, 0, 20, 20});
  canvas.Dot({-50, 300}, 5, kInk);
  EXPECT_EQ(canvas.Finish().bgr.size(), cv::Size(20, 20));
}

TEST(ClassName, TellsTheNumberOfWhatCannotBeRead) {
  const Font font;
  EXPECT_EQ(ShownName(font, "person", 3), "person");
  EXPECT_EQ(ShownName(font, "猫", 3), "猫 #3");
  EXPECT_EQ(ShownName(font, "", 3), "class 3");
  EXPECT_EQ(ShownName(font, std::vector<std::string>{"a"}, 7), "class 7");
}

}  // namespace
}  // namespace yoke::engine
