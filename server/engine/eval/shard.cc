// A message is the losses, then the parts, each behind its length.
#include "server/engine/eval/shard.h"

#include <string>

#include "common/base/status_macros.h"
#include "server/engine/eval/bytes.h"
#include "server/engine/eval/image_results.h"

namespace yoke::engine {
namespace {

struct Losses {
  double box, cls, dfl;
  int64_t batches;
};

absl::Status Broken() { return absl::InternalError("a rank sent half a result"); }

void PutPart(std::string& bytes, const std::string& part) {
  const uint64_t size = part.size();
  PutBytes(bytes, &size, 1);
  bytes += part;
}

bool TakePart(const std::string& bytes, size_t& at, std::string& part) {
  uint64_t size = 0;
  if (!TakeBytes(bytes, at, &size, 1) || size > bytes.size() - at) return false;
  part = bytes.substr(at, size);
  at += size;
  return true;
}

std::string Encode(const Shard& shard) {
  std::string bytes;
  const Losses losses{shard.box_loss, shard.cls_loss, shard.dfl_loss, shard.batches};
  PutBytes(bytes, &losses, 1);
  PutPart(bytes, EncodeImageResults(shard.images));
  PutPart(bytes, EncodeConfusion(shard.confusion));
  PutPart(bytes, EncodeDetections(shard.detections));
  for (const std::vector<ImageResult>& member : shard.members)
    PutPart(bytes, EncodeImageResults(member));
  return bytes;
}

absl::Status Append(const std::string& bytes, Shard& whole) {
  size_t at = 0;
  Losses losses;
  std::string images, confusion, detections, member_images;
  if (!TakeBytes(bytes, at, &losses, 1) || !TakePart(bytes, at, images) ||
      !TakePart(bytes, at, confusion) || !TakePart(bytes, at, detections)) {
    return Broken();
  }
  whole.box_loss += losses.box;
  whole.cls_loss += losses.cls;
  whole.dfl_loss += losses.dfl;
  whole.batches += losses.batches;
  YOKE_RETURN_IF_ERROR(DecodeImageResults(images, whole.images));
  YOKE_RETURN_IF_ERROR(AddConfusion(confusion, whole.confusion));
  YOKE_RETURN_IF_ERROR(DecodeDetections(detections, whole.detections));
  for (std::vector<ImageResult>& member : whole.members) {
    if (!TakePart(bytes, at, member_images)) return Broken();
    YOKE_RETURN_IF_ERROR(DecodeImageResults(member_images, member));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Shard> Gather(const Shard& mine, Group& group) {
  YOKE_ASSIGN_OR_RETURN(const std::vector<std::string> all, group.AllGatherBytes(Encode(mine)));
  Shard whole;
  whole.members.resize(mine.members.size());
  whole.confusion = EmptyConfusion(mine.confusion.classes);
  for (const std::string& one : all) YOKE_RETURN_IF_ERROR(Append(one, whole));
  return whole;
}

}  // namespace yoke::engine
