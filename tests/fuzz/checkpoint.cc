// Any bytes as the pickle of a checkpoint, in a sound archive with three small storages: each
// tensor lies inside its storage, and a detector is read or refused. (A changed archive fails its
// checksums first; that is the target `zip`.)
#include <vector>

#include "common/formats/detector_file.h"
#include "common/formats/torch_file.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/formats/archive_builder.h"

namespace {

using yoke::formats::PickleNode;
using yoke::formats::StoredTensor;
using yoke::formats::TorchFile;

constexpr int kNodesMax = 20'000;

// The address of the element with the largest index in every dimension is the last one in `bytes`.
void CheckTensor(const StoredTensor& tensor) {
  const size_t item = yoke::formats::ElementBytes(tensor.type);
  YOKE_CHECK(tensor.sizes.size() == tensor.strides.size());
  size_t last = 0;
  bool is_empty = false;
  for (size_t i = 0; i < tensor.sizes.size(); ++i) {
    YOKE_CHECK(tensor.sizes[i] >= 0 && tensor.strides[i] >= 0);
    if (tensor.sizes[i] == 0)
      is_empty = true;
    else
      last += static_cast<size_t>(tensor.sizes[i] - 1) * static_cast<size_t>(tensor.strides[i]);
  }
  YOKE_CHECK(is_empty ? tensor.bytes.empty() : tensor.bytes.size() == (last + 1) * item);
  yoke::fuzz::Touch(tensor.bytes);
}

void ReadTensors(const TorchFile& file) {
  std::vector<const PickleNode*> waiting = {&file.root()};
  for (int i = 0; i < kNodesMax && !waiting.empty(); ++i) {
    const PickleNode* node = waiting.back();
    waiting.pop_back();
    if (node == nullptr) continue;
    if (TorchFile::IsTensor(*node)) {
      const auto tensor = file.Tensor(*node);
      if (tensor.ok()) CheckTensor(*tensor);
    }
    waiting.insert(waiting.end(), node->items.begin(), node->items.end());
    for (const auto& [key, value] : node->entries) waiting.insert(waiting.end(), {key, value});
    waiting.insert(waiting.end(), {node->args, node->state});
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string archive = yoke::formats::BuildZip({{"a/data.pkl", yoke::fuzz::Text(data, size)},
                                                       {"a/byteorder", "little"},
                                                       {"a/data/0", std::string(256, '\x3c')},
                                                       {"a/data/1", std::string(34, '\x3c')},
                                                       {"a/data/2", std::string(8, '\0')}});
  const auto file = TorchFile::Open(yoke::formats::AsBytes(archive));
  if (!file.ok()) {
    yoke::fuzz::CheckRefusal(file.status());
    return 0;
  }
  ReadTensors(*file);
  const auto detector = yoke::formats::ReadDetector(*file);
  if (detector.ok()) {
    YOKE_CHECK(detector->names.size() == static_cast<size_t>(detector->shape.class_count));
  } else {
    yoke::fuzz::CheckRefusal(detector.status());
  }
  return 0;
}
