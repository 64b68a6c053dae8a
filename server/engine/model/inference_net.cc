#include "server/engine/model/inference_net.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "ATen/core/grad_mode.h"
#include "absl/strings/str_cat.h"
#include "common/base/mutex.h"
#include "server/engine/kernels/convolution.h"
#include "server/engine/kernels/tile_convolution.h"
#include "server/engine/model/blocks.h"
#include "server/engine/model/workspace.h"

namespace yoke::engine {
namespace {

using kernels::Convolution;
using kernels::TileConvolution;

template <typename Conv>
using MapFor = kernels::MapOf<typename Conv::Value>;
template <typename Conv>
using ConstMapFor = kernels::MapOf<const typename Conv::Value>;
template <typename Conv>
using WorkspaceFor = Workspace<typename Conv::Value>;
template <typename Conv>
using OwnedBy = typename WorkspaceFor<Conv>::Owned;

// What networks in float32 and in bfloat16 do differently besides.
template <typename Conv>
struct Arithmetic;
template <>
struct Arithmetic<Convolution> {
  static constexpr int64_t kImageChannels = 3;
  static const kernels::ConvLoops& LoopsOf(const Convolution&) { return kernels::Loops().conv; }
  template <typename Out>
  static void Run(const Convolution& convolution, const kernels::ConstMap& x, const Out& y,
                  const kernels::ConstMap* add, WorkspaceFor<Convolution>& work) {
    convolution.Run(x, y, add, work.scratch);
  }
};
template <>
struct Arithmetic<TileConvolution> {
  static constexpr int64_t kImageChannels = kernels::kImageChannels;
  static const kernels::TileLoops& LoopsOf(const TileConvolution& convolution) {
    return convolution.loops();
  }
  template <typename Out>
  static void Run(const TileConvolution& convolution, const ConstMapFor<TileConvolution>& x,
                  const Out& y, const ConstMapFor<TileConvolution>* add,
                  WorkspaceFor<TileConvolution>&) {
    convolution.Run(x, y, add);
  }
};

// A model's tensors by name.
class State {
 public:
  // tiles: what TileConvolutions are to work with.
  State(const DetectionModel& model, const kernels::TileLoops* tiles)
      : parameters_(model.named_parameters()), buffers_(model.named_buffers()), tiles_(tiles) {}

  bool Has(const std::string& name) const { return Find(name) != nullptr; }
  at::Tensor Get(const std::string& name) const {
    const at::Tensor* tensor = Find(name);
    TORCH_CHECK(tensor != nullptr, "the network has no ", name);
    return tensor->detach().to(at::kCPU, at::kFloat).contiguous();
  }
  // A ConvBlock, folded or not.
  template <typename Conv>
  Conv Block(const std::string& name, int64_t stride) const {
    at::Tensor weight = Get(name + ".conv.weight"), bias;
    if (Has(name + ".bn.weight")) {
      const at::Tensor factor =
          Get(name + ".bn.weight") / (Get(name + ".bn.running_var") + kBatchNormEps).sqrt();
      weight = weight * factor.reshape({-1, 1, 1, 1});
      bias = Get(name + ".bn.bias") - Get(name + ".bn.running_mean") * factor;
    } else {
      bias = Get(name + ".conv.bias");
    }
    return Make<Conv>(weight, bias, stride, true);
  }
  template <typename Conv>
  Conv Bare(const std::string& name) const {
    return Make<Conv>(Get(name + ".weight"), Get(name + ".bias"), 1, false);
  }

 private:
  const at::Tensor* Find(const std::string& name) const {
    const at::Tensor* tensor = parameters_.find(name);
    return tensor != nullptr ? tensor : buffers_.find(name);
  }
  template <typename Conv>
  Conv Make(const at::Tensor& weight, const at::Tensor& bias, int64_t stride, bool silu) const {
    const typename Conv::Shape shape = {weight.size(1), weight.size(0), weight.size(2), stride,
                                        silu};
    const float* const w = weight.data_ptr<float>();
    const float* const b = bias.data_ptr<float>();
    if constexpr (std::is_same_v<Conv, TileConvolution>) {
      return Conv(shape, w, b, *tiles_);
    } else {
      return Conv(shape, w, b);
    }
  }

