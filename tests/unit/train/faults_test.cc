// Trainings to which something happens: memory runs out, numbers are not finite, ranks change
// between attempts.
#include <cmath>
#include <filesystem>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string_view>

#include "ATen/Parallel.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/engine/checkpoint/weights.h"
#include "server/engine/data/shapes/shapes.h"
#include "server/engine/train/trainer.h"
#include "tests/support/temp_folder.h"
#include "tests/unit/distributed/ranks.h"
#include "tests/unit/train/stop_after.h"
#include "torch/utils.h"

namespace yoke::engine {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

class Recorder : public Observer {
 public:
  void OnStep(const StepReport& report) override { steps.push_back(report); }
  void OnWarning(const std::string& sentence) override { warnings.push_back(sentence); }
  std::vector<StepReport> steps;
  std::vector<std::string> warnings;
};

class Faults : public StepFaults {
 public:
  std::function<void(int64_t iteration, int parts, at::Tensor gradients)> before;
  std::function<void(int64_t iteration, const at::Tensor& gradients)> after;
  std::map<int64_t, Batch> batches;  // by iteration

 private:
  void BeforeIteration(int64_t iteration, const Batch& batch) override {
    batches[iteration] = batch;
  }
  void BeforeForward(int64_t iteration, int, int parts, at::Tensor gradients) override {
    if (before) before(iteration, parts, gradients);
  }
  void AfterBackward(int64_t iteration, const at::Tensor& gradients) override {
    if (after) after(iteration, gradients);
  }
};

void RunOutOfMemory() { TORCH_CHECK_WITH(OutOfMemoryError, false, "no memory left, for a test"); }

struct RankOutcome {
  absl::StatusOr<TrainResult> result = absl::UnknownError("not run");
  std::vector<StepReport> steps;
  std::map<int64_t, Batch> batches;
  std::vector<std::string> warnings;
};

class FaultsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const absl::Status drawn = WriteShapes(
        {.out = folder_.path() + "/shapes", .train = 16, .val = 4, .size = 64, .classes = 2});
    ASSERT_TRUE(drawn.ok()) << drawn;
    // Ranks in threads share one generator of random numbers, so fresh weights would not be the
    // same each time.
    torch::manual_seed(5);
    Weights weights;
    weights.spec = {'n', 2};
    weights.names = {"circle", "square"};
    for (const auto& [name, tensor] : StateOf(**DetectionModel::Create(weights.spec)))
      weights.state[name] = tensor.clone();
    ASSERT_TRUE(WriteWeights(Model(), weights).ok());
  }

  std::string Model() const { return folder_.path() + "/yolov8n.pt"; }

  // Four iterations an epoch; gradients accumulate over two.
  TrainConfig Config(const std::string& run, int epochs) const {
    TrainConfig config;
    config.model = Model();
    config.data = folder_.path() + "/shapes/data.yaml";
    config.run_dir = absl::StrCat(folder_.path(), "/", run);
    config.epochs = epochs;
    config.batch = 4;
    config.imgsz = 64;
    config.workers = 1;
    config.optimizer = "SGD";
    config.warmup_epochs = 0;
    config.nbs = 8;
    return config;
  }

  // `faults` are made for each rank. Rank 0 is asked to stop after `stop_after` iterations, which
  // it heeds with the next. By rank.
  std::vector<RankOutcome> Train(const TrainConfig& config, int ranks,
                                 const std::function<void(int rank, Faults&)>& make_faults = {},
                                 size_t stop_after = SIZE_MAX) {
    std::vector<RankOutcome> outcomes(static_cast<size_t>(ranks));
    const auto run = [&](Group& group) {
      at::set_num_threads(1);
      Recorder recorder;
      Faults faults;
      if (make_faults) make_faults(group.rank(), faults);
      RankOutcome& mine = outcomes[static_cast<size_t>(group.rank())];
      mine.result = RunTraining(
          config, at::kCPU, group, recorder,
          StopAfter(recorder.steps, group.rank() == 0 ? stop_after : SIZE_MAX), &faults);
      mine.warnings = recorder.warnings;
      mine.steps = recorder.steps;
      mine.batches = std::move(faults.batches);
    };
    if (ranks == 1) {
      run(**MakeGroup({}));
    } else {
      RunAsRanks(ranks, run);
    }
    for (const RankOutcome& one : outcomes) {
      if (!one.result.ok() || !outcomes[0].result.ok()) continue;
      // Within an epoch ranks have running statistics of their own.
      if (one.result->stopped) continue;
      EXPECT_EQ(one.result->weights_checksum, outcomes[0].result->weights_checksum);
    }
    return outcomes;
  }

  TempFolder folder_;
};

