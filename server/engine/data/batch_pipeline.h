// Threads that turn a plan of batches into batches, in order, a bounded number ahead.
#pragma once

#include <deque>
#include <memory>
#include <thread>
#include <vector>

#include "common/base/mutex.h"
#include "server/engine/data/loader.h"

namespace yoke::engine {

struct PlannedImage {
  int64_t sample = 0;     // index into Split::samples
  uint64_t position = 0;  // in the epoch over all ranks: what random draws depend on
};

struct BatchPlan {
  int epoch = 0;
  int height = 0, width = 0;
  std::vector<PlannedImage> images;
};

// What is in the batches. Make is called from several threads at once.
class BatchSource {
 public:
  virtual ~BatchSource() = default;
  virtual std::vector<BatchPlan> Plan(int epoch) const = 0;
  virtual int64_t batches_per_epoch() const = 0;
  virtual int64_t images_per_epoch() const = 0;
  // Fills RGB planes of height x width at `pixels` (3 * height * width bytes), the geometry and the labels
  // (their `image` is set by the caller). An unreadable image is an error naming it.
  virtual absl::Status Make(const BatchPlan& plan, const PlannedImage& planned, uint8_t* pixels, BatchImage& image,
                            std::vector<BatchLabel>& labels) = 0;
};

// One image is one piece of work, so a single batch keeps all threads busy. The threads run at nice 5: the
// network's own threads come first. Sets OpenCV's own threading to one thread for the whole process.
class BatchPipeline : public Loader {
 public:
  BatchPipeline(std::unique_ptr<BatchSource> source, int threads, int ring);
  ~BatchPipeline() override;

  void StartEpoch(int epoch, int64_t first_position) override;
  absl::StatusOr<std::unique_ptr<Batch>> Next() override;
  void Recycle(std::unique_ptr<Batch> batch) override;
  int64_t batches_per_epoch() const override { return source_->batches_per_epoch(); }
  int64_t images_per_epoch() const override { return source_->images_per_epoch(); }

 private:
  // A batch being filled. Workers hold it shared, so an epoch given up early needs no waiting.
  struct Work {
    BatchPlan plan;
    std::unique_ptr<Batch> batch;
    std::vector<std::vector<BatchLabel>> labels;  // by image
    size_t next = 0;                              // the first image nobody has taken
    size_t remaining = 0;                         // images not finished
    absl::Status status;
  };

  void Run();
  // The first batch with an image left to take, opening a new one if the ring has room; null if none.
  std::shared_ptr<Work> FindWork() YOKE_REQUIRES(mutex_);
  std::unique_ptr<Batch> TakeBatch() YOKE_REQUIRES(mutex_);

  const std::unique_ptr<BatchSource> source_;
  const size_t ring_;
  Mutex mutex_;
  CondVar work_;      // there may be an image to take
  CondVar finished_;  // a batch is complete
  std::deque<std::shared_ptr<Work>> ahead_ YOKE_GUARDED_BY(mutex_);
  std::vector<BatchPlan> plan_ YOKE_GUARDED_BY(mutex_);
  size_t opened_ YOKE_GUARDED_BY(mutex_) = 0;  // plans that became work
  std::vector<std::unique_ptr<Batch>> spare_ YOKE_GUARDED_BY(mutex_);
  bool stop_ YOKE_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace yoke::engine
