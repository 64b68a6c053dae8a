// The whole validation: of drawn shapes by models that find one box everywhere, and of the official
// weights on eight photos against what the reference (8.4.190) prints.
#include "server/engine/eval/validator.h"

#include <cstdlib>
#include <filesystem>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/engine/data/shapes/shapes.h"
#include "tests/support/temp_folder.h"
#include "tests/unit/distributed/ranks.h"
#include "tests/unit/label/finder.h"

namespace yoke::engine {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

void ExpectSame(const DetectionMetrics& a, const DetectionMetrics& b) {
  EXPECT_EQ(a.precision, b.precision);
  EXPECT_EQ(a.recall, b.recall);
  EXPECT_EQ(a.map50, b.map50);
  EXPECT_EQ(a.map5095, b.map5095);
  EXPECT_EQ(a.fitness, b.fitness);
}

void ExpectSame(const EvalResult& a, const EvalResult& b) {
  ExpectSame(a.metrics, b.metrics);
  ExpectSame(a.metrics_classic, b.metrics_classic);
  EXPECT_EQ(a.images, b.images);
  EXPECT_EQ(a.instances, b.instances);
  ASSERT_EQ(a.per_class.size(), b.per_class.size());
  for (size_t i = 0; i < a.per_class.size(); ++i) {
    EXPECT_EQ(a.per_class[i].map5095, b.per_class[i].map5095);
    EXPECT_EQ(a.curves.classes[i].f1, b.curves.classes[i].f1);
    EXPECT_EQ(a.curves.classes[i].precision_at_recall, b.curves.classes[i].precision_at_recall);
  }
  EXPECT_EQ(a.curves.best_f1_confidence, b.curves.best_f1_confidence);
  EXPECT_EQ(a.confusion.counts, b.confusion.counts);
}

class Validation : public ::testing::Test {
 protected:
  absl::StatusOr<ValidationResult> Run() {
    observer_ = {};
    return Run(**MakeGroup({}), observer_);
  }
  absl::StatusOr<ValidationResult> Run(Group& group, Observer& observer) {
    return RunValidation(config_, at::kCPU, group, observer, StopSignal());
  }
  // All ranks get the same, and that is what one rank gets.
  void ExpectSameFromTwoRanks() {
    const auto alone = Run();
    ASSERT_TRUE(alone.ok()) << alone.status();
    std::vector<absl::StatusOr<ValidationResult>> results(2);
    std::vector<RecordingObserver> observers(2);
    RunAsRanks(2,
               [&](Group& group) { results[group.rank()] = Run(group, observers[group.rank()]); });
    for (const auto& result : results) {
      ASSERT_TRUE(result.ok()) << result.status();
      ExpectSame(result->eval, alone->eval);
      ASSERT_EQ(result->members.size(), alone->members.size());
      for (size_t m = 0; m < alone->members.size(); ++m)
        ExpectSame(result->members[m].eval, alone->members[m].eval);
      ASSERT_EQ(result->coco.has_value(), alone->coco.has_value());
      if (!alone->coco) continue;
      EXPECT_EQ(result->coco->ap, alone->coco->ap);
      EXPECT_EQ(result->coco->ar100, alone->coco->ar100);
    }
    EXPECT_THAT(observers[1].logs, IsEmpty());
  }

  yoke::TempFolder folder_;
  ValConfig config_;
  RecordingObserver observer_;
};

class OfShapes : public Validation {
 protected:
  void SetUp() override {
    at::manual_seed(1);
    const absl::Status drawn =
        WriteShapes({.out = At("set"), .train = 1, .val = 6, .size = 64, .classes = 2});
    ASSERT_TRUE(drawn.ok()) << drawn;
    names_ = ReadDataYaml(At("set/data.yaml"))->names;
    ASSERT_EQ(names_.size(), 2u);
    config_.data = At("set/data.yaml");
    config_.run_dir = folder_.path();
    config_.imgsz = 64;
    config_.batch = 2;
    config_.workers = 1;
  }
  std::string At(const std::string& name) const { return folder_.path() + "/" + name; }
  std::string Finder(const std::string& name, const std::vector<std::string>& names, int found) {
    WriteFinder(At(name), true, names, found);
    return At(name);
  }
  std::string Refusal() {
    const auto result = Run();
    EXPECT_EQ(result.status().code(), absl::StatusCode::kInvalidArgument);
    return std::string(result.status().message());
  }

