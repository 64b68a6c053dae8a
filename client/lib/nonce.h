// Random words: request ids, and the file by which client and server find out that they share a file system.
#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace yoke::client {

// A random UUID (version 4) in lower case.
std::string NewRequestId();

std::string Sha256Hex(const std::string& bytes);

// A file with a fresh nonce, readable by everybody, gone when this object is.
class NonceFile {
 public:
  static absl::StatusOr<NonceFile> Make();
  ~NonceFile();
  NonceFile(NonceFile&& other) noexcept;
  NonceFile& operator=(NonceFile&&) = delete;

  const std::string& path() const { return path_; }
  const std::string& sha256() const { return sha256_; }

 private:
  NonceFile(std::string path, std::string sha256);
  std::string path_, sha256_;
};

}  // namespace yoke::client
