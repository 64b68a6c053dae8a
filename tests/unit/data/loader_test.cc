#include "server/engine/data/loader.h"

#include <chrono>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <numeric>
#include <set>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/data/pictures.h"
#include "tests/unit/data/temp_folder.h"

namespace yoke::engine {
namespace {

using ::testing::HasSubstr;

// `count` pictures of mixed shapes, each with a box around its middle.
class Loaders : public ::testing::Test {
 protected:
  void Fill(int count) {
    for (int i = 0; i < count; ++i) {
      const int width = 60 + 20 * (i % 3), height = 100 - 20 * (i % 4);
      const std::string name = "images/" + std::to_string(100 + i) + ".jpg";
      split_.samples.push_back({.image_path = folder_.Write(name, JpegBytes(Picture(width, height, i))),
                                .width = width,
                                .height = height,
                                .labels = {{.class_id = i, .x = 0.5f, .y = 0.5f, .w = 0.5f, .h = 0.5f}}});
    }
  }
  static std::vector<Batch> Epoch(Loader& loader, int epoch) {
    std::vector<Batch> batches;
    loader.StartEpoch(epoch);
    while (true) {
      auto batch = loader.Next();
      EXPECT_TRUE(batch.ok()) << batch.status();
      if (!batch.ok() || *batch == nullptr) return batches;
      batches.push_back(**batch);
      loader.Recycle(*std::move(batch));
    }
  }
  static uint64_t Sum(const std::vector<uint8_t>& pixels) {
    uint64_t sum = 0;
    for (size_t i = 0; i < pixels.size(); ++i) sum = sum * 31 + pixels[i];
    return sum;
  }

  TempFolder folder_;
  Split split_;
  AugmentConfig augment_;
  LoaderOptions options_{.batch = 4, .imgsz = 96, .threads = 2, .seed = 7};
};

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
  augment_.mixup = 0.5, augment_.degrees = 10, augment_.flipud = 0.5;
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
    for (size_t i = 0; i < runs[0].size(); ++i) {
      EXPECT_EQ(runs[0][i].pixels, runs[run][i].pixels);
      ASSERT_EQ(runs[0][i].labels.size(), runs[run][i].labels.size());
      for (size_t k = 0; k < runs[0][i].labels.size(); ++k) EXPECT_EQ(runs[0][i].labels[k].x, runs[run][i].labels[k].x);
    }
  }
  EXPECT_NE(Sum(Epoch(*fresh, 4)[0].pixels), Sum(runs[0][0].pixels));
}

TEST_F(Loaders, TwoRanksSeeTheImagesOneRankSees) {
  Fill(8);
  auto all = Epoch(*MakeTrainLoader(split_, augment_, options_, -1), 1);
  std::vector<std::vector<Batch>> ranks;
  for (int rank = 0; rank < 2; ++rank) {
    LoaderOptions options = options_;
    options.rank = rank, options.world_size = 2, options.batch = 2;
    ranks.push_back(Epoch(*MakeTrainLoader(split_, augment_, options, -1), 1));
  }
  const size_t image = 3 * 96 * 96;
  for (size_t b = 0; b < all.size(); ++b) {
    for (size_t i = 0; i < 4; ++i) {
      const Batch& part = ranks[i % 2][b];
      EXPECT_TRUE(std::equal(part.pixels.begin() + static_cast<ptrdiff_t>(i / 2 * image),
                             part.pixels.begin() + static_cast<ptrdiff_t>((i / 2 + 1) * image),
                             all[b].pixels.begin() + static_cast<ptrdiff_t>(i * image)));
    }
  }
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

TEST_F(Loaders, ClosedMosaicLeavesOneImageWithItsBox) {
  Fill(4);
  augment_ = {.hsv_h = 0, .hsv_s = 0, .hsv_v = 0, .translate = 0, .scale = 0, .fliplr = 0, .mixup = 1.0};
  auto loader = MakeTrainLoader(split_, augment_, options_, /*close_mosaic_from=*/2);
  const auto closed = Epoch(*loader, 2);
  ASSERT_EQ(closed.size(), 1u);
  ASSERT_EQ(closed[0].labels.size(), 4u);
  for (size_t i = 0; i < 4; ++i) {
    const BatchLabel& label = closed[0].labels[i];
    const Sample& sample = split_.samples[static_cast<size_t>(closed[0].images[i].sample)];
    EXPECT_EQ(label.image, static_cast<int64_t>(i));
    EXPECT_EQ(label.class_id, closed[0].images[i].sample);
    const double longest = std::max(sample.width, sample.height);
    EXPECT_NEAR(label.x, 0.5, 0.01);
    EXPECT_NEAR(label.w, 0.5 * sample.width / longest, 0.02);
    EXPECT_NEAR(label.h, 0.5 * sample.height / longest, 0.02);
  }
  // With the mosaic open and mixup certain, most images carry boxes of several classes.
  EXPECT_GT(Epoch(*loader, 1)[0].labels.size(), 4u);
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
        EXPECT_NEAR((label.x * static_cast<float>(batch.width) - static_cast<float>(image.pad_left)) / image.gain_x,
                    image.original.width / 2.0, 1e-3);
        EXPECT_NEAR((label.y * static_cast<float>(batch.height) - static_cast<float>(image.pad_top)) / image.gain_y,
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
    split_.samples.push_back({.image_path = folder_.Write(std::to_string(i) + ".jpg", JpegBytes(Picture(width, height))),
                              .width = width, .height = height});
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

TEST_F(Loaders, RamCacheChangesNoPixel) {
  Fill(6);
  const auto plain = Epoch(*MakeTrainLoader(split_, augment_, options_, -1), 1);
  options_.cache_ram = true;
  auto cached = MakeTrainLoader(split_, augment_, options_, -1);
  Epoch(*cached, 0);
  EXPECT_EQ(Epoch(*cached, 1)[0].pixels, plain[0].pixels);
}

}  // namespace
}  // namespace yoke::engine
