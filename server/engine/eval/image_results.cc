// Per image: two counts, then its detections and its ground truths' classes, as they lie in memory:
// all ranks run the same program.
#include "server/engine/eval/image_results.h"

#include <cstdint>
#include <cstring>
#include <type_traits>

namespace yoke::engine {
namespace {

static_assert(std::is_trivially_copyable_v<MatchedDetection>);

template <typename T>
void Put(std::string& bytes, const T* values, size_t count) {
  bytes.append(reinterpret_cast<const char*>(values), count * sizeof(T));
}

template <typename T>
bool Take(const std::string& bytes, size_t& at, T* values, size_t count) {
  if (count > (bytes.size() - at) / sizeof(T)) return false;
  std::memcpy(values, bytes.data() + at, count * sizeof(T));
  at += count * sizeof(T);
  return true;
}

}  // namespace

std::string EncodeImageResults(const std::vector<ImageResult>& results) {
  std::string bytes;
  for (const ImageResult& result : results) {
    const uint32_t counts[2] = {static_cast<uint32_t>(result.detections.size()),
                                static_cast<uint32_t>(result.gt_classes.size())};
    Put(bytes, counts, 2);
    Put(bytes, result.detections.data(), result.detections.size());
    Put(bytes, result.gt_classes.data(), result.gt_classes.size());
  }
  return bytes;
}

absl::Status DecodeImageResults(const std::string& bytes, std::vector<ImageResult>& results) {
  const absl::Status broken = absl::InternalError("a rank sent results that break off");
  for (size_t at = 0; at < bytes.size();) {
    uint32_t counts[2];
    if (!Take(bytes, at, counts, 2)) return broken;
    if (counts[0] > bytes.size() || counts[1] > bytes.size()) return broken;
    ImageResult result;
    result.detections.resize(counts[0]);
    result.gt_classes.resize(counts[1]);
    if (!Take(bytes, at, result.detections.data(), counts[0])) return broken;
    if (!Take(bytes, at, result.gt_classes.data(), counts[1])) return broken;
    results.push_back(std::move(result));
  }
  return absl::OkStatus();
}

}  // namespace yoke::engine
