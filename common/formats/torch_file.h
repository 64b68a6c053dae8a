// The .pt container of torch.save: a zip of one pickle and the raw storages that its tensors view.
// Gives the inert tree and, checked, the bytes of each tensor. Oracle: torch.load.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "common/formats/pickle.h"
#include "common/formats/zip_reader.h"

namespace yoke::formats {

enum class ElementType {
  kFloat16,
  kBFloat16,
  kFloat32,
  kFloat64,
  kInt64,
  kInt32,
  kInt16,
  kInt8,
  kUint8,
  kBool
};
int ElementBytes(ElementType type);

// A tensor inside the file. Its elements lie within `bytes`, which begin with the first one and may
// lie at any address, aligned or not.
struct StoredTensor {
  ElementType type = ElementType::kFloat32;
  std::vector<int64_t> sizes, strides;  // in elements; strides are not negative
  absl::Span<const uint8_t> bytes;
};

// Holds no copy: the bytes must outlive it. Not thread-safe.
class TorchFile {
 public:
  // InvalidArgument: no zip archive, damaged, big-endian, a refused pickle; says which.
  static absl::StatusOr<TorchFile> Open(absl::Span<const uint8_t> bytes);

  const PickleNode& root() const { return tree_.root(); }

  static bool IsTensor(const PickleNode& node);
  // What `node` (_rebuild_tensor_v2 or _rebuild_parameter) describes. InvalidArgument: it reaches
  // outside its storage, or is of a type that weights do not have. DataLoss, NotFound: its storage
  // is damaged or missing.
  absl::StatusOr<StoredTensor> Tensor(const PickleNode& node) const;

 private:
  TorchFile(ZipReader zip, PickleTree tree, std::string prefix)
      : zip_(std::move(zip)), tree_(std::move(tree)), prefix_(std::move(prefix)) {}
  absl::StatusOr<absl::Span<const uint8_t>> Storage(const std::string& key) const;

  ZipReader zip_;
  PickleTree tree_;
  std::string prefix_;  // "archive/" of "archive/data.pkl"
  // Storages that many tensors share are checked once.
  mutable std::map<std::string, absl::Span<const uint8_t>> checked_;
};

}  // namespace yoke::formats
