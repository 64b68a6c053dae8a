// batch=-1: as many images at once as fit into memory.
#pragma once

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "common/formats/step_memory_file.h"
#include "server/engine/config.h"
#include "server/engine/data/dataset.h"
#include "server/engine/distributed/group.h"
#include "server/engine/loss/detection_loss.h"
#include "server/engine/model/detection_model.h"
#include "server/engine/observer.h"

namespace yoke::engine {

using StepMemory = formats::StepMemory;

// Share of the free memory that a batch may take; the rest is for loaders, validation and others.
inline constexpr double kMemoryShare = 0.6;
inline constexpr int64_t kAutoBatchMax = 1024;  // images a rank

// Fits the line through the peaks of ever larger batches. `peak(images)`: bytes that a step with so
// many takes; nothing: it does not fit. Stops at half of `budget`. ResourceExhausted: not even one
// image fits.
absl::StatusOr<StepMemory> MeasureStep(
    double budget, const std::function<std::optional<double>(int64_t images)>& peak);

// The most images of a rank that `budget` bytes take, at least 1.
int64_t ImagesWithin(double budget, const StepMemory& memory);

// Ground truths of `images` images, each like a mosaic of the `tiles` images with the most objects.
Targets DensestTargets(const Split& train, int tiles, int64_t images);

// Measures steps of the real network, criterion, optimiser and average on this rank's device, all
// ranks at once, and returns the number of images per iteration over all ranks: what the rank with
// the least memory can take, times their number; not more than there are images. What was measured
// is kept in config.cache_dir for the next training of the same model, image size, device and
// precision. ResourceExhausted: one image is too much. Unavailable: a peer was lost.
absl::StatusOr<int64_t> FindBatch(const TrainConfig& config, const ModelSpec& spec,
                                  const Split& train, const DetectionLoss& loss, at::Device device,
                                  Group& group, Observer& observer);

}  // namespace yoke::engine
