#include "tests/numerics/golden_file.h"

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>

#include "common/base/check.h"

namespace yoke::engine {
namespace {

constexpr int kBins = 16;
constexpr char kMagic[] = "YOKEGLD1";

}  // namespace

std::string GoldenPath(const std::string& file_name) {
  const char* root = std::getenv("YOKE_SOURCE_DIR");
  return std::string(root == nullptr ? "." : root) + "/tests/numerics/golden/" + file_name;
}

std::map<std::string, at::Tensor> ReadGolden(const std::string& file_name) {
  std::ifstream file(GoldenPath(file_name), std::ios::binary);
  const std::string bytes(std::istreambuf_iterator<char>(file), {});
  size_t at = sizeof kMagic - 1;
  YOKE_CHECK_MSG(bytes.compare(0, at, kMagic) == 0,
                 GoldenPath(file_name) + " is missing or no golden file");
  const auto take = [&](void* to, size_t size) {
    YOKE_CHECK_MSG(size <= bytes.size() - at, file_name + " breaks off");
    std::memcpy(to, bytes.data() + at, size);
    at += size;
  };
  std::map<std::string, at::Tensor> tensors;
  while (at < bytes.size()) {
    uint32_t name_size = 0, dimensions = 0;
    take(&name_size, sizeof name_size);
    std::string name(name_size, '\0');
    take(name.data(), name_size);
    take(&dimensions, sizeof dimensions);
    std::vector<int64_t> sizes(dimensions);
    take(sizes.data(), dimensions * sizeof(int64_t));
    at::Tensor tensor = at::empty(sizes, at::kFloat);
    take(tensor.data_ptr(), tensor.numel() * sizeof(float));
    tensors[name] = tensor;
  }
  return tensors;
}

at::Tensor RecordedUniform(uint32_t seed, int64_t count) {
  at::Tensor values = at::empty({count}, at::kFloat);
  float* out = values.data_ptr<float>();
  for (int64_t i = 0; i < count; ++i) {
    uint32_t x = static_cast<uint32_t>(i) + seed * 1000003u;
    x ^= x >> 16;
    x *= 0x7FEB352Du;
    x ^= x >> 15;
    x *= 0x846CA68Bu;
    x ^= x >> 16;
    out[i] = static_cast<float>(x >> 8) * 0x1p-24f;
  }
  return values;
}

std::vector<at::Tensor> RecordedMaps(uint32_t seed, int64_t batch, int64_t classes, int64_t height,
                                     int64_t width, double slope) {
  std::vector<at::Tensor> maps;
  const at::Tensor bins = at::arange(4 * kBins, at::kFloat).remainder(kBins).reshape({1, -1, 1, 1});
  for (int level = 0; level < 3; ++level) {
    const int64_t stride = 8 << level, h = height / stride, w = width / stride,
                  channels = 4 * kBins + classes;
    const at::Tensor u = RecordedUniform(seed * 10 + level, batch * channels * h * w)
                             .reshape({batch, channels, h, w});
    const at::Tensor boxes = (u.narrow(1, 0, 4 * kBins) - 0.5) * 8 - bins * slope;
    const at::Tensor scores = (u.narrow(1, 4 * kBins, classes) - 0.75) * 8;
    maps.push_back(at::cat({boxes, scores}, 1).requires_grad_(true));
  }
  return maps;
}

}  // namespace yoke::engine
