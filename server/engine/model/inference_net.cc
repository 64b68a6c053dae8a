#include "server/engine/model/inference_net.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "ATen/core/grad_mode.h"
#include "absl/strings/str_cat.h"
#include "common/base/mutex.h"
#include "server/engine/kernels/convolution.h"
#include "server/engine/model/blocks.h"
#include "server/engine/model/workspace.h"

namespace yoke::engine {
namespace {

using kernels::ConstMap;
using kernels::Convolution;
using kernels::Map;

// A model's tensors by name.
class State {
 public:
  explicit State(const DetectionModel& model)
      : parameters_(model.named_parameters()), buffers_(model.named_buffers()) {}

  bool Has(const std::string& name) const { return Find(name) != nullptr; }
  at::Tensor Get(const std::string& name) const {
    const at::Tensor* tensor = Find(name);
    TORCH_CHECK(tensor != nullptr, "the network has no ", name);
    return tensor->detach().to(at::kCPU, at::kFloat).contiguous();
  }
  // A ConvBlock, folded or not.
  Convolution Block(const std::string& name, int64_t stride) const {
    at::Tensor weight = Get(name + ".conv.weight"), bias;
    if (Has(name + ".bn.weight")) {
      const at::Tensor factor =
          Get(name + ".bn.weight") / (Get(name + ".bn.running_var") + kBatchNormEps).sqrt();
      weight = weight * factor.reshape({-1, 1, 1, 1});
      bias = Get(name + ".bn.bias") - Get(name + ".bn.running_mean") * factor;
    } else {
      bias = Get(name + ".conv.bias");
    }
    return Make(weight, bias, stride, true);
  }
  Convolution Bare(const std::string& name) const {
    return Make(Get(name + ".weight"), Get(name + ".bias"), 1, false);
  }

 private:
  const at::Tensor* Find(const std::string& name) const {
    const at::Tensor* tensor = parameters_.find(name);
    return tensor != nullptr ? tensor : buffers_.find(name);
  }
  static Convolution Make(const at::Tensor& weight, const at::Tensor& bias, int64_t stride,
                          bool silu) {
    return Convolution({weight.size(1), weight.size(0), weight.size(2), stride, silu},
                       weight.data_ptr<float>(), bias.data_ptr<float>());
  }

  const torch::OrderedDict<std::string, at::Tensor> parameters_, buffers_;
};

void Apply(const Convolution& convolution, const ConstMap& x, const Map& y, Workspace& work,
           const ConstMap* add = nullptr) {
  convolution.Run(x, y, add, work.scratch);
}

// What a convolution of stride 1 gives.
Workspace::Owned Apply(const Convolution& convolution, const ConstMap& x, Workspace& work) {
  Workspace::Owned y = work.Make(x.height, x.width, convolution.out_channels());
  Apply(convolution, x, y, work);
  return y;
}

// All parts lie side by side in one map, each written where the last convolution reads it.
class C2fNet {
 public:
  C2fNet(const State& state, const std::string& name, bool shortcut)
      : cv1_(state.Block(name + ".cv1", 1)),
        cv2_(state.Block(name + ".cv2", 1)),
        shortcut_(shortcut) {
    for (int i = 0; state.Has(absl::StrCat(name, ".m.", i, ".cv1.conv.weight")); ++i) {
      const std::string bottleneck = absl::StrCat(name, ".m.", i);
      bottlenecks_.emplace_back(state.Block(bottleneck + ".cv1", 1),
                                state.Block(bottleneck + ".cv2", 1));
    }
  }

  void Run(const ConstMap& x, const Map& y, Workspace& work) const {
    const int64_t hidden = cv1_.out_channels() / 2;
    const auto count = static_cast<int64_t>(bottlenecks_.size());
    const Workspace::Owned parts = work.Make(x.height, x.width, (2 + count) * hidden);
    Apply(cv1_, x, parts.Slice(0, 2 * hidden), work);
    for (int64_t i = 0; i < count; ++i) {
      const auto& [first, second] = bottlenecks_[static_cast<size_t>(i)];
      const ConstMap from = parts.Slice((1 + i) * hidden, hidden);
      const Workspace::Owned between = Apply(first, from, work);
      Apply(second, between, parts.Slice((2 + i) * hidden, hidden), work,
            shortcut_ ? &from : nullptr);
    }
    Apply(cv2_, parts, y, work);
  }

  int64_t out_channels() const { return cv2_.out_channels(); }

