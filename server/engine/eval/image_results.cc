// Per image: two counts, then its detections and its ground truths' classes.
#include "server/engine/eval/image_results.h"

#include <cstdint>
#include <utility>

#include "server/engine/eval/bytes.h"

namespace yoke::engine {

std::string EncodeImageResults(const std::vector<ImageResult>& results) {
  std::string bytes;
  for (const ImageResult& result : results) {
    const uint32_t counts[2] = {static_cast<uint32_t>(result.detections.size()),
                                static_cast<uint32_t>(result.gt_classes.size())};
    PutBytes(bytes, counts, 2);
    PutBytes(bytes, result.detections.data(), result.detections.size());
    PutBytes(bytes, result.gt_classes.data(), result.gt_classes.size());
  }
  return bytes;
}

absl::Status DecodeImageResults(const std::string& bytes, std::vector<ImageResult>& results) {
  const absl::Status broken = absl::InternalError("a rank sent results that break off");
  for (size_t at = 0; at < bytes.size();) {
    uint32_t counts[2];
    if (!TakeBytes(bytes, at, counts, 2)) return broken;
    if (counts[0] > bytes.size() || counts[1] > bytes.size()) return broken;
    ImageResult result;
    result.detections.resize(counts[0]);
    result.gt_classes.resize(counts[1]);
    if (!TakeBytes(bytes, at, result.detections.data(), counts[0])) return broken;
    if (!TakeBytes(bytes, at, result.gt_classes.data(), counts[1])) return broken;
    results.push_back(std::move(result));
  }
  return absl::OkStatus();
}

}  // namespace yoke::engine
