// Loaders over a few small pictures.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "server/engine/data/loader.h"
#include "tests/support/temp_folder.h"
#include "tests/unit/data/pictures.h"

namespace yoke::engine {

// `count` pictures of mixed shapes, each with a box around its middle.
class Loaders : public ::testing::Test {
 protected:
  void Fill(int count) {
    for (int i = 0; i < count; ++i) {
      const int width = 60 + 20 * (i % 3), height = 100 - 20 * (i % 4);
      const std::string name = "images/" + std::to_string(100 + i) + ".jpg";
      split_.samples.push_back(
          {.image_path = folder_.Write(name, JpegBytes(Picture(width, height, i))),
           .width = width,
           .height = height,
           .labels = {{.class_id = i, .x = 0.5f, .y = 0.5f, .w = 0.5f, .h = 0.5f}}});
    }
  }
  // Everything there is, on pictures with outlines.
  void AugmentInEveryWay() {
    for (Sample& sample : split_.samples) {
      sample.polygon_xy = {.25f, .25f, .75f, .25f, .75f, .75f, .5f, .4f};
      sample.polygon_ends = {4};
    }
    augment_ = {.degrees = 10,
                .flipud = 0.5,
                .bgr = 0.5,
                .mosaic = 0.7,
                .mixup = 0.5,
                .cutmix = 0.5,
                .mosaic_tiles = 9,
                .copy_paste = 0.5};
  }
  static std::vector<Batch> Epoch(Loader& loader, int epoch, int64_t first_position = 0) {
    std::vector<Batch> batches;
    loader.StartEpoch(epoch, first_position);
    while (true) {
      auto batch = loader.Next();
      EXPECT_TRUE(batch.ok()) << batch.status();
      if (!batch.ok() || *batch == nullptr) return batches;
      batches.push_back(**batch);
      loader.Recycle(*std::move(batch));
    }
  }
  static void ExpectSame(const Batch& a, const Batch& b) {
    EXPECT_EQ(a.height, b.height);
    EXPECT_EQ(a.width, b.width);
    EXPECT_EQ(a.pixels, b.pixels);
    ASSERT_EQ(a.labels.size(), b.labels.size());
    for (size_t k = 0; k < a.labels.size(); ++k) {
      EXPECT_EQ(a.labels[k].image, b.labels[k].image);
      EXPECT_EQ(a.labels[k].class_id, b.labels[k].class_id);
      EXPECT_EQ(a.labels[k].x, b.labels[k].x);
      EXPECT_EQ(a.labels[k].h, b.labels[k].h);
    }
  }
  // The images of a global batch, which ranks of equal batches share in turn.
  static std::vector<std::vector<uint8_t>> Images(const std::vector<const Batch*>& ranks) {
    std::vector<std::vector<uint8_t>> images;
    const int64_t bytes = int64_t{3} * ranks[0]->height * ranks[0]->width;
    for (int i = 0; i < ranks[0]->count; ++i) {
      for (const Batch* batch : ranks) {
        if (i >= batch->count) continue;
        const auto begin = batch->pixels.begin() + i * bytes;
        images.emplace_back(begin, begin + bytes);
      }
    }
    return images;
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

}  // namespace yoke::engine
