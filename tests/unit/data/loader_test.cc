// Which images batches hold, in which order, whatever threads, ranks and interruptions do.
#include "server/engine/data/loader.h"

#include <cmath>
#include <filesystem>
#include <map>
#include <set>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/engine/data/image_arena.h"
#include "tests/unit/data/loaders.h"

namespace yoke::engine {
namespace {

using ::testing::HasSubstr;

TEST_F(Loaders, TrainEpochHoldsEachImageOnceAndKeepsTheLastBatch) {
  Fill(10);
  auto loader = MakeTrainLoader(split_, augment_, options_, -1);
  EXPECT_EQ(loader->batches_per_epoch(), 3);
  EXPECT_EQ(loader->images_per_epoch(), 10);
  for (int epoch = 0; epoch < 2; ++epoch) {
    std::set<int64_t> seen;
    const auto batches = Epoch(*loader, epoch);
    ASSERT_EQ(batches.size(), 3u);
    for (const Batch& batch : batches) {
      EXPECT_EQ(batch.pixels.size(), static_cast<size_t>(batch.count) * 3 * 96 * 96);
      for (const BatchImage& image : batch.images) seen.insert(image.sample);
    }
    EXPECT_EQ(batches.back().count, 2);
    EXPECT_EQ(seen.size(), 10u);
  }
}

TEST_F(Loaders, SameSeedSameBatchesWhateverTheThreads) {
  Fill(9);
  AugmentInEveryWay();
  std::vector<std::vector<Batch>> runs;
  for (int threads : {1, 4}) {
    options_.threads = threads;
    auto loader = MakeTrainLoader(split_, augment_, options_, -1);
    Epoch(*loader, 0);
    runs.push_back(Epoch(*loader, 3));
  }
  auto fresh = MakeTrainLoader(split_, augment_, options_, -1);
  runs.push_back(Epoch(*fresh, 3));  // a resume at epoch 3
  for (size_t run = 1; run < runs.size(); ++run) {
    for (size_t i = 0; i < runs[0].size(); ++i) ExpectSame(runs[0][i], runs[run][i]);
  }
  EXPECT_NE(Sum(Epoch(*fresh, 4)[0].pixels), Sum(runs[0][0].pixels));
}

TEST_F(Loaders, TwoRanksSeeTheImagesOneRankSees) {
  Fill(8);
  AugmentInEveryWay();
  auto all = Epoch(*MakeTrainLoader(split_, augment_, options_, -1), 1);
  std::vector<std::vector<Batch>> ranks;
  for (int rank = 0; rank < 2; ++rank) {
    LoaderOptions options = options_;
    options.rank = rank, options.world_size = 2, options.batch = 2;
    ranks.push_back(Epoch(*MakeTrainLoader(split_, augment_, options, -1), 1));
  }
  for (size_t b = 0; b < all.size(); ++b)
    EXPECT_EQ(Images({&all[b]}), Images({&ranks[0][b], &ranks[1][b]}));
}

TEST_F(Loaders, EpochContinuesFromItsMiddleWithAnyNumberOfRanks) {
  Fill(22);
  AugmentInEveryWay();
  for (const bool rect : {false, true}) {
    options_.rect = rect;
    const auto whole = Epoch(*MakeTrainLoader(split_, augment_, options_, -1), 3);
    ASSERT_EQ(whole.size(), 6u);
    auto fresh = MakeTrainLoader(split_, augment_, options_, -1);
    for (int64_t used = 0; used <= 6; ++used) {
      const auto rest = Epoch(*fresh, 3, used * 4);
      ASSERT_EQ(rest.size(), whole.size() - static_cast<size_t>(used));
      for (size_t b = 0; b < rest.size(); ++b)
        ExpectSame(rest[b], whole[b + static_cast<size_t>(used)]);
    }
    std::vector<std::vector<Batch>> ranks;
    for (int rank = 0; rank < 2; ++rank) {
      LoaderOptions options = options_;
      options.rank = rank, options.world_size = 2, options.batch = 2;
      ranks.push_back(Epoch(*MakeTrainLoader(split_, augment_, options, -1), 3, 8));
    }
    ASSERT_EQ(ranks[0].size(), 4u);
    for (size_t b = 0; b < 4; ++b)
      EXPECT_EQ(Images({&whole[b + 2]}), Images({&ranks[0][b], &ranks[1][b]}));
  }
}

TEST_F(Loaders, ResumedEpochDrawsFromTheSameImages) {
  Fill(60);
  options_.batch = 2;
  auto run = MakeTrainLoader(split_, augment_, options_, -1);
  Epoch(*run, 0), Epoch(*run, 1);
  ExpectSame(Epoch(*run, 2)[0], Epoch(*MakeTrainLoader(split_, augment_, options_, -1), 2)[0]);
}

TEST_F(Loaders, TellsWhereItsTimeWent) {
  Fill(8);
  auto loader = MakeTrainLoader(split_, augment_, options_, -1);
  EXPECT_EQ(loader->times().decode_seconds, 0);
  EXPECT_EQ(loader->times().augment_seconds, 0);
  Epoch(*loader, 0);
  const LoaderTimes first = loader->times();
  EXPECT_GT(first.decode_seconds, 0);
  EXPECT_GT(first.augment_seconds, 0);
  Epoch(*loader, 1);
  EXPECT_GT(loader->times().augment_seconds, first.augment_seconds);
}

TEST_F(Loaders, RanksGetEquallyManyImagesByRepeating) {
  Fill(7);
  options_.world_size = 3;
  std::map<int64_t, int> seen;
  for (options_.rank = 0; options_.rank < 3; ++options_.rank) {
    auto loader = MakeTrainLoader(split_, augment_, options_, -1);
    EXPECT_EQ(loader->images_per_epoch(), 3);
    for (const Batch& batch : Epoch(*loader, 0)) {
      for (const BatchImage& image : batch.images) ++seen[image.sample];
    }
  }
  EXPECT_EQ(seen.size(), 7u);
}

TEST_F(Loaders, ValHoldsEachImageOnceOverRanksInRectShapes) {
  Fill(11);
  std::multiset<int64_t> seen;
  options_.world_size = 2;
  for (options_.rank = 0; options_.rank < 2; ++options_.rank) {
    auto loader = MakeValLoader(split_, options_, /*rect=*/true);
    for (const Batch& batch : Epoch(*loader, 0)) {
      EXPECT_EQ(batch.height % 32, 0);
      EXPECT_EQ(batch.width % 32, 0);
      EXPECT_TRUE(batch.height >= 96 && batch.width >= 96) << batch.height << "x" << batch.width;
      for (const BatchImage& image : batch.images) {
        seen.insert(image.sample);
        const Sample& sample = split_.samples[static_cast<size_t>(image.sample)];
        EXPECT_EQ(image.original.width, sample.width);
        // The far corner of the photo maps inside the batch, and back.
        EXPECT_LE(sample.width * image.gain_x + image.pad_left, batch.width);
        EXPECT_LE(sample.height * image.gain_y + image.pad_top, batch.height);
      }
      for (const BatchLabel& label : batch.labels) {
        const BatchImage& image = batch.images[static_cast<size_t>(label.image)];
        EXPECT_NEAR(
            (label.x * static_cast<float>(batch.width) - static_cast<float>(image.pad_left)) /
                image.gain_x,
            image.original.width / 2.0, 1e-3);
        EXPECT_NEAR(
            (label.y * static_cast<float>(batch.height) - static_cast<float>(image.pad_top)) /
                image.gain_y,
            image.original.height / 2.0, 1e-3);
      }
    }
  }
  EXPECT_EQ(seen.size(), 11u);
  EXPECT_EQ(std::set<int64_t>(seen.begin(), seen.end()).size(), 11u);
}

TEST_F(Loaders, ValRectShapeFollowsTheReference) {
  for (int i = 0; i < 2; ++i) {
    const int width = i == 0 ? 640 : 640, height = i == 0 ? 480 : 427;
    split_.samples.push_back(
        {.image_path = folder_.Write(std::to_string(i) + ".jpg", JpegBytes(Picture(width, height))),
         .width = width,
         .height = height});
  }
  options_.imgsz = 640, options_.batch = 1;
  const auto batches = Epoch(*MakeValLoader(split_, options_, true), 0);
  ASSERT_EQ(batches.size(), 2u);
  EXPECT_EQ(batches[0].height, 448);
  EXPECT_EQ(batches[1].height, 512);
  EXPECT_EQ(batches[1].width, 672);
  EXPECT_EQ(batches[1].images[0].pad_left, 16);
  EXPECT_EQ(batches[1].images[0].pad_top, 16);
  EXPECT_EQ(batches[1].pixels[0], 114);
  const auto square = Epoch(*MakeValLoader(split_, options_, false), 0);
  EXPECT_EQ(square[0].height, 640);
  EXPECT_EQ(square[0].images[0].pad_top, 80);
}

TEST_F(Loaders, UnreadableImageIsAnErrorThatNamesIt) {
  Fill(3);
  std::filesystem::remove(split_.samples[1].image_path);
  auto loader = MakeValLoader(split_, options_, false);
  loader->StartEpoch(0);
  const auto batch = loader->Next();
  ASSERT_FALSE(batch.ok());
  EXPECT_THAT(std::string(batch.status().message()), HasSubstr("101.jpg"));
}

TEST_F(Loaders, EpochMayBeGivenUpAndStartedAgain) {
  Fill(12);
  auto loader = MakeTrainLoader(split_, augment_, options_, -1);
  const auto whole = Epoch(*loader, 5);
  for (int i = 0; i < 3; ++i) {
    loader->StartEpoch(i);
    ASSERT_TRUE(loader->Next().ok());
  }
  const auto again = Epoch(*loader, 5);
  ASSERT_EQ(again.size(), whole.size());
  for (size_t i = 0; i < whole.size(); ++i) EXPECT_EQ(again[i].pixels, whole[i].pixels);
}

TEST_F(Loaders, KeepingImagesInMemoryChangesNoPixel) {
  Fill(30);
  options_.batch = 1;
  augment_.mosaic_recent = false;  // nothing is kept
  const auto whole_set = Epoch(*MakeTrainLoader(split_, augment_, options_, -1), 1);
  const absl::StatusOr<std::shared_ptr<ImageArena>> cache = ImageArena::Open(
      ArenaKind::kMemory, folder_.path() + "/cache", split_, options_.imgsz, 1 << 30);
  ASSERT_TRUE(cache.ok()) << cache.status();
  options_.cache = *cache;
  auto cached = MakeTrainLoader(split_, augment_, options_, -1);
  Epoch(*cached, 0);
  const auto from_memory = Epoch(*cached, 1);
  for (size_t i = 0; i < whole_set.size(); ++i)
    EXPECT_EQ(from_memory[i].pixels, whole_set[i].pixels);
  augment_.mosaic_recent = true;
  const auto all_kept = Epoch(*MakeTrainLoader(split_, augment_, options_, -1), 1);
  options_.cache = nullptr;  // those used last are kept
  const auto some_kept = Epoch(*MakeTrainLoader(split_, augment_, options_, -1), 1);
  for (size_t i = 0; i < all_kept.size(); ++i) EXPECT_EQ(some_kept[i].pixels, all_kept[i].pixels);
}

}  // namespace
}  // namespace yoke::engine