// Where the memory runs out must not matter: the batch is done again as if it had been in parts
// from the beginning. Iteration 0 accumulates, in iteration 1 ranks exchange gradients and step.
TEST_F(FaultsTest, OutOfMemoryAnywhereHalvesTheBatchOfEveryRankAndLosesNothing) {
  for (const int64_t when : {0, 1}) {
    const auto before = [when](Faults& faults) {
      faults.before = [when](int64_t iteration, int parts, const at::Tensor&) {
        if (iteration == when && parts == 1) RunOutOfMemory();
      };
    };
    const auto after = [when](Faults& faults) {
      faults.after = [when, done = false](int64_t iteration, const at::Tensor&) mutable {
        if (iteration == when && !std::exchange(done, true)) RunOutOfMemory();
      };
    };
    const std::vector<std::function<void(int rank, Faults&)>> places = {
        [&](int, Faults& faults) { before(faults); },
        [&](int rank, Faults& faults) {
          if (rank == 1) before(faults);
        },
        [&](int rank, Faults& faults) {
          if (rank == 1) after(faults);
        }};
    std::vector<double> checksums;
    for (size_t i = 0; i < places.size(); ++i) {
      SCOPED_TRACE(absl::StrCat("iteration ", when, ", place ", i));
      const auto outcomes = Train(Config(absl::StrCat("oom", when, i), 2), 2, places[i]);
      for (const RankOutcome& one : outcomes) {
        ASSERT_TRUE(one.result.ok()) << one.result.status();
        EXPECT_EQ(one.result->parts, 2);
        EXPECT_EQ(one.result->epochs, 2);
        EXPECT_EQ(one.result->skipped_steps, 0);
        EXPECT_THAT(one.warnings, Contains(HasSubstr("is computed in 2 parts")));
      }
      checksums.push_back(outcomes[0].result->weights_checksum);
    }
    EXPECT_EQ(checksums[1], checksums[0]);
    EXPECT_EQ(checksums[2], checksums[0]);
  }
}

// In the second of two batches that accumulate: the first one's gradients must survive.
TEST_F(FaultsTest, OutOfMemoryWhileAccumulatingKeepsWhatWasAccumulated) {
  std::vector<at::Tensor> sums;
  for (const bool fails : {false, true}) {
    Train(Config(absl::StrCat("kept", fails), 1), 1, [&](int, Faults& faults) {
      faults.after = [&, fails, done = false](int64_t iteration,
                                              const at::Tensor& gradients) mutable {
        // Steps are due every second iteration: 2 accumulates, 3 steps.
        if (iteration == 3 && fails && !std::exchange(done, true)) RunOutOfMemory();
        if (iteration == 2 || iteration == 3) sums.push_back(gradients.clone());
      };
    });
  }
  ASSERT_EQ(sums.size(), 4u);
  EXPECT_TRUE(at::equal(sums[0], sums[2]));
  // What iteration 3 adds is another gradient, of two smaller batches, but one of its size.
  const double whole = (sums[1] - sums[0]).norm().item<double>(),
               parts = (sums[3] - sums[2]).norm().item<double>();
  EXPECT_GT(parts, whole / 2);
  EXPECT_LT(parts, whole * 2);
  EXPECT_GT(at::cosine_similarity(sums[3], sums[2], 0).item<double>(), 0.7);
}

