// Threads that read, decode and letterbox this rank's images, in order, a bounded number ahead.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "common/base/mutex.h"
#include "server/engine/label/letterbox.h"
#include "server/engine/label/plan.h"

namespace yoke::engine {

struct ReaderOptions {
  int imgsz = 640;
  bool overwrite = false;
  int threads = 1;
  int rank = 0, world_size = 1;
  int ahead = 16;                      // images kept ready
  std::shared_ptr<JpegDecoder> jpegs;  // see DecodeImage; null: the host decodes all
};

// An image as it comes out of the reader.
struct LabelInput {
  enum Kind { kReady, kKept, kFailed };
  Kind kind = kFailed;
  const LabelItem* item = nullptr;
  std::string failure;       // kFailed: why
  RectFit fit;               // kReady
  std::vector<uint8_t> rgb;  // kReady: planes of fit.input
};

// Rank k reads items k, k + world size, ...; an image whose label file is kept is not opened. Sets
// OpenCV's own threading to one thread for the whole process. Used by one thread.
class ImageReader {
 public:
  // `items` outlive the reader.
  ImageReader(const std::vector<LabelItem>& items, const ReaderOptions& options);
  ~ImageReader();  // does not wait for images nobody has started on

  // Waits for the next image; nothing after the last one.
  std::optional<LabelInput> Next();

 private:
  void Run();
  LabelInput Read(const LabelItem& item) const;

  const std::vector<LabelItem>& items_;
  const ReaderOptions options_;
  const size_t count_;  // images of this rank
  Mutex mutex_;
  CondVar room_, ready_;
  std::vector<std::optional<LabelInput>> ring_
      YOKE_GUARDED_BY(mutex_);  // image i at i mod its size
  size_t started_ YOKE_GUARDED_BY(mutex_) = 0;
  size_t taken_ YOKE_GUARDED_BY(mutex_) = 0;
  bool stop_ YOKE_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace yoke::engine