  const torch::OrderedDict<std::string, at::Tensor> parameters_, buffers_;
  const kernels::TileLoops* const tiles_;
};

template <typename Conv, typename Out>
void Apply(const Conv& convolution, const ConstMapFor<Conv>& x, const Out& y,
           WorkspaceFor<Conv>& work, const ConstMapFor<Conv>* add = nullptr) {
  Arithmetic<Conv>::Run(convolution, x, y, add, work);
}

// What a convolution of stride 1 gives.
template <typename Conv>
OwnedBy<Conv> Apply(const Conv& convolution, const ConstMapFor<Conv>& x, WorkspaceFor<Conv>& work) {
  OwnedBy<Conv> y = work.Make(x.height, x.width, convolution.out_channels());
  Apply(convolution, x, y, work);
  return y;
}

// All parts lie side by side in one map, each written where the last convolution reads it.
template <typename Conv>
class C2fNet {
 public:
  C2fNet(const State& state, const std::string& name, bool shortcut)
      : cv1_(state.Block<Conv>(name + ".cv1", 1)),
        cv2_(state.Block<Conv>(name + ".cv2", 1)),
        shortcut_(shortcut) {
    for (int i = 0; state.Has(absl::StrCat(name, ".m.", i, ".cv1.conv.weight")); ++i) {
      const std::string bottleneck = absl::StrCat(name, ".m.", i);
      bottlenecks_.emplace_back(state.Block<Conv>(bottleneck + ".cv1", 1),
                                state.Block<Conv>(bottleneck + ".cv2", 1));
    }
  }

  void Run(const ConstMapFor<Conv>& x, const MapFor<Conv>& y, WorkspaceFor<Conv>& work) const {
    const int64_t hidden = cv1_.out_channels() / 2;
    const auto count = static_cast<int64_t>(bottlenecks_.size());
    const OwnedBy<Conv> parts = work.Make(x.height, x.width, (2 + count) * hidden);
    Apply(cv1_, x, parts.Slice(0, 2 * hidden), work);
    for (int64_t i = 0; i < count; ++i) {
      const auto& [first, second] = bottlenecks_[static_cast<size_t>(i)];
      const ConstMapFor<Conv> from = parts.Slice((1 + i) * hidden, hidden);
      const OwnedBy<Conv> between = Apply(first, from, work);
      Apply(second, between, parts.Slice((2 + i) * hidden, hidden), work,
            shortcut_ ? &from : nullptr);
    }
    Apply(cv2_, parts, y, work);
  }

  int64_t out_channels() const { return cv2_.out_channels(); }