TEST_F(FaultsTest, NotEvenOneImageIsAnErrorOnEveryRank) {
  const auto outcomes = Train(Config("none", 1), 2, [](int rank, Faults& faults) {
    if (rank == 0) faults.before = [](int64_t, int, const at::Tensor&) { RunOutOfMemory(); };
  });
  for (const RankOutcome& one : outcomes) {
    EXPECT_EQ(one.result.status().code(), absl::StatusCode::kResourceExhausted);
    EXPECT_THAT(one.result.status().message(), HasSubstr("one image of 64 px at a time"));
  }
}

// Gradients of one rank are spoilt in the iterations that `spoils` names.
std::function<void(int, Faults&)> Spoiling(std::function<bool(int64_t iteration)> spoils) {
  return [spoils](int rank, Faults& faults) {
    if (rank != 0) return;
    faults.before = [spoils](int64_t iteration, int, at::Tensor gradients) {
      if (spoils(iteration)) gradients.select(0, 7).fill_(NAN);
    };
  };
}

void ExpectFinite(const std::string& path) {
  const auto weights = ReadWeights(path);
  ASSERT_TRUE(weights.ok()) << weights.status();
  for (const auto& [name, tensor] : weights->state) {
    EXPECT_TRUE(at::isfinite(tensor).all().item<bool>()) << name;
  }
}

TEST_F(FaultsTest, AStepThatIsNotFiniteIsLeftOutAndItsImagesAreNamed) {
  TrainConfig config = Config("skipped", 2);
  config.nbs = 4;  // each iteration steps
  const auto outcomes = Train(config, 1, Spoiling([](int64_t i) { return i == 3; }));
  ASSERT_TRUE(outcomes[0].result.ok()) << outcomes[0].result.status();
  EXPECT_EQ(outcomes[0].result->skipped_steps, 1);
  EXPECT_EQ(outcomes[0].result->rollbacks, 0);
  EXPECT_THAT(outcomes[0].warnings, Contains(HasSubstr("iteration 4 of epoch 1")));
  EXPECT_THAT(outcomes[0].warnings, Contains(HasSubstr("/images/train/")));
  ExpectFinite(config.run_dir + "/weights/best.pt");
  EXPECT_TRUE(std::isfinite(outcomes[0].result->weights_checksum));
}

TEST_F(FaultsTest, AfterThreeInARowItGoesBackToTheLastGoodState) {
  TrainConfig config = Config("back", 3);
  config.nbs = 4;
  // In the second epoch, so that there is a state.
  const auto outcomes = Train(config, 2, Spoiling([](int64_t i) { return i >= 4 && i <= 6; }));
  for (const RankOutcome& one : outcomes) {
    ASSERT_TRUE(one.result.ok()) << one.result.status();
    EXPECT_EQ(one.result->skipped_steps, 3);
    EXPECT_EQ(one.result->rollbacks, 1);
    EXPECT_EQ(one.result->epochs, 3);
  }
  EXPECT_THAT(outcomes[0].warnings, Contains(HasSubstr("went back to the last state saved")));
  ExpectFinite(config.run_dir + "/weights/best.pt");
}

TEST_F(FaultsTest, InTheFirstEpochItGoesBackToTheWeightsItBeganWith) {
  TrainConfig config = Config("begin", 1);
  config.nbs = 4;
  const auto outcomes = Train(config, 2, Spoiling([](int64_t i) { return i <= 2; }));
  for (const RankOutcome& one : outcomes) {
    ASSERT_TRUE(one.result.ok()) << one.result.status();
    EXPECT_EQ(one.result->rollbacks, 1);
  }
  EXPECT_THAT(outcomes[0].warnings, Contains(HasSubstr("the weights it began with")));
}

TEST_F(FaultsTest, WhatNeverBecomesFiniteEndsWithAdvice) {
  TrainConfig config = Config("never", 10);
  config.nbs = 4;
  const auto outcomes = Train(config, 1, Spoiling([](int64_t i) { return i >= 4; }));
  EXPECT_EQ(outcomes[0].result.status().code(), absl::StatusCode::kOutOfRange);
  EXPECT_THAT(outcomes[0].result.status().message(), HasSubstr("lower lr0"));
  ExpectFinite(config.run_dir + "/weights/best.pt");
}

// One image: which one, and a hash of its pixels.
using Seen = std::pair<int64_t, size_t>;