  std::vector<std::string> names_;  // of the data set
};

TEST_F(OfShapes, CountsEveryImageAndObjectOnce) {
  config_.models = {Finder("a.pt", names_, 0)};
  const auto result = Run();
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->eval.images, 6);
  EXPECT_GT(result->eval.instances, 0);
  EXPECT_THAT(result->members, IsEmpty());
  EXPECT_FALSE(result->coco.has_value());
  const ConfusionMatrix& confusion = result->eval.confusion;
  ASSERT_EQ(confusion.classes, 2);
  int64_t objects = 0;
  for (int predicted = 0; predicted <= 2; ++predicted) {
    for (int truth = 0; truth < 2; ++truth) objects += confusion.at(predicted, truth);
  }
  EXPECT_EQ(objects, result->eval.instances);
  EXPECT_EQ(confusion.at(1, 0) + confusion.at(1, 1) + confusion.at(1, 2), 0) << "never found";
  EXPECT_THAT(observer_.warnings, IsEmpty());
}

TEST_F(OfShapes, ClassesInAnotherOrderAreFollowed) {
  config_.models = {Finder("a.pt", names_, 0)};
  const auto straight = Run();
  ASSERT_TRUE(straight.ok()) << straight.status();
  at::manual_seed(1);
  config_.models = {Finder("b.pt", {names_[1], names_[0]}, 1)};
  const auto swapped = Run();
  ASSERT_TRUE(swapped.ok()) << swapped.status();
  EXPECT_THAT(observer_.logs, Contains(AllOf(HasSubstr("b.pt"), HasSubstr("data.yaml"))));
  // Both find the data set's first class, each in its own boxes.
  EXPECT_EQ(swapped->eval.confusion.at(1, 2), 0);
  EXPECT_GT(swapped->eval.confusion.at(0, 2), 0);
  EXPECT_GT(straight->eval.confusion.at(0, 2), 0);
}

TEST_F(OfShapes, OtherNamesAreTakenByNumberWithAWarningAndOthersRefused) {
  config_.models = {Finder("a.pt", {"x", "y"}, 0)};
  ASSERT_TRUE(Run().ok());
  EXPECT_THAT(observer_.warnings, Contains(HasSubstr("0 'x' is '" + names_[0] + "'")));
  config_.models = {Finder("a.pt", {names_[0], names_[0]}, 0)};
  EXPECT_THAT(Refusal(), AllOf(HasSubstr("a.pt"), HasSubstr("data.yaml"), HasSubstr("several")));
  config_.models = {Finder("a.pt", names_, 0), Finder("b.pt", {"x", "y"}, 0)};
  EXPECT_THAT(Refusal(), AllOf(HasSubstr("a.pt"), HasSubstr("b.pt"), HasSubstr("in common")));
  config_.models.pop_back();
  config_.ensemble.method = "vote";
  EXPECT_THAT(Refusal(), HasSubstr("wbf"));
}

TEST_F(OfShapes, TwoRanksMeasureWhatOneDoes) {
  config_.models = {Finder("a.pt", names_, 0), Finder("b.pt", {names_[1], names_[0]}, 0)};
  config_.save_json = true;
  ExpectSameFromTwoRanks();
  EXPECT_TRUE(std::filesystem::exists(At("predictions.json")));
}

TEST_F(OfShapes, AStopEndsIt) {
  class Always : public StopSignal {
   public:
    bool requested() const override { return true; }
  };
  config_.models = {Finder("a.pt", names_, 0)};
  config_.save_json = true;
  const auto result = RunValidation(config_, at::kCPU, **MakeGroup({}), observer_, Always());
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_TRUE(result->stopped);
  EXPECT_FALSE(std::filesystem::exists(At("predictions.json")));
}

