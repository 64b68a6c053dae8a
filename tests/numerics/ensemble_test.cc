// Fusion against what ensemble-boxes and the papers' pseudo-code make of the same boxes.
#include "server/engine/eval/ensemble.h"

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/numerics/golden_file.h"

namespace yoke::engine {
namespace {

// Both sides hold boxes of up to 640 px as float32, and the package fuses them as fractions.
constexpr float kPixels = 2e-3f;
constexpr float kConfidence = 2e-6f;

class Fusion : public ::testing::TestWithParam<const char*> {
 protected:
  // (N, columns) as rows.
  std::vector<std::vector<float>> Rows(const std::string& name) const {
    const at::Tensor& tensor = golden_.at(absl::StrCat(GetParam(), ".", name));
    std::vector<std::vector<float>> rows;
    for (int64_t i = 0; i < tensor.size(0); ++i) {
      const float* row = tensor.data_ptr<float>() + i * tensor.size(1);
      rows.emplace_back(row, row + tensor.size(1));
    }
    return rows;
  }

  void ExpectRecorded(EnsembleOptions::Method method, const std::string& name, double conf) const {
    const at::Tensor& config = golden_.at(absl::StrCat(GetParam(), ".config"));
    EnsembleOptions options;
    options.method = method;
    options.iou = config[0].item<double>();
    options.conf = conf;
    options.max_det = 1000;
    for (int64_t i = 1; i < config.size(0); ++i)
      options.weights.push_back(config[i].item<double>());
    std::vector<std::vector<Detection>> members(options.weights.size());
    for (const std::vector<float>& r : Rows("boxes")) {
      members[static_cast<size_t>(r[0])].push_back(
          {r[1], r[2], r[3], r[4], r[5], static_cast<int>(r[6])});
    }
    const std::vector<Detection> fused = Fuse(members, options);
    const std::vector<std::vector<float>> want = Rows(name);
    ASSERT_EQ(fused.size(), want.size());
    for (size_t i = 0; i < want.size(); ++i) {
      SCOPED_TRACE(i);
      EXPECT_NEAR(fused[i].x1, want[i][0], kPixels);
      EXPECT_NEAR(fused[i].y1, want[i][1], kPixels);
      EXPECT_NEAR(fused[i].x2, want[i][2], kPixels);
      EXPECT_NEAR(fused[i].y2, want[i][3], kPixels);
      EXPECT_NEAR(fused[i].confidence, want[i][4], kConfidence);
      EXPECT_EQ(fused[i].class_id, static_cast<int>(want[i][5]));
    }
  }

 private:
  const std::map<std::string, at::Tensor> golden_ = ReadGolden("ensemble.golden");
};

TEST_P(Fusion, WeightedBoxes) { ExpectRecorded(EnsembleOptions::kWeightedBoxes, "wbf", 0); }
TEST_P(Fusion, Suppression) { ExpectRecorded(EnsembleOptions::kNms, "nms", 0); }
TEST_P(Fusion, SoftSuppression) { ExpectRecorded(EnsembleOptions::kSoftNms, "soft_nms", 0.01); }

INSTANTIATE_TEST_SUITE_P(Recorded, Fusion, ::testing::Values("two", "three_weighted", "crowd"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace yoke::engine
