#include "server/engine/train/identity.h"

#include <filesystem>
#include <fstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/temp_folder.h"

namespace yoke::engine {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

using Names = std::vector<std::string>;

Sample Image(const std::string& path, float x = 0.5f) {
  return {.image_path = path, .width = 64, .height = 48, .labels = {{1, x, 0.5f, 0.1f, 0.1f}}};
}

DataIdentity Data(const Names& names, std::vector<Sample> train, std::vector<Sample> val = {}) {
  Split train_split, val_split;
  train_split.samples = std::move(train);
  val_split.samples = std::move(val);
  return IdentityOf(names, train_split, val_split);
}

const Names kNames = {"cat", "dog", "bird", "cow", "pig"};

TEST(Identity, ADataSetThatWasMovedIsTheSame) {
  const DataIdentity saved =
      Data(kNames, {Image("/a/1.jpg"), Image("/a/2.jpg")}, {Image("/a/3.jpg")});
  EXPECT_EQ(Difference(saved, saved), "");
  EXPECT_EQ(Difference(saved, Data(kNames, {Image("/b/x/1.jpg"), Image("/b/x/2.jpg")},
                                   {Image("/b/3.jpg")})),
            "");
}

TEST(Identity, CountsWhatWasAddedRemovedAndChanged) {
  const DataIdentity saved =
      Data(kNames, {Image("/a/1.jpg"), Image("/a/2.jpg"), Image("/a/3.jpg"), Image("/a/4.jpg")});
  const DataIdentity now = Data(kNames, {Image("/a/2.jpg", 0.25f), Image("/a/3.jpg"),
                                         Image("/a/4.jpg"), Image("/a/5.jpg"), Image("/a/6.jpg")});
  EXPECT_EQ(Difference(saved, now),
            "of the 4 training images 2 added, 1 removed, 1 changed (the image or its labels)");
  EXPECT_EQ(
      Difference(saved, Data(kNames, {Image("/a/1.jpg"), Image("/a/2.jpg"), Image("/a/3.jpg")})),
      "of the 4 training images 1 removed");
}

TEST(Identity, EqualFileNamesInSeveralFoldersAreCountedOneByOne) {
  const DataIdentity saved =
      Data(kNames, {Image("/a/1.jpg"), Image("/b/1.jpg"), Image("/c/1.jpg", 0.1f)});
  EXPECT_EQ(Difference(saved, Data(kNames, {Image("/a/1.jpg"), Image("/b/1.jpg", 0.2f),
                                            Image("/c/1.jpg", 0.1f)})),
            "of the 3 training images 1 changed (the image or its labels)");
}

TEST(Identity, SeesAFileOfAnotherSize) {
  TempFolder folder;
  const std::string path = folder.path() + "/1.jpg";
  std::ofstream(path) << "abc";
  const DataIdentity saved = Data(kNames, {Image(path)});
  std::ofstream(path) << "abcd";
  EXPECT_THAT(Difference(saved, Data(kNames, {Image(path)})), HasSubstr("1 changed"));
}

TEST(Identity, NamesTheFirstClassesThatDiffer) {
  const std::vector<Sample> images = {Image("/a/1.jpg")};
  const DataIdentity saved = Data(kNames, images);
  EXPECT_EQ(Difference(saved, Data({"cat", "horse", "bird", "cow", "pig"}, images)),
            "class 1 was 'dog' and is 'horse'");
  EXPECT_EQ(Difference(saved, Data({"a", "b", "c", "d", "pig"}, images)),
            "class 0 was 'cat' and is 'a', class 1 was 'dog' and is 'b', class 2 was 'bird' and is "
            "'c', and 1 more");
  EXPECT_EQ(Difference(saved, Data({"cat", "dog", "bird", "cow"}, images)),
            "class 4 was 'pig' and is gone");
  EXPECT_EQ(Difference(saved, Data({"cat", "dog", "bird", "cow", "pig", "ant"}, images)),
            "class 5 is new: 'ant'");
}

TEST(Identity, ASplitThatOneRunDidNotUseIsNotCompared) {
  const DataIdentity saved = Data(kNames, {Image("/a/1.jpg")}, {Image("/a/2.jpg")});
  EXPECT_EQ(Difference(saved, Data(kNames, {Image("/a/1.jpg")})), "");
  EXPECT_THAT(Difference(saved, Data(kNames, {Image("/a/1.jpg")}, {Image("/a/3.jpg")})),
              AllOf(HasSubstr("validation images 1 added, 1 removed"), Not(HasSubstr("training"))));
}

}  // namespace
}  // namespace yoke::engine