 private:
  Conv cv1_, cv2_;
  std::vector<std::pair<Conv, Conv>> bottlenecks_;
  bool shortcut_;
};

template <typename T>
void Copy(const kernels::MapOf<const T>& x, const kernels::MapOf<T>& y) {
  for (int64_t i = 0; i < x.height; ++i) {
    for (int64_t j = 0; j < x.width; ++j)
      std::copy_n(x.at + i * x.row + j * x.step, x.channels, y.at + i * y.row + j * y.step);
  }
}

// y = the largest of the 5 x 5 around each pixel, columns first, by the loops of `convolution`.
template <typename Conv>
void Pool5(const ConstMapFor<Conv>& x, const MapFor<Conv>& y, const Conv& convolution,
           WorkspaceFor<Conv>& work) {
  const auto larger = Arithmetic<Conv>::LoopsOf(convolution).larger;
  const OwnedBy<Conv> across = work.Make(x.height, x.width, x.channels);
  const auto pool = [&](const ConstMapFor<Conv>& from, const MapFor<Conv>& to, int64_t di,
                        int64_t dj) {
    Copy<typename Conv::Value>(from, to);
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

template <typename Conv>
class SppfNet {
 public:
  SppfNet(const State& state, const std::string& name)
      : cv1_(state.Block<Conv>(name + ".cv1", 1)), cv2_(state.Block<Conv>(name + ".cv2", 1)) {}

  void Run(const ConstMapFor<Conv>& x, const MapFor<Conv>& y, WorkspaceFor<Conv>& work) const {
    const int64_t hidden = cv1_.out_channels();
    const OwnedBy<Conv> parts = work.Make(x.height, x.width, 4 * hidden);
    Apply(cv1_, x, parts.Slice(0, hidden), work);
    for (int64_t i = 0; i < 3; ++i)
      Pool5<Conv>(parts.Slice(i * hidden, hidden), parts.Slice((i + 1) * hidden, hidden), cv1_,
                  work);
    Apply(cv2_, parts, y, work);
  }

  int64_t out_channels() const { return cv2_.out_channels(); }

 private:
  Conv cv1_, cv2_;
};

// Each pixel becomes four.
template <typename T>
void Upsample(const kernels::MapOf<T>& x, const kernels::MapOf<T>& y) {
  for (int64_t i = 0; i < 2 * x.height; ++i) {
    for (int64_t j = 0; j < 2 * x.width; ++j) {
      std::copy_n(x.at + i / 2 * x.row + j / 2 * x.step, x.channels, y.at + i * y.row + j * y.step);
    }
  }
}

template <typename Conv>
class BranchNet {
 public:
  BranchNet(const State& state, const std::string& name)
      : first_(state.Block<Conv>(name + ".0", 1)),
        second_(state.Block<Conv>(name + ".1", 1)),
        last_(state.Bare<Conv>(name + ".2")) {}

  void Run(const ConstMapFor<Conv>& x, const kernels::Map& y, WorkspaceFor<Conv>& work) const {
    const OwnedBy<Conv> a = Apply(first_, x, work);
    const OwnedBy<Conv> b = Apply(second_, a, work);
    Apply(last_, b, y, work);
  }

 private:
  Conv first_, second_, last_;
};

// Image `index` of (B, C, H, W), whose pixels lie apart by the padded number of channels.
kernels::Map MapIn(const at::Tensor& tensor, int64_t index) {
  return {tensor.data_ptr<float>() + index * tensor.stride(0),
          tensor.size(2),
          tensor.size(3),
          kernels::PaddedChannels(tensor.size(1)),
          tensor.stride(3),
          tensor.stride(2)};
}

}  // namespace

class InferenceNet::Impl {
 public:
  explicit Impl(int class_count_in) : class_count(class_count_in) {}
  virtual ~Impl() = default;
  virtual void Run(const uint8_t* rgb, int64_t index, HeadMaps& maps) = 0;

  const int class_count;
};

// Numbered as the reference's layers.
template <typename Conv>
class InferenceNet::ImplOf : public Impl {
 public:
  ImplOf(const State& s, int class_count_in)
      : Impl(class_count_in),
        down0(Block(s, "model.0")),
        down1(Block(s, "model.1")),
        down3(Block(s, "model.3")),
        down5(Block(s, "model.5")),
        down7(Block(s, "model.7")),
        down16(Block(s, "model.16")),
        down19(Block(s, "model.19")),
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

  void Run(const uint8_t* rgb, int64_t index, HeadMaps& maps) override;

 private:
  using Space = WorkspaceFor<Conv>;
  using Owned = typename Space::Owned;

  static Conv Block(const State& s, const std::string& name) { return s.Block<Conv>(name, 2); }
  void RunIn(const uint8_t* rgb, int64_t index, HeadMaps& maps, Space& work) const;

  Conv down0, down1, down3, down5, down7, down16, down19;
  C2fNet<Conv> c2f2, c2f4, c2f6, c2f8, c2f12, c2f15, c2f18, c2f21;
  SppfNet<Conv> sppf9;
  std::vector<BranchNet<Conv>> box, cls;
  Mutex mutex;
  std::vector<std::unique_ptr<Space>> idle YOKE_GUARDED_BY(mutex);
};

template <typename Conv>
void InferenceNet::ImplOf<Conv>::RunIn(const uint8_t* rgb, int64_t index, HeadMaps& maps,
                                       Space& work) const {
  const int64_t h3 = maps.box[0].size(2), w3 = maps.box[0].size(3), h4 = h3 / 2, w4 = w3 / 2,
                h5 = h4 / 2, w5 = w4 / 2;
  const int64_t p3_width = c2f4.out_channels(), p4_width = c2f6.out_channels(),
                p5_width = sppf9.out_channels(), n4_width = c2f12.out_channels();
  const int64_t width16 = down16.out_channels(), width19 = down19.out_channels();
  // The maps that several layers put together, and who writes which channels of them.
  const Owned to12 = work.Make(h4, w4, p5_width + p4_width);
  const Owned to15 = work.Make(h3, w3, n4_width + p3_width);
  const Owned to18 = work.Make(h4, w4, width16 + n4_width);
  const Owned to21 = work.Make(h5, w5, width19 + p5_width);
  const MapFor<Conv> p3 = to15.Slice(n4_width, p3_width), p4 = to12.Slice(p5_width, p4_width),
                     n4 = to18.Slice(width16, n4_width), p5 = to21.Slice(width19, p5_width);
  {
    const Owned x2 = work.Make(2 * h3, 2 * w3, c2f2.out_channels());
    {
      const Owned x1 = work.Make(2 * h3, 2 * w3, down1.out_channels());
      {
        const Owned x0 = work.Make(4 * h3, 4 * w3, down0.out_channels());
        const int64_t height = 8 * h3, width = 8 * w3;
        const Owned image = work.Make(height, width, Arithmetic<Conv>::kImageChannels);
        const auto pixels_of_planes = Arithmetic<Conv>::LoopsOf(down0).pixels_of_planes;
        for (int64_t i = 0; i < height; ++i) {
          const uint8_t* const row = rgb + i * width;
          const uint8_t* const planes[] = {row, row + height * width, row + 2 * height * width};
          pixels_of_planes(planes, width, image.at + i * image.row);
        }
        Apply(down0, image, x0, work);
        Apply(down1, x0, x1, work);
      }
      c2f2.Run(x1, x2, work);
    }
    const Owned x3 = work.Make(h3, w3, down3.out_channels());
    Apply(down3, x2, x3, work);
    c2f4.Run(x3, p3, work);
  }
  {
    const Owned x5 = work.Make(h4, w4, down5.out_channels());
    Apply(down5, p3, x5, work);
    c2f6.Run(x5, p4, work);
  }
  {
    const Owned x7 = work.Make(h5, w5, down7.out_channels());
    Apply(down7, p4, x7, work);
    const Owned x8 = work.Make(h5, w5, c2f8.out_channels());
    c2f8.Run(x7, x8, work);
    sppf9.Run(x8, p5, work);
  }
  Upsample<typename Conv::Value>(p5, to12.Slice(0, p5_width));
  c2f12.Run(to12, n4, work);
  Upsample<typename Conv::Value>(n4, to15.Slice(0, n4_width));
  const Owned out3 = work.Make(h3, w3, c2f15.out_channels());
  c2f15.Run(to15, out3, work);
  Apply(down16, out3, to18.Slice(0, width16), work);
  const Owned out4 = work.Make(h4, w4, c2f18.out_channels());
  c2f18.Run(to18, out4, work);
  Apply(down19, out4, to21.Slice(0, width19), work);
  const Owned out5 = work.Make(h5, w5, c2f21.out_channels());
  c2f21.Run(to21, out5, work);
  const ConstMapFor<Conv> levels[] = {out3, out4, out5};
  for (size_t level = 0; level < 3; ++level) {
    box[level].Run(levels[level], MapIn(maps.box[level], index), work);
    cls[level].Run(levels[level], MapIn(maps.cls[level], index), work);
  }
}

template <typename Conv>
void InferenceNet::ImplOf<Conv>::Run(const uint8_t* rgb, int64_t index, HeadMaps& maps) {
  std::unique_ptr<Space> work;
  {
    MutexLock lock(mutex);
    if (!idle.empty()) {
      work = std::move(idle.back());
      idle.pop_back();
    }
  }
  if (work == nullptr) work = std::make_unique<Space>();
  RunIn(rgb, index, maps, *work);
  MutexLock lock(mutex);
  idle.push_back(std::move(work));
}

InferenceNet::InferenceNet(const DetectionModel& model) {
  const at::NoGradGuard no_gradients;
  impl_ = std::make_unique<ImplOf<Convolution>>(State(model, nullptr), model.spec().class_count);
}
InferenceNet::InferenceNet(const DetectionModel& model, const kernels::TileLoops& tiles) {
  const at::NoGradGuard no_gradients;
  impl_ = std::make_unique<ImplOf<TileConvolution>>(State(model, &tiles), model.spec().class_count);
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
  impl_->Run(rgb, index, maps);
}

}  // namespace yoke::engine
