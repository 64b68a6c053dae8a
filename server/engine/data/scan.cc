// ScanSplit: list, look in the cache, else check every image and label file on a few threads.
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cmath>
#include <numeric>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/formats/label_file.h"
#include "server/engine/data/dataset.h"
#include "server/engine/data/file_bytes.h"
#include "server/engine/data/file_list.h"
#include "server/engine/data/fingerprint.h"
#include "server/engine/data/image_check.h"
#include "server/engine/data/label_cache.h"
#include "server/engine/data/random.h"

namespace yoke::engine {
namespace {

constexpr int64_t kScanVersion = 2;  // raise when a rule of the scan changes
constexpr size_t kProblemsMax = 1000;
constexpr int64_t kProgressEvery = 64;

// A draw that belongs to the list of images, not to an epoch.
constexpr uint64_t kFractionDraw = ~uint64_t{0};

struct Checked {
  Sample sample;
  int64_t polygons = 0;  // of the sample's labels
  bool label_missing = false;
  std::string problem;     // empty: a good sample
  bool bad_label = false;  // `problem` is about the label file, else about the image
};

Checked CheckSample(const std::string& image_path, const formats::LabelRules& rules,
                    bool keep_polygons) {
  Checked out;
  out.sample.image_path = image_path;
  const absl::StatusOr<ImageSize> size = CheckImageFile(image_path);
  if (!size.ok()) {
    out.problem = std::string(size.status().message());
    return out;
  }
  out.sample.width = size->width;
  out.sample.height = size->height;
  const std::string label_path = LabelPathOf(image_path);
  const absl::StatusOr<std::string> text = ReadTextFile(label_path, kTextBytesMax);
  if (absl::IsNotFound(text.status())) {
    out.label_missing = true;
    return out;
  }
  absl::StatusOr<formats::LabelFile> labels =
      text.ok() ? formats::ParseLabelFile(*text, label_path, rules) : text.status();
  if (!labels.ok()) {
    out.problem = std::string(labels.status().message());
    out.bad_label = true;
    return out;
  }
  out.sample.labels.reserve(labels->rows.size());
  for (const formats::LabelRow& row : labels->rows) {
    out.sample.labels.push_back(
        {.class_id = row.class_id, .x = row.x, .y = row.y, .w = row.w, .h = row.h});
  }
  if (keep_polygons && labels->polygons > 0) {
    out.polygons = labels->polygons;
    out.sample.polygon_xy = std::move(labels->polygon_xy);
    out.sample.polygon_ends = std::move(labels->polygon_ends);
    out.sample.polygon_xy.shrink_to_fit();
    out.sample.polygon_ends.shrink_to_fit();
  }
  return out;
}

// Checks all images on `options.threads` threads, the caller's among them. Stops early only behind
// a bad label that ends the scan, so that the error reported is the first in the list whatever the
// threads' timing.
std::vector<Checked> CheckAll(const std::vector<std::string>& images, const ScanOptions& options) {
  const formats::LabelRules rules{.class_count = options.class_count,
                                  .single_cls = options.single_cls};
  const auto total = static_cast<int64_t>(images.size());
  std::vector<Checked> checked(images.size());
  std::atomic<int64_t> next{0}, done{0}, first_error{total};
  const auto work = [&](bool reports) {
    int64_t reported = 0;
    for (int64_t i = next++; i < total && i <= first_error; i = next++) {
      const auto at = static_cast<size_t>(i);
      checked[at] = CheckSample(images[at], rules, options.polygons);
      if (checked[at].bad_label && !options.skip_bad) {
        int64_t seen = first_error;
        while (i < seen && !first_error.compare_exchange_weak(seen, i)) {
        }
      }
      const int64_t finished = ++done;
      if (reports && options.progress && finished - reported >= kProgressEvery) {
        options.progress(finished, total);
        reported = finished;
      }
    }
  };
  std::vector<std::thread> threads;
  const int64_t count = std::clamp<int64_t>(options.threads, 1, std::max<int64_t>(total / 4, 1));
  for (int64_t i = 1; i < count; ++i) threads.emplace_back(work, false);
  work(true);
  for (std::thread& thread : threads) thread.join();
  if (options.progress) options.progress(total, total);
  return checked;
}

void AddStat(const std::string& path, Fingerprint& fingerprint) {
  struct stat info;
  if (::stat(path.c_str(), &info) != 0) {
    fingerprint.Add(-errno);
    return;
  }
  fingerprint.Add(info.st_size);
  fingerprint.Add(int64_t{info.st_mtim.tv_sec} * 1'000'000'000 + info.st_mtim.tv_nsec);
}

std::string CacheKey(const std::vector<std::string>& images, const ScanOptions& options) {
  Fingerprint fingerprint;
  fingerprint.Add(kScanVersion);
  fingerprint.Add(options.class_count);
  fingerprint.Add(options.single_cls);
  fingerprint.Add(options.skip_bad);
  fingerprint.Add(options.polygons);
  for (const std::string& image : images) {
    fingerprint.Add(image);
    AddStat(image, fingerprint);
    AddStat(LabelPathOf(image), fingerprint);
  }
  return fingerprint.Hex();
}

// `count` of the images, still in order.
void KeepRandom(size_t count, uint64_t seed, std::vector<std::string>& images) {
  Random random(seed, kFractionDraw, 0);
  std::vector<size_t> order(images.size());
  std::iota(order.begin(), order.end(), size_t{0});
  for (size_t i = 0; i < count; ++i) {
    std::swap(order[i],
              order[i + static_cast<size_t>(random.Below(static_cast<int64_t>(order.size() - i)))]);
  }
  order.resize(count);
  std::sort(order.begin(), order.end());
  for (size_t i = 0; i < count; ++i) {
    if (order[i] != i) images[i] = std::move(images[order[i]]);
  }
}

absl::StatusOr<std::vector<std::string>> ListSources(const std::vector<std::string>& sources,
                                                     const ScanOptions& options) {
  if (sources.empty())
    return absl::NotFoundError("the data set names no folder of images for this split");
  std::vector<std::string> images;
  for (const std::string& source : sources) {
    YOKE_ASSIGN_OR_RETURN(std::vector<std::string> some, ListImages(source));
    images.insert(images.end(), std::make_move_iterator(some.begin()),
                  std::make_move_iterator(some.end()));
  }
  std::sort(images.begin(), images.end());
  images.erase(std::unique(images.begin(), images.end()), images.end());
  if (options.fraction < 1) {
    const double part = std::nearbyint(static_cast<double>(images.size()) * options.fraction);
    const auto count = static_cast<size_t>(std::max(1.0, part));
    if (options.fraction_random) KeepRandom(count, options.seed, images);
    images.resize(count);
  }
  return images;
}

absl::StatusOr<Split> Gather(std::vector<Checked> checked, const ScanOptions& options) {
  Split split;
  int64_t polygons = 0;
  for (Checked& item : checked) {
    if (!item.problem.empty()) {
      if (item.bad_label && !options.skip_bad) return absl::InvalidArgumentError(item.problem);
      ++split.corrupt;
      if (split.problems.size() < kProblemsMax)
        split.problems.push_back(item.problem + "; image left out");
      continue;
    }
    split.missing_labels += item.label_missing ? 1 : 0;
    ++(item.sample.labels.empty() ? split.background : split.labelled);
    split.boxes += static_cast<int64_t>(item.sample.labels.size());
    polygons += item.polygons;
    split.samples.push_back(std::move(item.sample));
  }
  if (split.samples.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "none of the ", checked.size(),
        " images can be used; the first: ", split.problems.empty() ? "" : split.problems.front()));
  }
  if (polygons < split.boxes && polygons > 0) {
    split.polygons_unused = polygons;
    for (Sample& sample : split.samples) {
      sample.polygon_xy = {};
      sample.polygon_ends = {};
    }
  }
  return split;
}

}  // namespace

