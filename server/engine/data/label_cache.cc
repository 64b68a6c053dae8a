#include "server/engine/data/label_cache.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <type_traits>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/engine/data/file_bytes.h"
#include "server/engine/data/fingerprint.h"

namespace yoke::engine {
namespace {

// MAGIC, then a fingerprint of the rest (32 characters), then the rest: native byte order, one
// machine.
constexpr std::string_view kMagic = "yoke-labels-2\n";
constexpr size_t kFingerprintSize = 32;
constexpr size_t kCacheBytesMax = size_t{8} << 30;

std::string CachePath(const std::string& cache_dir, const std::string& key) {
  return absl::StrCat(cache_dir, "/labels-", key, ".cache");
}

std::string FingerprintOf(std::string_view bytes) {
  Fingerprint fingerprint;
  fingerprint.Add(bytes);
  return fingerprint.Hex();
}

class Writer {
 public:
  template <typename T>
  void Put(const T& value) {
    static_assert(std::is_trivially_copyable_v<T>);
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  void Put(const std::string& text) {
    Put(static_cast<uint64_t>(text.size()));
    bytes_ += text;
  }
  template <typename T>
  void Put(const std::vector<T>& values) {
    static_assert(std::is_trivially_copyable_v<T>);
    Put(static_cast<uint64_t>(values.size()));
    bytes_.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
  }
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

// Every read checks what is left; after a failed one all that follow fail.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}
  template <typename T>
  T Get() {
    static_assert(std::is_trivially_copyable_v<T>);
    T value{};
    if (bytes_.size() < sizeof value) {
      ok_ = false;
      return value;
    }
    std::memcpy(&value, bytes_.data(), sizeof value);
    bytes_.remove_prefix(sizeof value);
    return value;
  }
  std::string GetText() {
    const auto size = Get<uint64_t>();
    if (size > bytes_.size()) ok_ = false;
    if (!ok_) return "";
    std::string text(bytes_.substr(0, size));
    bytes_.remove_prefix(size);
    return text;
  }
  template <typename T>
  std::vector<T> GetArray() {
    static_assert(std::is_trivially_copyable_v<T>);
    const auto count = Get<uint64_t>();
    if (count > bytes_.size() / sizeof(T)) ok_ = false;
    if (!ok_) return {};
    std::vector<T> values(count);
    if (count > 0) std::memcpy(values.data(), bytes_.data(), count * sizeof(T));
    bytes_.remove_prefix(count * sizeof(T));
    return values;
  }
  // A count of things of at least one byte each.
  uint64_t GetCount() {
    const auto count = Get<uint64_t>();
    if (count > bytes_.size()) ok_ = false;
    return ok_ ? count : 0;
  }
  bool complete() const { return ok_ && bytes_.empty(); }

 private:
  std::string_view bytes_;
  bool ok_ = true;
};

bool PolygonsFit(const Sample& sample) {
  const std::vector<uint32_t>& ends = sample.polygon_ends;
  if (ends.empty()) return sample.polygon_xy.empty();
  return ends.size() == sample.labels.size() && std::is_sorted(ends.begin(), ends.end()) &&
         2 * size_t{ends.back()} == sample.polygon_xy.size();
}

}  // namespace

std::optional<Split> LoadLabelCache(const std::string& cache_dir, const std::string& key) {
  const absl::StatusOr<std::string> file = ReadTextFile(CachePath(cache_dir, key), kCacheBytesMax);
  if (!file.ok() || !file->starts_with(kMagic)) return std::nullopt;
  std::string_view rest = std::string_view(*file).substr(kMagic.size());
  if (rest.size() < kFingerprintSize) return std::nullopt;
  const std::string_view stored = rest.substr(0, kFingerprintSize);
  rest.remove_prefix(kFingerprintSize);
  if (stored != FingerprintOf(rest)) return std::nullopt;
  Reader reader(rest);
  Split split;
  split.labelled = reader.Get<int64_t>();
  split.background = reader.Get<int64_t>();
  split.missing_labels = reader.Get<int64_t>();
  split.corrupt = reader.Get<int64_t>();
  split.boxes = reader.Get<int64_t>();
  split.polygons_unused = reader.Get<int64_t>();
  for (uint64_t i = 0, count = reader.GetCount(); i < count; ++i)
    split.problems.push_back(reader.GetText());
  split.samples.resize(reader.GetCount());
  for (Sample& sample : split.samples) {
    sample.image_path = reader.GetText();
    sample.width = reader.Get<int>();
    sample.height = reader.Get<int>();
    sample.labels = reader.GetArray<Label>();
    sample.polygon_xy = reader.GetArray<float>();
    sample.polygon_ends = reader.GetArray<uint32_t>();
    if (!PolygonsFit(sample)) return std::nullopt;
  }
  if (!reader.complete()) return std::nullopt;
  return split;
}

absl::Status StoreLabelCache(const std::string& cache_dir, const std::string& key,
                             const Split& split) {
  std::error_code error;
  std::filesystem::create_directories(cache_dir, error);
  if (error) return FileError(cache_dir, "create", error.value());
  Writer writer;
  for (int64_t value : {split.labelled, split.background, split.missing_labels, split.corrupt,
                        split.boxes, split.polygons_unused}) {
    writer.Put(value);
  }
  writer.Put(static_cast<uint64_t>(split.problems.size()));
  for (const std::string& problem : split.problems) writer.Put(problem);
  writer.Put(static_cast<uint64_t>(split.samples.size()));
  for (const Sample& sample : split.samples) {
    writer.Put(sample.image_path);
    writer.Put(sample.width);
    writer.Put(sample.height);
    writer.Put(sample.labels);
    writer.Put(sample.polygon_xy);
    writer.Put(sample.polygon_ends);
  }
  std::string file(kMagic);
  file += FingerprintOf(writer.bytes());
  file += writer.bytes();
  return ReplaceFile(CachePath(cache_dir, key), file);
}

}  // namespace yoke::engine