// The images of each iteration over all ranks, in the order of the epoch: ranks take turns.
std::map<int64_t, std::vector<Seen>> ImagesSeen(const std::vector<RankOutcome>& outcomes) {
  std::map<int64_t, std::vector<Seen>> seen;
  for (const auto& [iteration, first] : outcomes[0].batches) {
    const auto bytes = 3 * static_cast<size_t>(first.height) * static_cast<size_t>(first.width);
    for (size_t i = 0; i < first.images.size(); ++i) {
      for (const RankOutcome& rank : outcomes) {
        const Batch& batch = rank.batches.at(iteration);
        const std::string_view pixels(
            reinterpret_cast<const char*>(batch.pixels.data()) + i * bytes, bytes);
        seen[iteration].emplace_back(batch.images.at(i).sample,
                                     std::hash<std::string_view>()(pixels));
      }
    }
  }
  return seen;
}

TEST_F(FaultsTest, ResumesWithinAnEpochOnAnotherNumberOfRanks) {
  constexpr int64_t kIterations = 8;  // an epoch's
  // The second of two iterations steps: after three of them, gradients wait for a step.
  for (const int64_t done : {2, 3}) {
    for (const int before : {1, 2}) {
      const int after = 3 - before;
      SCOPED_TRACE(absl::StrCat(done, " iterations, from ", before, " ranks to ", after));
      TrainConfig config = Config(absl::StrCat("whole", done, before), 2);
      config.batch = 2;
      config.nbs = 4;
      // What each rank has accumulated when the next iteration begins.
      std::vector<at::Tensor> waiting;
      const auto record = [&](int rank, Faults& faults) {
        faults.before = [&, rank](int64_t iteration, int, const at::Tensor& gradients) {
          if (iteration == kIterations + done)
            waiting.at(static_cast<size_t>(rank)) = gradients.clone();
        };
      };
      waiting.resize(static_cast<size_t>(before));
      const auto whole = Train(config, before, record);
      ASSERT_TRUE(whole[0].result.ok()) << whole[0].result.status();
      const at::Tensor whole_waits = at::stack(waiting).sum(0);

      config.run_dir = absl::StrCat(folder_.path(), "/parts", done, before);
      // Asked to stop while the last of them runs.
      const auto stopped = Train(config, before, {}, static_cast<size_t>(kIterations + done - 1));
      ASSERT_TRUE(stopped[0].result.ok()) << stopped[0].result.status();
      EXPECT_TRUE(stopped[0].result->stopped);
      EXPECT_EQ(stopped[0].steps.size(), static_cast<size_t>(kIterations + done));

      config.resume = config.run_dir;
      waiting.assign(static_cast<size_t>(after), {});
      const auto resumed = Train(config, after, record);
      for (const RankOutcome& rank : resumed) {
        ASSERT_TRUE(rank.result.ok()) << rank.result.status();
        EXPECT_EQ(rank.result->epochs, 2);
        EXPECT_EQ(rank.result->batch, 2);
      }
      ASSERT_EQ(resumed[0].steps.size(), static_cast<size_t>(kIterations - done));
      EXPECT_EQ(resumed[0].steps[0].epoch, 2);
      EXPECT_EQ(resumed[0].steps[0].iteration, done + 1);
      EXPECT_EQ(resumed[0].steps[0].iterations, kIterations);

      auto seen = ImagesSeen(stopped);
      seen.merge(ImagesSeen(resumed));
      EXPECT_EQ(seen, ImagesSeen(whole))
          << "the same images with the same pixels in the same order";
      std::set<int64_t> samples;
      for (const auto& [iteration, images] : seen) {
        EXPECT_EQ(images.size(), 2u) << iteration;
        if (iteration < kIterations) continue;
        for (const Seen& image : images) EXPECT_TRUE(samples.insert(image.first).second);
      }
      EXPECT_EQ(samples.size(), 16u);
      EXPECT_EQ(whole_waits.any().item<bool>(), done == 3);
      EXPECT_TRUE(at::equal(at::stack(waiting).sum(0), whole_waits));
    }
  }
}

}  // namespace
}  // namespace yoke::engine