absl::StatusOr<Split> ScanSplit(const std::vector<std::string>& sources,
                                const ScanOptions& options) {
  YOKE_ASSIGN_OR_RETURN(const std::vector<std::string> images, ListSources(sources, options));
  std::string key;
  std::optional<Split> cached;
  if (!options.cache_dir.empty()) {
    key = CacheKey(images, options);
    cached = LoadLabelCache(options.cache_dir, key);
  }
  Split split;
  if (cached.has_value()) {
    split = *std::move(cached);
    if (options.progress)
      options.progress(static_cast<int64_t>(images.size()), static_cast<int64_t>(images.size()));
  } else {
    YOKE_ASSIGN_OR_RETURN(split, Gather(CheckAll(images, options), options));
    if (!key.empty()) {
      // A cache that cannot be written costs time at the next start, nothing else.
      const absl::Status stored = StoreLabelCache(options.cache_dir, key, split);
      if (!stored.ok() && options.warn)
        options.warn(absl::StrCat("label cache not kept: ", stored.message()));
    }
  }
  if (options.warn) {
    for (const std::string& problem : split.problems) options.warn(problem);
    if (split.polygons_unused > 0) {
      options.warn(absl::StrCat(
          "only ", split.polygons_unused, " of ", split.boxes,
          " objects have a polygon, so none is used, but its box; to train with polygons, "
          "give every object one"));
    }
  }
  return split;
}

}  // namespace yoke::engine
