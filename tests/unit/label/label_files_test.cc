#include "server/engine/label/label_files.h"

#include <filesystem>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/temp_folder.h"
#include "tests/support/unwritable_folder.h"

namespace yoke::engine {
namespace {

using ::testing::HasSubstr;

TEST(LabelText, IsNormalisedToSixDecimals) {
  int64_t boxes = 0;
  const std::vector<Detection> detections = {{10, 20, 30, 60, 0.87654321f, 7},
                                             {0, 0, 3, 3, 0.25f, 0}};
  EXPECT_EQ(LabelText(detections, {100, 200}, false, &boxes),
            "7 0.200000 0.200000 0.200000 0.200000\n0 0.015000 0.007500 0.030000 0.015000\n");
  EXPECT_EQ(boxes, 2);
  EXPECT_THAT(LabelText(detections, {100, 200}, true, &boxes), HasSubstr("0.200000 0.876543\n"));
}

TEST(LabelText, LeavesOutBoxesWithoutArea) {
  int64_t boxes = 0;
  EXPECT_EQ(LabelText({{5, 0, 5, 9, 0.5f, 0}, {0, 9, 9, 9, 0.5f, 0}}, {10, 10}, false, &boxes), "");
  EXPECT_EQ(boxes, 0);
}

TEST(WhatExists, TellsLabelsFromOtherTexts) {
  TempFolder folder;
  EXPECT_EQ(WhatExists(folder / "none.txt"), Existing::kNothing);
  EXPECT_EQ(WhatExists(folder.Write("empty.txt", "")), Existing::kLabels);
  EXPECT_EQ(WhatExists(folder.Write("labels.txt", "0 .5 0.5 1e-1 0.1\r\n12 0 0 1 1 0.9\n")),
            Existing::kLabels);
  EXPECT_EQ(WhatExists(folder.Write("caption.txt", "a cat on a mat\n")), Existing::kOther);
  std::filesystem::create_directory(folder / "folder.txt");
  EXPECT_EQ(WhatExists(folder / "folder.txt"), Existing::kOther);
}

TEST(FileWriter, MakesFoldersAndLeavesNoTemporaryFile) {
  TempFolder folder;
  FileWriter writer(0);
  // As long as a name may be: the temporary one must fit too.
  std::string name(255, 'n');
  name.replace(251, 4, ".txt");
  ASSERT_TRUE(writer.Write(folder / ("a/b/" + name), "1\n").ok());
  ASSERT_TRUE(writer.Write(folder / ("a/b/" + name), "2\n").ok());
  EXPECT_EQ(ReadAll(folder / ("a/b/" + name)), "2\n");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder / "a/b"), {}), 1);
}

TEST(FileWriter, SaysWhichFileCannotBeWrittenAndWhy) {
  TempFolder folder;
  FileWriter writer(0);
  std::filesystem::create_directories(folder / "taken.txt/inside");
  const absl::Status taken = writer.Write(folder / "taken.txt", "1\n");
  EXPECT_FALSE(taken.ok());
  EXPECT_THAT(std::string(taken.message()), HasSubstr(folder / "taken.txt"));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1)
      << "the temporary file was left";
}

TEST(FileWriter, SaysWhereNobodyMayWrite) {
  const std::string folder = UnwritableFolder();
  if (folder.empty())
    GTEST_SKIP() << "no folder here that root may not write to (sysfs is not mounted)";
  const absl::Status denied = FileWriter(0).Write(folder + "/labels/a.txt", "1\n");
  EXPECT_EQ(denied.code(), absl::StatusCode::kPermissionDenied) << denied;
  EXPECT_THAT(std::string(denied.message()), HasSubstr(folder + "/labels"));
}

class ClassNames : public ::testing::Test {
 protected:
  // The refusal, or nothing.
  std::string Write(const std::vector<std::string>& names, bool overwrite) {
    FileWriter writer(0);
    const absl::Status checked = CheckClassNames(folder_.path(), names, overwrite);
    EXPECT_EQ(WriteClassNames(folder_.path(), names, overwrite, writer), checked);
    EXPECT_TRUE(checked.ok() || absl::IsInvalidArgument(checked)) << checked;
    return std::string(checked.message());
  }
  TempFolder folder_;
};

TEST_F(ClassNames, AreWrittenOnceAndReplacedOnlyIfOursAndAsked) {
  EXPECT_EQ(Write({"cat", "a: \"dog\"", "two\nlines"}, false), "");
  EXPECT_EQ(ReadAll(folder_ / "classes.txt"), "cat\na: \"dog\"\ntwo lines\n");
  EXPECT_THAT(ReadAll(folder_ / "data.yaml"), HasSubstr("1: \"a: \\\"dog\\\"\""));
  EXPECT_EQ(Write({"cat", "a: \"dog\"", "two\nlines"}, false), "");
  EXPECT_THAT(Write({"horse"}, false), HasSubstr("classes.txt lists other classes"));
  EXPECT_THAT(ReadAll(folder_ / "classes.txt"), HasSubstr("cat"));
  EXPECT_EQ(Write({"horse"}, true), "");
  EXPECT_EQ(ReadAll(folder_ / "classes.txt"), "horse\n");
}

TEST_F(ClassNames, OfSomebodyElseAreNeverTouched) {
  folder_.Write("data.yaml", "path: mine\n");
  EXPECT_EQ(Write({"cat"}, true), "");
  EXPECT_EQ(ReadAll(folder_ / "data.yaml"), "path: mine\n");
  folder_.Write("classes.txt", "mine\n");
  EXPECT_THAT(Write({"cat"}, true), HasSubstr("remove the file"));
  EXPECT_EQ(ReadAll(folder_ / "classes.txt"), "mine\n");
  folder_.Write("classes.txt", "cat");
  EXPECT_EQ(Write({"cat"}, false), "") << "without the end of the line";
  EXPECT_EQ(ReadAll(folder_ / "classes.txt"), "cat");
}

}  // namespace
}  // namespace yoke::engine
