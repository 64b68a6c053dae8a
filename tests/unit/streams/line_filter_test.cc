// Lines as a terminal would leave them, their levels, and the choice among them.
#include "server/streams/line_filter.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace yoke::streams {
namespace {

using ::testing::HasSubstr;

std::string Lines(std::string_view bytes, bool whole, size_t* taken,
                  const LineChoice& choice = {}) {
  std::string out;
  *taken = LineFilter::Make(choice)->Take(bytes, whole, out);
  return out;
}

TEST(Lines, OnlyWholeOnesAreTaken) {
  size_t taken = 0;
  EXPECT_EQ(Lines("one\ntwo\r\n\nthr", false, &taken), "one\ntwo\n\n");
  EXPECT_EQ(taken, 10u);
  EXPECT_EQ(Lines("thr", true, &taken), "thr\n");
  EXPECT_EQ(taken, 3u);
  EXPECT_EQ(Lines("", true, &taken), "");
}

TEST(Lines, AProgressBarIsItsLastState) {
  size_t taken = 0;
  EXPECT_EQ(Lines("10%\r20%\r100%\nnext\n", false, &taken), "100%\nnext\n");
  EXPECT_EQ(Lines("\r10%\r20%\r\n", false, &taken), "20%\n");
  // What was taken back of a line that goes on is dealt with; the state that may still stand is
  // not.
  EXPECT_EQ(Lines("\r10%\r20%\r30%", false, &taken), "");
  EXPECT_EQ(taken, 9u);
  EXPECT_EQ(Lines("10%\r20%\r", false, &taken), "");
  EXPECT_EQ(taken, 4u);
  EXPECT_EQ(Lines("20%\r", true, &taken), "20%\n");
  EXPECT_EQ(taken, 4u);
}

TEST(Lines, AreCutAnywhereWithTheSameResult) {
  const std::string text = "a\r\rb\nccc\r\n\rd\re\n\nf\r";
  size_t taken = 0;
  const std::string expected = Lines(text, true, &taken);
  EXPECT_EQ(expected, "b\nccc\ne\n\nf\n");
  const LineFilter filter = *LineFilter::Make({});
  for (size_t step = 1; step < text.size(); ++step) {
    std::string out;
    size_t begin = 0;
    for (size_t seen = step; seen < text.size(); seen += step)
      begin += filter.Take(std::string_view(text).substr(begin, seen - begin), false, out);
    filter.Take(std::string_view(text).substr(begin), true, out);
    EXPECT_EQ(out, expected) << step;
  }
}

TEST(Levels, AreWhatALineSaysOfItself) {
  for (const char* line : {"error: no", "yoke-worker: no file", "[2024-05-01 10:00:00] [error] x",
                           "ERROR x", "main.py: Error: x", "CRITICAL", "fatal: y"})
    EXPECT_EQ(LevelOf(line), LogLevel::kError) << line;
  for (const char* line : {"warning: LibTorch: x", "WARNING x", "[W 10:00] WARN y", "[warning] y"})
    EXPECT_EQ(LevelOf(line), LogLevel::kWarning) << line;
  for (const char* line :
       {"", "0 errors", "mean error 0.3", "val/error_rate: 0.2", "terror: x", "no warning here"})
    EXPECT_EQ(LevelOf(line), LogLevel::kInfo) << line;
  EXPECT_EQ(LevelOf(std::string(70, ' ') + "error: far away"), LogLevel::kInfo);
}

TEST(Choice, ByLevelAndPattern) {
  size_t taken = 0;
  const std::string text = "epoch 1\nwarning: hot\nepoch 12\nerror: dead\n";
  EXPECT_EQ(Lines(text, false, &taken, {LogLevel::kWarning, ""}), "warning: hot\nerror: dead\n");
  EXPECT_EQ(taken, text.size());
  EXPECT_EQ(Lines(text, false, &taken, {LogLevel::kInfo, "epoch \\d\\d$"}), "epoch 12\n");
  EXPECT_EQ(Lines(text, false, &taken, {LogLevel::kError, "hot"}), "");
  EXPECT_EQ(taken, text.size());
}

TEST(Choice, ABadPatternIsRefusedWithTheReason) {
  const auto refused = [](const std::string& pattern) {
    return std::string(LineFilter::Make({LogLevel::kInfo, pattern}).status().message());
  };
  EXPECT_THAT(refused("a(b"), ::testing::AllOf(HasSubstr("'a(b'"), HasSubstr("missing )")));
  EXPECT_THAT(refused("(a)\\1"), HasSubstr("RE2"));
  EXPECT_THAT(refused(std::string(1001, 'a')), HasSubstr("1001 bytes"));
  EXPECT_THAT(refused("((a{100}){100}){100}"), HasSubstr("RE2"));
}

}  // namespace
}  // namespace yoke::streams
