#include "server/engine/eval/predictions.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/check.h"
#include "nlohmann/json.hpp"
#include "server/engine/checkpoint/atomic_file.h"
#include "server/engine/eval/bytes.h"

namespace yoke::engine {
namespace {

struct ImageHeader {
  int64_t sample;
  uint64_t detections;
};

struct ImageId {
  bool number = false;
  std::string text;  // digits without leading zeros, or the stem

  bool operator<(const ImageId& other) const {
    if (number != other.number) return number;
    if (number && text.size() != other.text.size()) return text.size() < other.text.size();
    return text < other.text;
  }
  bool operator==(const ImageId& other) const {
    return number == other.number && text == other.text;
  }
};

ImageId IdOf(const std::string& path) {
  ImageId id{false, std::filesystem::path(path).stem().string()};
  if (id.text.empty() || id.text.find_first_not_of("0123456789") != std::string::npos) return id;
  const size_t digits = id.text.find_first_not_of('0');
  return {true, digits == std::string::npos ? "0" : id.text.substr(digits)};
}

std::string Quoted(const std::string& text) {
  return nlohmann::json(text).dump(-1, ' ', /*ensure_ascii=*/false,
                                   nlohmann::json::error_handler_t::replace);
}

double Rounded(double value, double steps) { return std::round(value * steps) / steps; }

CocoDetection ToCoco(const Detection& d) {
  const double x = d.x1, y = d.y1;
  return {{Rounded(x, 1e3), Rounded(y, 1e3), Rounded(d.x2 - x, 1e3), Rounded(d.y2 - y, 1e3),
           d.class_id},
          Rounded(d.confidence, 1e5)};
}

// Samples by their image id.
std::vector<std::pair<ImageId, size_t>> InOrder(const Split& split) {
  std::vector<std::pair<ImageId, size_t>> order;
  for (size_t i = 0; i < split.samples.size(); ++i)
    order.emplace_back(IdOf(split.samples[i].image_path), i);
  std::stable_sort(order.begin(), order.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  return order;
}

// Sample -> its detections; null: none.
std::vector<const ImageDetections*> BySample(const Split& split,
                                             const std::vector<ImageDetections>& images) {
  std::vector<const ImageDetections*> by_sample(split.samples.size(), nullptr);
  for (const ImageDetections& image : images) {
    YOKE_CHECK(image.sample >= 0 && static_cast<size_t>(image.sample) < by_sample.size());
    by_sample[static_cast<size_t>(image.sample)] = &image;
  }
  return by_sample;
}

}  // namespace

std::string EncodeDetections(const std::vector<ImageDetections>& images) {
  std::string bytes;
  for (const ImageDetections& image : images) {
    const ImageHeader header{image.sample, image.detections.size()};
    PutBytes(bytes, &header, 1);
    PutBytes(bytes, image.detections.data(), image.detections.size());
  }
  return bytes;
}

absl::Status DecodeDetections(const std::string& bytes, std::vector<ImageDetections>& images) {
  for (size_t at = 0; at < bytes.size();) {
    ImageHeader header;
    ImageDetections image;
    if (!TakeBytes(bytes, at, &header, 1) || header.detections > bytes.size() / sizeof(Detection))
      return absl::InternalError("a rank sent detections that break off");
    image.sample = header.sample;
    image.detections.resize(header.detections);
    if (!TakeBytes(bytes, at, image.detections.data(), image.detections.size()))
      return absl::InternalError("a rank sent detections that break off");
    images.push_back(std::move(image));
  }
  return absl::OkStatus();
}

std::string ImageIdJson(const std::string& path) {
  const ImageId id = IdOf(path);
  return id.number ? id.text : Quoted(id.text);
}

std::vector<CocoImage> CocoImages(const Split& split, const std::vector<ImageDetections>& images) {
  const std::vector<const ImageDetections*> by_sample = BySample(split, images);
  std::vector<CocoImage> all;
  for (const auto& [id, index] : InOrder(split)) {
    const Sample& sample = split.samples[index];
    CocoImage& image = all.emplace_back();
    for (const Label& label : sample.labels) {
      const double w = static_cast<double>(label.w) * sample.width;
      const double h = static_cast<double>(label.h) * sample.height;
      image.truths.push_back({static_cast<double>(label.x) * sample.width - w / 2,
                              static_cast<double>(label.y) * sample.height - h / 2, w, h,
                              label.class_id});
    }
    if (by_sample[index] == nullptr) continue;
    for (const Detection& d : by_sample[index]->detections) image.detections.push_back(ToCoco(d));
  }
  return all;
}

absl::Status WritePredictions(const std::string& path, const Split& split,
                              const std::vector<ImageDetections>& images,
                              const std::vector<int>& category_ids, std::string* warning) {
  const std::vector<const ImageDetections*> by_sample = BySample(split, images);
  AtomicFile file(path);
  const auto write = [&file](const std::string& text) { file.Write(text.data(), text.size()); };
  const char* separator = "[";
  const ImageId* previous = nullptr;
  const auto order = InOrder(split);
  for (const auto& [id, index] : order) {
    const std::string& image_path = split.samples[index].image_path;
    if (previous != nullptr && id == *previous && warning->empty()) {
      *warning = absl::StrCat("several images are called ", ImageIdJson(image_path), ", one is ",
                              image_path, "; ", path, " does not tell them apart");
    }
    previous = &id;
    if (by_sample[index] == nullptr) continue;
    const std::string image = absl::StrCat(
        "{\"image_id\": ", ImageIdJson(image_path),
        ", \"file_name\": ", Quoted(std::filesystem::path(image_path).filename().string()));
    std::string rows;
    for (const Detection& detection : by_sample[index]->detections) {
      const CocoDetection d = ToCoco(detection);
      absl::StrAppendFormat(
          &rows,
          "%s\n%s, \"category_id\": %d, \"bbox\": [%.3f, %.3f, %.3f, %.3f], \"score\": %.5f}",
          separator, image, category_ids[static_cast<size_t>(d.box.class_id)], d.box.x, d.box.y,
          d.box.w, d.box.h, d.score);
      separator = ",";
    }
    write(rows);
  }
  write(separator[0] == '[' ? "[]\n" : "\n]\n");
  return file.Commit();
}

}  // namespace yoke::engine