 private:
  Convolution cv1_, cv2_;
  std::vector<std::pair<Convolution, Convolution>> bottlenecks_;
  bool shortcut_;
};

void Copy(const ConstMap& x, const Map& y) {
  for (int64_t i = 0; i < x.height; ++i) {
    for (int64_t j = 0; j < x.width; ++j)
      std::copy_n(x.at + i * x.row + j * x.step, x.channels, y.at + i * y.row + j * y.step);
  }
}

// y = the largest of the 5 x 5 around each pixel, columns first.
void Pool5(const ConstMap& x, const Map& y, Workspace& work) {
  const auto larger = kernels::Loops().conv.larger;
  const Workspace::Owned across = work.Make(x.height, x.width, x.channels);
  const auto pool = [&](const ConstMap& from, const Map& to, int64_t di, int64_t dj) {
    Copy(from, to);
    for (const int64_t d : {-2, -1, 1, 2}) {
      for (int64_t i = std::max<int64_t>(0, -d * di); i < std::min(x.height, x.height - d * di);
           ++i) {
        for (int64_t j = std::max<int64_t>(0, -d * dj); j < std::min(x.width, x.width - d * dj);
             ++j) {
          larger(from.at + (i + d * di) * from.row + (j + d * dj) * from.step, x.channels,
                 to.at + i * to.row + j * to.step);
        }
      }
    }
  };
  pool(x, across, 0, 1);
  pool(across, y, 1, 0);
}

class SppfNet {
 public:
  SppfNet(const State& state, const std::string& name)
      : cv1_(state.Block(name + ".cv1", 1)), cv2_(state.Block(name + ".cv2", 1)) {}

  void Run(const ConstMap& x, const Map& y, Workspace& work) const {
    const int64_t hidden = cv1_.out_channels();
    const Workspace::Owned parts = work.Make(x.height, x.width, 4 * hidden);
    Apply(cv1_, x, parts.Slice(0, hidden), work);
    for (int64_t i = 0; i < 3; ++i)
      Pool5(parts.Slice(i * hidden, hidden), parts.Slice((i + 1) * hidden, hidden), work);
    Apply(cv2_, parts, y, work);
  }

  int64_t out_channels() const { return cv2_.out_channels(); }

 private:
  Convolution cv1_, cv2_;
};

// Each pixel becomes four.
void Upsample(const ConstMap& x, const Map& y) {
  for (int64_t i = 0; i < 2 * x.height; ++i) {
    for (int64_t j = 0; j < 2 * x.width; ++j) {
      std::copy_n(x.at + i / 2 * x.row + j / 2 * x.step, x.channels, y.at + i * y.row + j * y.step);
    }
  }
}

class BranchNet {
 public:
  BranchNet(const State& state, const std::string& name)
      : first_(state.Block(name + ".0", 1)),
        second_(state.Block(name + ".1", 1)),
        last_(state.Bare(name + ".2")) {}

  void Run(const ConstMap& x, const Map& y, Workspace& work) const {
    const Workspace::Owned a = Apply(first_, x, work);
    const Workspace::Owned b = Apply(second_, a, work);
    Apply(last_, b, y, work);
  }

 private:
  Convolution first_, second_, last_;
};

// Image `index` of (B, C, H, W), whose pixels lie apart by the padded number of channels.
Map MapOf(const at::Tensor& tensor, int64_t index) {
  return {tensor.data_ptr<float>() + index * tensor.stride(0),
          tensor.size(2),
          tensor.size(3),
          kernels::PaddedChannels(tensor.size(1)),
          tensor.stride(3),
          tensor.stride(2)};
}

}  // namespace

// Numbered as the reference's layers.
struct InferenceNet::Impl {
  explicit Impl(const State& s, int class_count_in)
      : class_count(class_count_in),
        down0(s.Block("model.0", 2)),
        down1(s.Block("model.1", 2)),
        down3(s.Block("model.3", 2)),
        down5(s.Block("model.5", 2)),
        down7(s.Block("model.7", 2)),
        down16(s.Block("model.16", 2)),
        down19(s.Block("model.19", 2)),
        c2f2(s, "model.2", true),
        c2f4(s, "model.4", true),
        c2f6(s, "model.6", true),
        c2f8(s, "model.8", true),
        c2f12(s, "model.12", false),
        c2f15(s, "model.15", false),
        c2f18(s, "model.18", false),
        c2f21(s, "model.21", false),
        sppf9(s, "model.9") {
    for (int level = 0; level < 3; ++level) {
      box.emplace_back(s, absl::StrCat("model.22.cv2.", level));
      cls.emplace_back(s, absl::StrCat("model.22.cv3.", level));
    }
  }

  void Run(const uint8_t* rgb, int64_t index, HeadMaps& maps, Workspace& work) const;

