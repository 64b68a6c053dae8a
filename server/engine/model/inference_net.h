// A detection network for inference on CPUs, in float32 by kernels/convolution.h or in bfloat16 by
// kernels/tile_convolution.h. Each image is worked on by one thread from its bytes to the head's
// maps, so images run side by side without waiting for each other, and an image's result depends on
// nothing but the image.
#pragma once

#include <cstdint>
#include <memory>

#include "server/engine/kernels/tile_loops.h"
#include "server/engine/model/detection_model.h"
#include "server/engine/model/head_maps.h"

namespace yoke::engine {

class InferenceNet {
 public:
  // Takes a copy of the weights, in order for the loops and with BatchNorms folded; `model` stays
  // as it is. Costs about as much as an image. Throws what LibTorch throws. In float32.
  explicit InferenceNet(const DetectionModel& model);
  // In bfloat16.
  InferenceNet(const DetectionModel& model, const kernels::TileLoops& tiles);
  ~InferenceNet();
  InferenceNet(InferenceNet&&) noexcept;

  // For the results of `count` images of height x width px, multiples of 32; float32, channels
  // last, not filled.
  HeadMaps MakeMaps(int64_t count, int64_t height, int64_t width) const;

  // rgb: (3, H, W) bytes. Fills image `index` of `maps`, whose shape says H and W. Any number of
  // threads at once, each with its own index. Throws std::bad_alloc.
  void Run(const uint8_t* rgb, int64_t index, HeadMaps& maps) const;

 private:
  class Impl;
  template <typename Convolution>
  class ImplOf;
  std::unique_ptr<Impl> impl_;
};

}  // namespace yoke::engine
