// The training pipeline against the reference's, over 10,080 samples of a drawn data set: how boxes
// and pixels are distributed. make_augmentation_goldens.py recorded the other side.
#include <array>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "server/engine/data/image_arena.h"
#include "server/engine/data/loader.h"
#include "tests/numerics/drawn_set.h"
#include "tests/support/temp_folder.h"

namespace yoke::engine {
namespace {

using nlohmann::json;

constexpr int kImages = 96, kEpochs = 105, kImgsz = 128, kBatch = 4, kCells = 4;

// A ratio of two sums over samples; its standard error takes samples, not boxes, as independent.
class Figure {
 public:
  void Add(double a, double b) { pairs_.emplace_back(a, b); }
  double ratio() const {
    double a = 0, b = 0;
    for (const auto& [x, y] : pairs_) a += x, b += y;
    return a / b;
  }
  double error() const {
    const double r = ratio();
    double squares = 0, b = 0;
    for (const auto& [x, y] : pairs_) squares += (x - r * y) * (x - r * y), b += y;
    return std::sqrt(squares) / b;
  }

 private:
  std::vector<std::pair<double, double>> pairs_;
};

using Figures = std::map<std::string, Figure>;
using Thresholds = std::map<std::string, std::vector<double>>;

void AddBoxes(const std::vector<BatchLabel>& labels, const Thresholds& thresholds,
              Figures& figures) {
  const auto n = static_cast<double>(labels.size());
  std::array<double, kDrawnClasses> classes{};
  std::array<double, kCells * kCells> cells{};
  double clipped = 0;
  std::map<std::string, std::vector<double>> below;
  for (const auto& [key, limits] : thresholds) below[key].resize(limits.size());
  for (const BatchLabel& l : labels) {
    ++classes[static_cast<size_t>(l.class_id)];
    const double x1 = l.x - l.w / 2, y1 = l.y - l.h / 2, x2 = l.x + l.w / 2, y2 = l.y + l.h / 2;
    clipped += x1 < 1e-3 || y1 < 1e-3 || x2 > 1 - 1e-3 || y2 > 1 - 1e-3;
    const auto cell = [](double centre) {
      return std::min(static_cast<int>(centre * kCells), kCells - 1);
    };
    ++cells[static_cast<size_t>(cell(l.y) * kCells + cell(l.x))];
    const std::map<std::string, double> sizes{{"w", l.w}, {"h", l.h}, {"area", double{l.w} * l.h}};
    for (auto& [key, counts] : below) {
      for (size_t i = 0; i < counts.size(); ++i) counts[i] += sizes.at(key) < thresholds.at(key)[i];
    }
  }
  figures["boxes"].Add(n, 1);
  figures["empty"].Add(n == 0, 1);
  figures["clipped"].Add(clipped, n);
  for (size_t k = 0; k < classes.size(); ++k)
    figures["class" + std::to_string(k)].Add(classes[k], n);
  for (size_t i = 0; i < cells.size(); ++i) {
    figures["centre" + std::to_string(i / kCells) + std::to_string(i % kCells)].Add(cells[i], n);
  }
  for (const auto& [key, counts] : below) {
    for (size_t i = 0; i < counts.size(); ++i)
      figures[key + std::to_string(i + 1)].Add(counts[i], n);
  }
}

void AddPixels(const uint8_t* planes, size_t plane, Figures& figures) {
  std::array<uint64_t, 3> sums{}, squares{};
  uint64_t grey = 0;
  for (size_t i = 0; i < plane; ++i) {
    for (size_t c = 0; c < 3; ++c) {
      const uint64_t v = planes[c * plane + i];
      sums[c] += v, squares[c] += v * v;
    }
    grey += planes[i] == planes[plane + i] && planes[i] == planes[2 * plane + i];
  }
  const auto n = static_cast<double>(plane);
  for (size_t c = 0; c < 3; ++c) {
    figures["mean" + std::to_string(c)].Add(static_cast<double>(sums[c]) / n, 1);
    figures["square" + std::to_string(c)].Add(static_cast<double>(squares[c]) / n, 1);
  }
  figures["grey"].Add(static_cast<double>(grey) / n, 1);
}

AugmentConfig ConfigOf(const json& keys, bool modern) {
  AugmentConfig c;
  c.hsv_additive = c.polygon_clip = modern;
  c.mosaic_recent = c.label_half_pixel = !modern;
  const std::map<std::string, double*> numbers{
      {"degrees", &c.degrees}, {"shear", &c.shear},   {"perspective", &c.perspective},
      {"flipud", &c.flipud},   {"bgr", &c.bgr},       {"mosaic", &c.mosaic},
      {"mixup", &c.mixup},     {"cutmix", &c.cutmix}, {"copy_paste", &c.copy_paste}};
  for (const auto& [key, value] : keys.items()) {
    if (key == "mosaic_tiles") {
      c.mosaic_tiles = value;
    } else if (key == "copy_paste_mode") {
      c.copy_paste_mode = value;
    } else if (key != "outlined") {
      *numbers.at(key) = value;
    }
  }
  return c;
}

// The figures of one recorded case, from our pipeline.
Figures Measure(const Split& split, const json& recorded, bool modern, bool closed) {
  const TempFolder folder;
  LoaderOptions options{.batch = kBatch, .imgsz = kImgsz, .threads = 2, .seed = 3};
  options.cache =
      *ImageArena::Open(ArenaKind::kMemory, folder.path(), split, kImgsz, int64_t{1} << 32);
  const auto loader =
      MakeTrainLoader(split, ConfigOf(recorded["keys"], modern), options, closed ? 0 : -1);
  const auto thresholds = recorded["thresholds"].get<Thresholds>();
  Figures figures;
  for (int epoch = 0; epoch < kEpochs; ++epoch) {
    loader->StartEpoch(epoch);
    while (true) {
      absl::StatusOr<std::unique_ptr<Batch>> batch = loader->Next();
      if (!batch.ok()) ADD_FAILURE() << batch.status();
      if (!batch.ok() || *batch == nullptr) break;
      const size_t plane =
          static_cast<size_t>((*batch)->width) * static_cast<size_t>((*batch)->height);
      std::vector<std::vector<BatchLabel>> labels(static_cast<size_t>((*batch)->count));
      for (const BatchLabel& label : (*batch)->labels)
        labels[static_cast<size_t>(label.image)].push_back(label);
      for (size_t i = 0; i < labels.size(); ++i) {
        AddBoxes(labels[i], thresholds, figures);
        AddPixels((*batch)->pixels.data() + i * 3 * plane, plane, figures);
      }
      loader->Recycle(*std::move(batch));
    }
  }
  return figures;
}

class Augmentation : public ::testing::TestWithParam<bool> {};

TEST_P(Augmentation, DistributesBoxesAndPixelsAsTheReference) {
  const bool modern = GetParam();
  const std::string name = modern ? "augmentation_modern.json" : "augmentation_classic.json";
  const char* root = std::getenv("YOKE_SOURCE_DIR");
  std::ifstream file(std::string(root == nullptr ? "." : root) + "/tests/numerics/golden/" + name);
  ASSERT_TRUE(file.good()) << name;
  const TempFolder folder;
  std::map<bool, Split> splits;
  for (const bool outlined : {false, true}) {
    const std::string path = folder / (outlined ? "outlines" : "boxes");
    WriteDrawnSet(path, kImages, outlined);
    auto split = ScanSplit({path + "/images"}, {.class_count = kDrawnClasses, .polygons = true});
    ASSERT_TRUE(split.ok()) << split.status();
    splits[outlined] = *std::move(split);
  }
  const json cases = json::parse(file);
  for (const auto& [key, recorded] : cases.items()) {
    const bool outlined = recorded["keys"].value("outlined", false);
    const Figures ours = Measure(splits[outlined], recorded, modern, key == "closed");
    ASSERT_EQ(ours.size(), recorded["figures"].size());
    for (const auto& [figure, theirs] : recorded["figures"].items()) {
      // Both sides draw by chance: five standard errors of their difference. Over all figures of
      // all cases that happens less than once in a thousand recordings.
      const double value = theirs[0], error = theirs[1];
      const double tolerance = 5 * std::hypot(error, ours.at(figure).error()) + 1e-9;
      EXPECT_NEAR(ours.at(figure).ratio(), value, tolerance) << key << " " << figure;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Eras, Augmentation, ::testing::Bool(),
                         [](const auto& info) { return info.param ? "Modern" : "Classic"; });

}  // namespace
}  // namespace yoke::engine
