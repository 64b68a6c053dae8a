#include "common/formats/detector_layout.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"

namespace yoke::formats {
namespace {

constexpr int kBoxChannels = 64;  // 4 sides x 16 bins

constexpr DetectorScale kScales[] = {{'n', 0.33, 0.25, 1024},
                                     {'s', 0.33, 0.50, 1024},
                                     {'m', 0.67, 0.75, 768},
                                     {'l', 1.0, 1.0, 512},
                                     {'x', 1.0, 1.25, 512}};

const DetectorScale& ScaleOf(char name) {
  const DetectorScale* found = FindDetectorScale(name);
  return found == nullptr ? kScales[0] : *found;
}

class Layout {
 public:
  explicit Layout(const DetectorShape& shape) : shape_(shape), scale_(ScaleOf(shape.scale)) {}

  std::map<std::string, std::vector<int64_t>> Build() {
    const auto w = [this](int channels) { return scale_.Channels(channels); };
    const auto conv = [&](int index, int in, int out) { Conv(Layer(index), in, w(out), 3); };
    conv(0, 3, 64);
    conv(1, w(64), 128);
    C2f(2, w(128), 128, 3);
    conv(3, w(128), 256);
    C2f(4, w(256), 256, 6);
    conv(5, w(256), 512);
    C2f(6, w(512), 512, 6);
    conv(7, w(512), 1024);
    C2f(8, w(1024), 1024, 3);
    Conv(Layer(9) + "cv1.", w(1024), w(1024) / 2, 1);
    Conv(Layer(9) + "cv2.", w(1024) / 2 * 4, w(1024), 1);
    C2f(12, w(1024) + w(512), 512, 3);
    C2f(15, w(512) + w(256), 256, 3);
    conv(16, w(256), 256);
    C2f(18, w(256) + w(512), 512, 3);
    conv(19, w(512), 512);
    C2f(21, w(512) + w(1024), 1024, 3);
    const int levels[] = {w(256), w(512), w(1024)};
    const int box_width = std::max(kBoxChannels, levels[0] / 4);
    for (int i = 0; i < 3; ++i) {
      Branch(absl::StrCat(Layer(22), "cv2.", i, "."), levels[i], box_width, kBoxChannels);
      Branch(absl::StrCat(Layer(22), "cv3.", i, "."), levels[i], shape_.class_width,
             shape_.class_count);
    }
    state_[Layer(22) + "dfl.conv.weight"] = {1, kBoxChannels / 4, 1, 1};
    return std::move(state_);
  }

 private:
  static std::string Layer(int index) { return absl::StrCat("model.", index, "."); }

  void Conv(const std::string& prefix, int in, int out, int kernel) {
    state_[prefix + "conv.weight"] = {out, in, kernel, kernel};
    for (const char* name : {"weight", "bias", "running_mean", "running_var"})
      state_[absl::StrCat(prefix, "bn.", name)] = {out};
    state_[prefix + "bn.num_batches_tracked"] = {};
  }
  void C2f(int index, int in, int channels, int repeats) {
    const int out = scale_.Channels(channels), hidden = out / 2, depth = scale_.Repeats(repeats);
    Conv(Layer(index) + "cv1.", in, 2 * hidden, 1);
    Conv(Layer(index) + "cv2.", (2 + depth) * hidden, out, 1);
    for (int i = 0; i < depth; ++i) {
      for (const char* name : {"cv1.", "cv2."})
        Conv(absl::StrCat(Layer(index), "m.", i, ".", name), hidden, hidden, 3);
    }
  }
  void Branch(const std::string& prefix, int in, int width, int out) {
    Conv(prefix + "0.", in, width, 3);
    Conv(prefix + "1.", width, width, 3);
    state_[prefix + "2.weight"] = {out, width, 1, 1};
    state_[prefix + "2.bias"] = {out};
  }

  const DetectorShape& shape_;
  const DetectorScale& scale_;
  std::map<std::string, std::vector<int64_t>> state_;
};

}  // namespace

int DetectorScale::Channels(int wide) const {
  return static_cast<int>(std::ceil(std::min(wide, max_channels) * width / 8)) * 8;
}

int DetectorScale::Repeats(int deep) const {
  return std::max(static_cast<int>(std::nearbyint(deep * depth)), 1);
}

const DetectorScale* FindDetectorScale(char name) {
  for (const DetectorScale& scale : kScales) {
    if (scale.name == name) return &scale;
  }
  return nullptr;
}

char ScaleOfFirstLayer(int64_t channels) {
  for (const DetectorScale& scale : kScales) {
    if (scale.Channels(64) == channels) return scale.name;
  }
  return '\0';
}

std::map<std::string, std::vector<int64_t>> DetectorState(const DetectorShape& shape) {
  return Layout(shape).Build();
}

}  // namespace yoke::formats
