// What ScanSplit makes of folders: outlines, fractions of a set, and its cache.
#include <filesystem>
#include <set>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/engine/data/dataset.h"
#include "tests/support/temp_folder.h"
#include "tests/unit/data/pictures.h"

namespace yoke::engine {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class Scan : public ::testing::Test {
 protected:
  void Add(const std::string& name, const std::string& label) {
    folder_.Write("set/images/" + name + ".jpg", JpegBytes(Picture(40, 30)));
    folder_.Write("set/labels/" + name + ".txt", label);
  }
  Split Run() {
    warnings_.clear();
    options_.warn = [this](const std::string& sentence) { warnings_.push_back(sentence); };
    auto split = ScanSplit({folder_ / "set/images"}, options_);
    EXPECT_TRUE(split.ok()) << split.status();
    return split.ok() ? *std::move(split) : Split();
  }
  std::vector<std::string> Names(const Split& split) const {
    std::vector<std::string> names;
    for (const Sample& sample : split.samples)
      names.push_back(std::filesystem::path(sample.image_path).stem());
    return names;
  }

  TempFolder folder_;
  ScanOptions options_{.class_count = 2, .polygons = true};
  std::vector<std::string> warnings_;
};

TEST_F(Scan, KeepsOutlinesWhereEveryObjectHasOne) {
  Add("a", "0 .1 .1 .5 .1 .3 .4\n1 0 0 1 0 1 1 0 1\n");
  Add("b", "");
  Add("c", "1 .2 .2 .4 .2 .4 .4\n");
  options_.cache_dir = folder_ / "cache";
  for (const char* where : {"scanned", "cached"}) {
    SCOPED_TRACE(where);
    const Split split = Run();
    ASSERT_EQ(split.samples.size(), 3u);
    EXPECT_THAT(split.samples[0].Polygon(0), ElementsAre(.1f, .1f, .5f, .1f, .3f, .4f));
    EXPECT_THAT(split.samples[0].Polygon(1), ElementsAre(0, 0, 1, 0, 1, 1, 0, 1));
    EXPECT_THAT(split.samples[1].polygon_xy, IsEmpty());
    EXPECT_THAT(split.samples[2].Polygon(0), ElementsAre(.2f, .2f, .4f, .2f, .4f, .4f));
    EXPECT_FLOAT_EQ(split.samples[0].labels[0].w, .4f);
    EXPECT_THAT(warnings_, IsEmpty());
  }
}

TEST_F(Scan, DropsAllOutlinesOfAMixedSetAndSaysSo) {
  Add("a", "0 .1 .1 .5 .1 .3 .4\n1 0 0 1 0 1 1 0 1\n");
  Add("b", "0 .5 .5 .2 .2\n");
  options_.cache_dir = folder_ / "cache";
  for (const char* where : {"scanned", "cached"}) {
    SCOPED_TRACE(where);
    const Split split = Run();
    EXPECT_EQ(split.polygons_unused, 2);
    EXPECT_EQ(split.boxes, 3);
    EXPECT_THAT(split.samples[0].Polygon(0), IsEmpty());
    EXPECT_FLOAT_EQ(split.samples[0].labels[0].w, .4f);
    EXPECT_THAT(warnings_, ElementsAre(AllOf(HasSubstr("2 of 3 objects"),
                                             HasSubstr("give every object one"))));
  }
}

TEST_F(Scan, WithoutWishForOutlinesThereIsNeitherOutlineNorWarning) {
  Add("a", "0 .1 .1 .5 .1 .3 .4\n");
  Add("b", "0 .5 .5 .2 .2\n");
  options_.polygons = false;
  options_.cache_dir = folder_ / "cache";
  EXPECT_THAT(Run().samples[0].polygon_ends, IsEmpty());
  EXPECT_THAT(warnings_, IsEmpty());
  options_.polygons = true;  // another cache
  Run();
  EXPECT_THAT(warnings_, ElementsAre(HasSubstr("1 of 2 objects")));
}

TEST_F(Scan, CacheThatIsDamagedOrOfAnotherVersionIsScannedAnew) {
  Add("a", "0 .1 .1 .5 .1 .3 .4\n");
  options_.cache_dir = folder_ / "cache";
  Run();
  const std::string cache = std::filesystem::directory_iterator(options_.cache_dir)->path();
  const std::string whole = ReadAll(cache);
  for (size_t length = 0; length <= whole.size(); length += 7) {
    std::string damaged = whole.substr(0, length);
    if (length > 60) damaged[length - 3] ^= 1;
    folder_.Write("cache/" + std::filesystem::path(cache).filename().string(), damaged);
    EXPECT_THAT(Run().samples[0].Polygon(0), ElementsAre(.1f, .1f, .5f, .1f, .3f, .4f)) << length;
  }
}

TEST_F(Scan, FractionTakesTheFirstOrARandomPart) {
  for (char name = 'a'; name <= 't'; ++name) Add(std::string(1, name), "");
  options_.fraction = 0.2;
  EXPECT_THAT(Names(Run()), ElementsAre("a", "b", "c", "d"));
  options_.fraction_random = true;
  std::set<std::vector<std::string>> parts;
  for (options_.seed = 0; options_.seed < 5; ++options_.seed) {
    const auto names = Names(Run());
    EXPECT_EQ(names.size(), 4u);
    EXPECT_TRUE(std::is_sorted(names.begin(), names.end()));
    EXPECT_EQ(std::set<std::string>(names.begin(), names.end()).size(), 4u);
    EXPECT_EQ(Names(Run()), names);
    parts.insert(names);
  }
  EXPECT_GE(parts.size(), 4u);
  options_.fraction = 0.001;
  EXPECT_EQ(Run().samples.size(), 1u);
}

}  // namespace
}  // namespace yoke::engine