  int class_count;
  Convolution down0, down1, down3, down5, down7, down16, down19;
  C2fNet c2f2, c2f4, c2f6, c2f8, c2f12, c2f15, c2f18, c2f21;
  SppfNet sppf9;
  std::vector<BranchNet> box, cls;
  Mutex mutex;
  std::vector<std::unique_ptr<Workspace>> idle YOKE_GUARDED_BY(mutex);
};

void InferenceNet::Impl::Run(const uint8_t* rgb, int64_t index, HeadMaps& maps,
                             Workspace& work) const {
  const int64_t h3 = maps.box[0].size(2), w3 = maps.box[0].size(3), h4 = h3 / 2, w4 = w3 / 2,
                h5 = h4 / 2, w5 = w4 / 2;
  const int64_t p3_width = c2f4.out_channels(), p4_width = c2f6.out_channels(),
                p5_width = sppf9.out_channels(), n4_width = c2f12.out_channels();
  const int64_t width16 = down16.out_channels(), width19 = down19.out_channels();
  // The maps that several layers put together, and who writes which channels of them.
  const Workspace::Owned to12 = work.Make(h4, w4, p5_width + p4_width);
  const Workspace::Owned to15 = work.Make(h3, w3, n4_width + p3_width);
  const Workspace::Owned to18 = work.Make(h4, w4, width16 + n4_width);
  const Workspace::Owned to21 = work.Make(h5, w5, width19 + p5_width);
  const Map p3 = to15.Slice(n4_width, p3_width), p4 = to12.Slice(p5_width, p4_width),
            n4 = to18.Slice(width16, n4_width), p5 = to21.Slice(width19, p5_width);
  {
    const Workspace::Owned x2 = work.Make(2 * h3, 2 * w3, c2f2.out_channels());
    {
      const Workspace::Owned x1 = work.Make(2 * h3, 2 * w3, down1.out_channels());
      {
        const Workspace::Owned x0 = work.Make(4 * h3, 4 * w3, down0.out_channels());
        const int64_t height = 8 * h3, width = 8 * w3;
        const Workspace::Owned image = work.Make(height, width, 3);
        for (int64_t i = 0; i < height; ++i) {
          const uint8_t* const row = rgb + i * width;
          const uint8_t* const planes[] = {row, row + height * width, row + 2 * height * width};
          kernels::Loops().conv.pixels_of_planes(planes, width, image.at + i * image.row);
        }
        Apply(down0, image, x0, work);
        Apply(down1, x0, x1, work);
      }
      c2f2.Run(x1, x2, work);
    }
    const Workspace::Owned x3 = work.Make(h3, w3, down3.out_channels());
    Apply(down3, x2, x3, work);
    c2f4.Run(x3, p3, work);
  }
  {
    const Workspace::Owned x5 = work.Make(h4, w4, down5.out_channels());
    Apply(down5, p3, x5, work);
    c2f6.Run(x5, p4, work);
  }
  {
    const Workspace::Owned x7 = work.Make(h5, w5, down7.out_channels());
    Apply(down7, p4, x7, work);
    const Workspace::Owned x8 = work.Make(h5, w5, c2f8.out_channels());
    c2f8.Run(x7, x8, work);
    sppf9.Run(x8, p5, work);
  }
  Upsample(p5, to12.Slice(0, p5_width));
  c2f12.Run(to12, n4, work);
  Upsample(n4, to15.Slice(0, n4_width));
  const Workspace::Owned out3 = work.Make(h3, w3, c2f15.out_channels());
  c2f15.Run(to15, out3, work);
  Apply(down16, out3, to18.Slice(0, width16), work);
  const Workspace::Owned out4 = work.Make(h4, w4, c2f18.out_channels());
  c2f18.Run(to18, out4, work);
  Apply(down19, out4, to21.Slice(0, width19), work);
  const Workspace::Owned out5 = work.Make(h5, w5, c2f21.out_channels());
  c2f21.Run(to21, out5, work);
  const ConstMap levels[] = {out3, out4, out5};
  for (size_t level = 0; level < 3; ++level) {
    box[level].Run(levels[level], MapOf(maps.box[level], index), work);
    cls[level].Run(levels[level], MapOf(maps.cls[level], index), work);
  }
}

InferenceNet::InferenceNet(const DetectionModel& model) {
  const at::NoGradGuard no_gradients;
  impl_ = std::make_unique<Impl>(State(model), model.spec().class_count);
}
InferenceNet::~InferenceNet() = default;
InferenceNet::InferenceNet(InferenceNet&&) noexcept = default;

HeadMaps InferenceNet::MakeMaps(int64_t count, int64_t height, int64_t width) const {
  HeadMaps maps;
  const auto make = [&](int64_t stride, int64_t channels) {
    return at::empty({count, height / stride, width / stride, kernels::PaddedChannels(channels)},
                     at::kFloat)
        .narrow(3, 0, channels)
        .permute({0, 3, 1, 2});
  };
  for (size_t level = 0; level < maps.box.size(); ++level) {
    maps.box[level] = make(kLevelStrides[level], 4 * kRegMax);
    maps.cls[level] = make(kLevelStrides[level], impl_->class_count);
  }
  return maps;
}

void InferenceNet::Run(const uint8_t* rgb, int64_t index, HeadMaps& maps) const {
  std::unique_ptr<Workspace> work;
  {
    MutexLock lock(impl_->mutex);
    if (!impl_->idle.empty()) {
      work = std::move(impl_->idle.back());
      impl_->idle.pop_back();
    }
  }
  if (work == nullptr) work = std::make_unique<Workspace>();
  impl_->Run(rgb, index, maps, *work);
  MutexLock lock(impl_->mutex);
  impl_->idle.push_back(std::move(work));
}

}  // namespace yoke::engine