TEST_F(OfShapes, SaysWherePredictionsCannotBeWritten) {
  config_.models = {Finder("a.pt", names_, 0)};
  config_.save_json = true;
  config_.run_dir = At("nowhere");
  const auto result = Run();
  ASSERT_FALSE(result.ok());
  EXPECT_THAT(std::string(result.status().message()), HasSubstr("nowhere/predictions.json"));
}

class OfPhotos : public Validation {
 protected:
  void SetUp() override {
    const char* data = std::getenv("YOKE_TEST_DATA");
    if (data == nullptr)
      GTEST_SKIP() << "YOKE_TEST_DATA is not set: weights and photos are not here";
    config_.models = {std::string(data) + "/weights/yolov8n.pt"};
    config_.data = std::string(data) + "/coco8/coco8.yaml";
    config_.cache_dir = config_.run_dir = folder_.path();
    config_.batch = 4;
    config_.workers = 2;
  }
  static void ExpectMetrics(const absl::StatusOr<ValidationResult>& result, double precision,
                            double recall, double map50, double map5095) {
    ASSERT_TRUE(result.ok()) << result.status();
    const DetectionMetrics& got = result->eval.metrics;
    EXPECT_NEAR(got.precision, precision, 0.005);
    EXPECT_NEAR(got.recall, recall, 0.005);
    EXPECT_NEAR(got.map50, map50, 0.005);
    EXPECT_NEAR(got.map5095, map5095, 0.005);
    EXPECT_EQ(result->eval.images, 4);
    EXPECT_EQ(result->eval.instances, 17);
  }
};

TEST_F(OfPhotos, HasTheReferencesFiguresInRectangles) {
  const auto result = Run();
  ExpectMetrics(result, 0.62097, 0.83333, 0.89572, 0.62989);
  EXPECT_NEAR(result->eval.metrics_classic.map50, 0.88795, 0.005) << "8.1.34";
}

TEST_F(OfPhotos, HasTheReferencesFiguresInSquares) {
  config_.rect = false;
  ExpectMetrics(Run(), 0.70804, 0.83333, 0.81546, 0.60891);
}

TEST_F(OfPhotos, HasTheReferencesFiguresWithOneClass) {
  config_.single_cls = true;
  ExpectMetrics(Run(), 0.80515, 0.64706, 0.68241, 0.37487);
}

// One batch of four images for one rank, none for the other.
TEST_F(OfPhotos, RanksWithoutWorkGetTheSameResult) {
  config_.batch = 8;
  ExpectSameFromTwoRanks();
}

TEST_F(OfPhotos, TwoRanksMeasureWhatOneDoes) {
  config_.batch = 2;
  config_.save_json = true;
  ExpectSameFromTwoRanks();
}

TEST_F(OfPhotos, AModelBesideItselfIsMeasuredAsIfAlone) {
  const auto alone = Run();
  ASSERT_TRUE(alone.ok()) << alone.status();
  config_.models.push_back(config_.models[0]);
  config_.ensemble.method = "nms";
  config_.ensemble.iou = config_.iou;
  const auto both = Run();
  ASSERT_TRUE(both.ok()) << both.status();
  ExpectSame(both->eval.metrics, alone->eval.metrics);
  EXPECT_EQ(both->eval.confusion.counts, alone->eval.confusion.counts);
  ASSERT_EQ(both->members.size(), 2u);
  for (const MemberResult& member : both->members) {
    EXPECT_EQ(member.model, config_.models[0]);
    EXPECT_EQ(member.weight, 1);
    ExpectSame(member.eval.metrics, alone->eval.metrics);
  }

  config_.ensemble = {"wbf", {1, 3}, 0.55};
  const auto fused = Run();
  ASSERT_TRUE(fused.ok()) << fused.status();
  EXPECT_EQ(fused->members[1].weight, 3);
  for (const MemberResult& member : fused->members)
    ExpectSame(member.eval.metrics, alone->eval.metrics);
  EXPECT_NEAR(fused->eval.metrics.map50, alone->eval.metrics.map50, 0.1);
}

}  // namespace
}  // namespace yoke::engine
