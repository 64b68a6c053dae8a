// A .pt file in memory, and its tensors as LibTorch's. What such a file holds is read in
// common/formats; torch_value.h writes one.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "ATen/ATen.h"
#include "absl/status/statusor.h"
#include "common/formats/torch_file.h"

namespace yoke::engine {

class TorchArchive {
 public:
  // NotFound: no such file. InvalidArgument, starting with the path: empty, over 4 GiB, or what
  // TorchFile::Open refuses.
  static absl::StatusOr<std::unique_ptr<TorchArchive>> Open(const std::string& path);
  TorchArchive(const TorchArchive&) = delete;
  TorchArchive& operator=(const TorchArchive&) = delete;

  const formats::TorchFile& file() const { return *file_; }

 private:
  TorchArchive() = default;
  std::vector<uint8_t>
      bytes_;  // read, not mapped: a file cut while it is read must not kill the process
  std::unique_ptr<formats::TorchFile> file_;
};

// A copy on the CPU, in its own type.
at::Tensor CopyOf(const formats::StoredTensor& stored);

}  // namespace yoke::engine
