#include "client/lib/nonce.h"

#include <openssl/evp.h>
#include <openssl/sha.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <random>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace yoke::client {
namespace {

std::string RandomBytes(size_t count) {
  std::random_device device;
  std::string bytes(count, '\0');
  for (char& byte : bytes) byte = static_cast<char>(device());
  return bytes;
}

}  // namespace

std::string NewRequestId() {
  std::string bytes = RandomBytes(16);
  bytes[6] = static_cast<char>((bytes[6] & 0x0f) | 0x40);
  bytes[8] = static_cast<char>((bytes[8] & 0x3f) | 0x80);
  const std::string hex = absl::BytesToHexString(bytes);
  return absl::StrCat(hex.substr(0, 8), "-", hex.substr(8, 4), "-", hex.substr(12, 4), "-", hex.substr(16, 4), "-",
                      hex.substr(20));
}

std::string Sha256Hex(const std::string& bytes) {
  std::string digest(SHA256_DIGEST_LENGTH, '\0');
  EVP_Digest(bytes.data(), bytes.size(), reinterpret_cast<unsigned char*>(digest.data()), nullptr, EVP_sha256(), nullptr);
  return absl::BytesToHexString(digest);
}

NonceFile::NonceFile(std::string path, std::string sha256) : path_(std::move(path)), sha256_(std::move(sha256)) {}

NonceFile::NonceFile(NonceFile&& other) noexcept
    : path_(std::exchange(other.path_, "")), sha256_(std::move(other.sha256_)) {}

NonceFile::~NonceFile() {
  if (!path_.empty()) unlink(path_.c_str());
}

absl::StatusOr<NonceFile> NonceFile::Make() {
  const char* folder = std::getenv("TMPDIR");
  std::string path = absl::StrCat(folder == nullptr || *folder == '\0' ? "/tmp" : folder, "/yoke-nonce.XXXXXX");
  const int fd = mkstemp(path.data());
  if (fd < 0) return absl::UnavailableError(absl::StrCat(path, ": ", std::strerror(errno)));
  const std::string nonce = absl::BytesToHexString(RandomBytes(16));
  NonceFile file(path, Sha256Hex(nonce));
  const bool written = write(fd, nonce.data(), nonce.size()) == static_cast<ssize_t>(nonce.size()) && fchmod(fd, 0644) == 0;
  close(fd);
  if (!written) return absl::UnavailableError(absl::StrCat(path, ": ", std::strerror(errno)));
  return file;
}

}  // namespace yoke::client
