#include "server/engine/label/plan.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/temp_folder.h"

namespace yoke::engine {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<std::string> LabelPaths(const std::vector<LabelItem>& items) {
  std::vector<std::string> paths;
  for (const LabelItem& item : items) paths.push_back(item.label_path);
  return paths;
}

TEST(PlanLabels, MirrorsOneSourcesTreeUnderOut) {
  TempFolder folder;
  for (const char* name : {"in/b.JPG", "in/sub/deep/a.b.webp", "in/c.txt", "in/d.Tiff"}) {
    folder.Write(name, "x");
  }
  const auto items = PlanLabels({folder / "in/"}, "/out/");
  ASSERT_TRUE(items.ok()) << items.status();
  EXPECT_THAT(LabelPaths(*items), ElementsAre("/out/b.txt", "/out/d.txt", "/out/sub/deep/a.b.txt"));
}

TEST(PlanLabels, KeepsSeveralSourcesApartByName) {
  TempFolder folder;
  for (const char* name : {"x/one/a.jpg", "y/two/a.jpg", "y/lone.png"}) folder.Write(name, "x");
  const std::string one = folder / "x/one", two = folder / "y/two", file = folder / "y/lone.png";
  const auto items = PlanLabels({two, file, one}, "/out");
  ASSERT_TRUE(items.ok()) << items.status();
  EXPECT_THAT(LabelPaths(*items), ElementsAre("/out/lone.txt", "/out/one/a.txt", "/out/two/a.txt"));
  EXPECT_EQ(PlanFingerprint(*items), PlanFingerprint(*PlanLabels({one, two, file}, "/out")));
  EXPECT_NE(PlanFingerprint(*items), PlanFingerprint(*PlanLabels({one, two}, "/out")));
}

TEST(PlanLabels, RefusesTwoSourcesOfOneName) {
  TempFolder folder;
  for (const char* name : {"x/photos/a.jpg", "y/photos/b.jpg"}) folder.Write(name, "x");
  const auto items = PlanLabels({folder / "x/photos", folder / "y/photos/"}, "/out");
  EXPECT_EQ(items.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(items.status().message()), HasSubstr("y/photos"));
}

TEST(PlanLabels, GivesASharedLabelFileToTheFirstImage) {
  TempFolder folder;
  for (const char* name : {"in/a.jpg", "in/a.png", "in/classes.jpg"}) folder.Write(name, "x");
  const auto items = PlanLabels({folder / "in"}, "/out");
  ASSERT_TRUE(items.ok()) << items.status();
  ASSERT_EQ(items->size(), 3u);
  EXPECT_EQ((*items)[0].refusal, "");
  EXPECT_THAT((*items)[1].refusal, HasSubstr("/out/a.txt is for " + (folder / "in/a.jpg")));
  EXPECT_THAT((*items)[2].refusal, HasSubstr("the class names"));
}

TEST(PlanLabels, NamesTheSourceWithoutImages) {
  TempFolder folder;
  folder.Write("full/a.jpg", "x");
  folder.Write("empty/readme.md", "x");
  const auto none = PlanLabels({folder / "full", folder / "empty"}, "/out");
  EXPECT_EQ(none.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(none.status().message()), HasSubstr(folder / "empty"));
  const auto missing = PlanLabels({folder / "missing"}, "/out");
  EXPECT_EQ(missing.status().code(), absl::StatusCode::kNotFound);
  const auto text = PlanLabels({folder / "empty/readme.md"}, "/out");
  EXPECT_EQ(text.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(PlanLabels({}, "/out").status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace yoke::engine
