#include "common/formats/step_memory_file.h"

#include <fstream>

#include "gtest/gtest.h"
#include "tests/support/temp_folder.h"

namespace yoke::formats {
namespace {

const StepMemoryKind kNano = {'n', 80, 640, "cpu", "off", 128};

class StepMemoryFile : public testing::Test {
 protected:
  void Keep(const StepMemoryKind& kind, const std::string& text) {
    std::ofstream(folder_.path() + "/" + StepMemoryFileName(kind)) << text;
  }
  std::optional<StepMemory> Find(const StepMemoryKind& kind) {
    return FindStepMemory(folder_.path(), kind);
  }

  TempFolder folder_;
};

TEST_F(StepMemoryFile, ReadsBackWhatWasWrittenAndNothingElse) {
  EXPECT_EQ(StepMemoryFileName(kNano), "memory-n-80-640px-cpu-off-128objects.txt");
  const std::string path = folder_.path() + "/" + StepMemoryFileName(kNano);
  EXPECT_FALSE(ReadStepMemory(path).has_value());
  Keep(kNano, StepMemoryText({2e8, 1.5e8}));
  ASSERT_TRUE(ReadStepMemory(path).has_value());
  EXPECT_EQ(ReadStepMemory(path)->Of(2), 5e8);
  for (const char* damage : {"", "12", "-1 5", "5 0", "x y"}) {
    Keep(kNano, damage);
    EXPECT_FALSE(ReadStepMemory(path).has_value()) << damage;
  }
}

TEST_F(StepMemoryFile, OthersOfTheirKindAreFoundWhateverTheirClassesAndObjects) {
  EXPECT_FALSE(Find(kNano).has_value());
  EXPECT_FALSE(FindStepMemory(folder_.path() + "/missing", kNano).has_value());
  Keep({'n', 3, 640, "cpu", "off", 16}, "100 10");
  Keep({'n', 3, 640, "cpu", "off", 32}, "100 20");
  ASSERT_TRUE(Find(kNano).has_value());
  EXPECT_EQ(Find(kNano)->per_image, 20) << "the largest";
  EXPECT_FALSE(Find({'s', 80, 640, "cpu", "off", 128}).has_value());
  EXPECT_FALSE(Find({'n', 80, 640, "cpu", "bf16", 128}).has_value());
  EXPECT_FALSE(Find({'n', 80, 640, "cuda81089", "off", 128}).has_value());
  std::ofstream(folder_.path() + "/memory-n-80-0px-cpu-off-8objects.txt") << "1 1";
  std::ofstream(folder_.path() + "/memory-n-x-640px-cpu-off-8objects.txt") << "1 999";
  EXPECT_EQ(Find(kNano)->per_image, 20) << "strangers in the folder are passed over";
}

TEST_F(StepMemoryFile, TheNearestSideCountsByItsArea) {
  Keep({'n', 80, 320, "cpu", "off", 128}, "100 10");
  EXPECT_EQ(Find(kNano)->per_image, 40);
  Keep({'n', 80, 1280, "cpu", "off", 128}, "100 80");
  Keep({'n', 80, 960, "cpu", "off", 128}, "100 180");
  EXPECT_EQ(Find(kNano)->per_image, 80) << "of 960 px: 1.5 times as large, not 2";
}

TEST_F(StepMemoryFile, GpusAreToldApartByTheirMemoryMoreOrLess) {
  Keep({'n', 80, 640, "cuda81089", "auto", 128}, "100 10");
  EXPECT_TRUE(Find({'n', 80, 640, "cuda81559", "auto", 128}).has_value());
  EXPECT_FALSE(Find({'n', 80, 640, "cuda24000", "auto", 128}).has_value());
}

}  // namespace
}  // namespace yoke::formats
