#include "server/engine/label/image_reader.h"

#include <algorithm>
#include <exception>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "server/engine/data/opencv_threads.h"
#include "server/engine/label/label_files.h"

namespace yoke::engine {
namespace {

constexpr int kThreadsMax = 256;

size_t ShareOf(size_t count, int rank, int world_size) {
  const auto first = static_cast<size_t>(rank), stride = static_cast<size_t>(world_size);
  return count <= first ? 0 : (count - first + stride - 1) / stride;
}

}  // namespace

ImageReader::ImageReader(const std::vector<LabelItem>& items, const ReaderOptions& options)
    : items_(items),
      options_(options),
      count_(ShareOf(items.size(), options.rank, options.world_size)),
      ring_(static_cast<size_t>(std::max(options.ahead, 1))) {
  UseOneOpenCvThread();
  for (int i = 0; i < std::clamp(options.threads, 1, kThreadsMax); ++i) {
    threads_.emplace_back([this] { Run(); });
  }
}

ImageReader::~ImageReader() {
  {
    MutexLock lock(mutex_);
    stop_ = true;
    room_.NotifyAll();
  }
  for (std::thread& thread : threads_) thread.join();
}

std::optional<LabelInput> ImageReader::Next() {
  MutexLock lock(mutex_);
  if (taken_ >= count_) return std::nullopt;
  std::optional<LabelInput>& slot = ring_[taken_ % ring_.size()];
  while (!slot.has_value()) ready_.Wait(mutex_);
  std::optional<LabelInput> input = std::move(slot);
  slot.reset();
  ++taken_;
  room_.NotifyAll();
  return input;
}

void ImageReader::Run() {
  while (true) {
    size_t index = 0;
    {
      MutexLock lock(mutex_);
      while (!stop_ && started_ < count_ && started_ >= taken_ + ring_.size()) room_.Wait(mutex_);
      if (stop_ || started_ >= count_) return;
      index = started_++;
    }
    const size_t item =
        static_cast<size_t>(options_.rank) + index * static_cast<size_t>(options_.world_size);
    LabelInput input = Read(items_[item]);
    MutexLock lock(mutex_);
    ring_[index % ring_.size()] = std::move(input);
    ready_.NotifyAll();
  }
}

LabelInput ImageReader::Read(const LabelItem& item) const {
  LabelInput input;
  input.item = &item;
  if (!item.refusal.empty()) {
    input.failure = item.refusal;
    return input;
  }
  const Existing existing = WhatExists(item.label_path);
  if (existing != Existing::kNothing && !options_.overwrite) {
    input.kind = LabelInput::kKept;
    return input;
  }
  if (existing == Existing::kOther) {
    input.failure = absl::StrCat(item.label_path, " is no label file and is not overwritten");
    return input;
  }
  try {
    const absl::StatusOr<cv::Mat> image = ReadImage(item.image_path, options_.jpegs.get());
    if (!image.ok()) {
      const std::string reason(image.status().message());
      input.failure = std::string(absl::StripPrefix(reason, item.image_path + ": "));
      return input;
    }
    input.fit = FitRect({image->cols, image->rows}, options_.imgsz);
    input.rgb.resize(3 * static_cast<size_t>(input.fit.input.width) *
                     static_cast<size_t>(input.fit.input.height));
    FillInput(*image, input.fit, input.rgb.data());
    input.kind = LabelInput::kReady;
  } catch (const std::exception& error) {
    input.failure = absl::StrCat("cannot be prepared: ", error.what());
  }
  return input;
}

}  // namespace yoke::engine
