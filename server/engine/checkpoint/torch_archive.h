// The .pt container: a zip of one pickle and the raw storages it refers to. Reading gives the inert
// tree and its tensors; torch_value.h writes.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "ATen/ATen.h"
#include "absl/status/statusor.h"
#include "common/formats/pickle.h"
#include "common/formats/zip_reader.h"

namespace yoke::engine {

class TorchArchive {
 public:
  // NotFound: no such file. InvalidArgument, starting with the path: empty, no zip, truncated, a
  // refused pickle.
  static absl::StatusOr<std::unique_ptr<TorchArchive>> Open(const std::string& path);
  ~TorchArchive();
  TorchArchive(const TorchArchive&) = delete;
  TorchArchive& operator=(const TorchArchive&) = delete;

  const formats::PickleNode& root() const { return tree_->root(); }
  // A copy of the tensor that `node` describes (_rebuild_tensor_v2 or _rebuild_parameter), in its
  // own dtype. InvalidArgument if it reaches outside its storage or is of a type that weights do
  // not have.
  absl::StatusOr<at::Tensor> ReadTensor(const formats::PickleNode& node) const;
  static bool IsTensor(const formats::PickleNode& node);

 private:
  TorchArchive() = default;
  std::vector<uint8_t>
      bytes_;  // read, not mapped: a file cut while it is read must not kill the process
  std::unique_ptr<formats::ZipReader> zip_;
  std::unique_ptr<formats::PickleTree> tree_;
  std::string prefix_;  // "archive/" of "archive/data.pkl"
};

}  // namespace yoke::engine
