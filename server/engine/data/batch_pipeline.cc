#include "server/engine/data/batch_pipeline.h"

#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/engine/data/opencv_threads.h"

namespace yoke::engine {
namespace {

constexpr int kThreadsMax = 256;
constexpr int kNice = 5;

}  // namespace

BatchPipeline::BatchPipeline(std::unique_ptr<BatchSource> source, int threads, int ring)
    : source_(std::move(source)), ring_(static_cast<size_t>(std::max(ring, 1))) {
  UseOneOpenCvThread();
  for (int i = 0; i < std::clamp(threads, 1, kThreadsMax); ++i)
    threads_.emplace_back([this] { Run(); });
}

BatchPipeline::~BatchPipeline() {
  {
    MutexLock lock(mutex_);
    stop_ = true;
    work_.NotifyAll();
  }
  for (std::thread& thread : threads_) thread.join();
}

void BatchPipeline::StartEpoch(int epoch, int64_t first_position) {
  std::vector<BatchPlan> plan = source_->Plan(epoch, first_position);
  MutexLock lock(mutex_);
  plan_ = std::move(plan);
  opened_ = 0;
  ahead_.clear();
  work_.NotifyAll();
}

std::unique_ptr<Batch> BatchPipeline::TakeBatch() {
  if (spare_.empty()) return std::make_unique<Batch>();
  std::unique_ptr<Batch> batch = std::move(spare_.back());
  spare_.pop_back();
  return batch;
}

std::shared_ptr<BatchPipeline::Work> BatchPipeline::FindWork() {
  for (const std::shared_ptr<Work>& work : ahead_) {
    if (work->next < work->plan.images.size()) return work;
  }
  if (ahead_.size() >= ring_ || opened_ >= plan_.size()) return nullptr;
  auto work = std::make_shared<Work>();
  work->plan = std::move(plan_[opened_++]);
  const size_t count = work->plan.images.size();
  work->remaining = count;
  work->labels.resize(count);
  work->batch = TakeBatch();
  work->batch->count = static_cast<int>(count);
  work->batch->height = work->plan.size.height;
  work->batch->width = work->plan.size.width;
  work->batch->pixels.resize(count * 3 * static_cast<size_t>(work->plan.size.area()));
  work->batch->images.assign(count, {});
  work->batch->labels.clear();
  ahead_.push_back(work);
  return work;
}

void BatchPipeline::Run() {
  ::setpriority(PRIO_PROCESS, static_cast<id_t>(::syscall(SYS_gettid)), kNice);
  while (true) {
    std::shared_ptr<Work> work;
    size_t index = 0;
    {
      MutexLock lock(mutex_);
      while (!stop_ && (work = FindWork()) == nullptr) work_.Wait(mutex_);
      if (stop_) return;
      index = work->next++;
    }
    Batch& batch = *work->batch;
    const PlannedImage& planned = work->plan.images[index];
    const size_t image_bytes =
        3 * static_cast<size_t>(batch.height) * static_cast<size_t>(batch.width);
    absl::Status status;
    try {
      const CpuClock::Running running(make_clock_);
      status = source_->Make(work->plan, planned, batch.pixels.data() + index * image_bytes,
                             batch.images[index], work->labels[index]);
    } catch (const std::exception& e) {
      status = absl::InternalError(absl::StrCat("loading an image failed: ", e.what()));
    }
    MutexLock lock(mutex_);
    if (!status.ok() && work->status.ok()) work->status = status;
    if (--work->remaining == 0) finished_.NotifyAll();
  }
}

absl::StatusOr<std::unique_ptr<Batch>> BatchPipeline::Next() {
  std::shared_ptr<Work> work;
  {
    MutexLock lock(mutex_);
    if (ahead_.empty() && opened_ >= plan_.size()) return nullptr;
    while (ahead_.empty() || ahead_.front()->remaining > 0) finished_.Wait(mutex_);
    work = std::move(ahead_.front());
    ahead_.pop_front();
    work_.NotifyAll();
  }
  if (!work->status.ok()) return work->status;
  for (size_t i = 0; i < work->labels.size(); ++i) {
    for (BatchLabel& label : work->labels[i]) {
      label.image = static_cast<int64_t>(i);
      work->batch->labels.push_back(label);
    }
  }
  return std::move(work->batch);
}

LoaderTimes BatchPipeline::times() const {
  const double decode = source_->decode_clock().seconds();
  return {.decode_seconds = decode,
          .augment_seconds = std::max(make_clock_.seconds() - decode, 0.0)};
}

void BatchPipeline::Recycle(std::unique_ptr<Batch> batch) {
  MutexLock lock(mutex_);
  if (batch != nullptr && spare_.size() < ring_ + 1) spare_.push_back(std::move(batch));
}

}  // namespace yoke::engine
