#include "common/formats/printable.h"

#include "gtest/gtest.h"

namespace yoke::formats {
namespace {

TEST(Printable, KeepsTextAndMendsTheRest) {
  EXPECT_EQ(Printable("caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\x88"),
            "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\x88");
  EXPECT_EQ(Printable("a\tb\nc\x7f"), "a b c ");
  EXPECT_EQ(Printable(std::string_view("a\0b", 3)), "a b");
  EXPECT_EQ(Printable("\xff\xc3"), "??");            // no character; the half of one
  EXPECT_EQ(Printable("\xc0\xaf"), "??");            // longer than needed
  EXPECT_EQ(Printable("\xed\xa0\x80"), "???");       // a surrogate
  EXPECT_EQ(Printable("\xf4\x90\x80\x80"), "????");  // beyond the last character
}

TEST(Printable, IsCutBetweenCharacters) {
  EXPECT_EQ(Printable("abc", 2), "ab");
  EXPECT_EQ(Printable("a\xc3\xa9", 2), "a");
  EXPECT_EQ(Printable("", 0), "");
}

}  // namespace
}  // namespace yoke::formats
